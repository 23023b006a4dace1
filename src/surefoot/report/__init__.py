"""Reports: key figures against their targets, plots, tables, and the HTML page of a run."""
