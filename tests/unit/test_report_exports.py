"""What lies beside a report: figures as PDF and SVG, tables as CSV and LaTeX; a task in a sentence."""

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from tests.own_log import TANK, write_task

from surefoot.report.exports import export, folder_of
from surefoot.report.html import write_report
from surefoot.report.task_text import OURS, task_sentence
from surefoot.tasks import CostLimit, get_task


def a_figure() -> Figure:
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([0, 1])
    return figure


def test_every_figure_and_table_is_a_file(tmp_path: Path) -> None:
    rows = [{"starts": "feasible", "free [95 %]": "99 %"}, {"starts": "all", "more": "a,b"}]
    export(tmp_path / "report", figures={"one": a_figure()}, tables={"Key figures": rows, "Empty": []})
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"one.pdf", "one.svg", "key-figures.csv", "key-figures.tex"}
    assert (tmp_path / "report" / "one.pdf").read_bytes().startswith(b"%PDF")
    assert b"<svg" in (tmp_path / "report" / "one.svg").read_bytes()
    table = (tmp_path / "report" / "key-figures.csv").read_text()
    assert table == 'starts,free [95 %],more\nfeasible,99 %,\nall,,"a,b"\n'
    assert r"feasible & 99 \% &  \\" in (tmp_path / "report" / "key-figures.tex").read_text()
    before = {path: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    export(tmp_path / "report", figures={"one": a_figure()}, tables={"Key figures": rows})
    assert {path: path.read_bytes() for path in before} == before  # no date in them


def test_a_page_says_what_the_task_is_and_leaves_its_files_where_they_are_asked_for(tmp_path: Path) -> None:
    page, figures = tmp_path / "mine.html", {"one": (a_figure(), "A caption.")}
    write_report(page, title="A run", summary={"wall_seconds": 1.0}, figures=figures, about="A robot drives.")
    assert '<p class="about">A robot drives.</p>' in page.read_text()
    assert not folder_of(page).exists()
    write_report(page, title="A run", summary={"wall_seconds": 1.0}, figures=figures, exports=True)
    assert 'class="about"' not in page.read_text()
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        "one.pdf", "one.svg", "key-figures.csv", "key-figures.tex",
    }  # fmt: skip
    assert folder_of(Path("page")) == Path("page_files")


def test_a_task_in_a_sentence(tmp_path: Path) -> None:
    assert task_sentence(get_task("PointRobot")).startswith(
        "A robot drives on a square of 6 m towards a goal, past two"
    )
    assert all(task_sentence(get_task(name)).startswith(sentence) for name, sentence in OURS.items())
    found = task_sentence(get_task("BallRun"))
    assert found.startswith(
        "BallRun of the DSRL benchmark: the policy sees 7 numbers, chooses 2 numbers, and an episode"
    )
    assert found.endswith("Safe means a summed cost of at most 5 an episode.")
    free = replace(get_task("BallRun"), constraints=(CostLimit(0.0),))
    assert task_sentence(free).endswith("Safe means an episode without cost.")


@pytest.mark.parametrize("words", ["tank described by a task file: the policy sees", "level", "an episode has at most"])
def test_a_task_file_in_a_sentence(words: str, tmp_path: Path) -> None:
    found = task_sentence(get_task(str(write_task(tmp_path, TANK.replace('"level", "flow_*"', '"level", "flow_1"')))))
    assert words in found
    assert found.endswith(".")
