"""Files of a benchmark's results: rows, summary, tables, figures and page, with a manifest of their hashes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.experiments.results import Results
from surefoot.files import remove_file
from surefoot.report.benchmark_plots import benchmark_figures
from surefoot.report.benchmark_tables import (
    benchmark_rows,
    comma_separated,
    comparison_sentence,
    failures,
    latex,
    markdown,
    overall_rows,
)
from surefoot.report.html import write_report
from surefoot.report.style import png_of
from surefoot.result_files import ROWS, write_results

PAGE = "report.html"
_PICTURE = re.compile(r"return_cost_(strict|dsrl)_(development|held_out|shares)(_\d+)?\.png")
"""Names of all figures that a benchmark can have: files of other names are the user's."""
_CAPTION = (
    "Mean normalised cost against mean normalised return of every method, with 95 % intervals by stratified bootstrap. "
    "Shaded: within the cost limit. Dotted: the best logged episode within the limit."
)


def publish(results: Results, folder: Path) -> Path:
    """Write results into a folder, replacing earlier ones; no file holds an absolute path.

    Args:
        results: Results of a benchmark.
        folder: Folder of the results.

    Returns:
        Path of the page.
    """
    summary = results.summary
    protocols = summary["plan"]["protocols"]
    figures = {
        f"return_cost_{protocol}_{one.name}": (one.figure, f"{_CAPTION} Protocol {protocol}, {one.words}.")
        for protocol in protocols
        for one in benchmark_figures(summary, protocol)
    }
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    rows = [row for protocol in protocols for row in benchmark_rows(summary, protocol)]
    write_report(
        page,
        title=f"Benchmark {summary['plan']['name']}",
        summary={"seeds": summary["plan"]["seeds"], "versions": summary["versions"]},
        headline=headline(summary),
        figures=figures,
        table_rows=rows,
        further_tables={"Over the tasks": [row for protocol in protocols for row in overall_rows(summary, protocol)]},
        details=_details(summary),
    )
    contents: dict[str, Any] = {
        ROWS: results.rows,
        "summary.json": summary,
        "table.md": markdown(summary),
        "table.csv": comma_separated(summary),
        "table.tex": latex(summary),
    }
    for name, (figure, _) in figures.items():
        contents[f"{name}.png"] = png_of(figure, dpi=150, metadata={"Software": None})
    for path in folder.iterdir():
        if _PICTURE.fullmatch(path.name) and path.name not in contents:  # of tasks that were shown before
            remove_file(path)
    write_results(folder, contents)
    return page


def headline(summary: Mapping[str, Any]) -> str:
    """Sentence on the number of tasks on which each method keeps its mean cost within the limit."""
    protocol = summary["plan"]["protocols"][0]
    parts = []
    for key, overall in summary["methods"][protocol].items():
        found = overall["all"]
        if found["done"]:
            parts.append(f"{summary['plan']['methods'][key]['title']} on {found['safe']} of {found['done']}")
    if not parts:
        return "No cell is done yet."
    failed = len(failures(summary))
    lost = "" if not failed else "; one cell failed" if failed == 1 else f"; {failed} cells failed"
    return f"Tasks on which the mean cost keeps the limit: {', '.join(parts)}{lost}."


def _details(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The folded sections of the page. Their keys are short: on a telephone a key stands on one line."""
    protocols = summary["plan"]["protocols"]
    sentences = {name: text for name in protocols if (text := comparison_sentence(summary, name))}
    failed = {str(number): sentence for number, sentence in enumerate(failures(summary), 1)}
    methods = {
        f"Method {entry['title']}": {
            **{name: entry[name] for name in ("algorithm", "preset", "data_filter")},
            **entry["hyperparameters"],
            **entry["of_tasks"],
        }
        for entry in summary["plan"]["methods"].values()
    }
    parts = {"Comparison": sentences, "Failures": failed, "Data": summary["data"], **methods}
    return {heading: part for heading, part in parts.items() if part}
