"""Figures of a benchmark, drawn from the committed flagship's summary."""

import json
from pathlib import Path

from surefoot.report.benchmark_plots import benchmark_figures

SUMMARY = json.loads((Path(__file__).parents[2] / "results" / "flagship" / "summary.json").read_text())


def test_the_legend_names_the_methods_that_are_drawn() -> None:
    results = [one for one in SUMMARY["results"] if one["method"] in ("fisor", "bc_safe")]
    few = SUMMARY | {"results": [one for one in results if one["task"] == "BallRun"]}
    (picture,) = benchmark_figures(few, "strict")
    (legend,) = picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["FISOR", "BC-Safe"]  # not those without a cell
