"""The report of a run: key figures against their targets, plots, the HTML page."""
