"""The page: well formed, escaped, needing nothing else, and true to its summary."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from surefoot.errors import DataError
from surefoot.report import html as page_module
from surefoot.report.html import picture_source, write_report

VOID = {"meta", "img", "br", "hr", "link", "input"}
SUMMARY = {
    "wall_seconds": 250.0,
    "peak_memory_mb": 2500.0,
    "task": "PointRobot",
    "algorithm": "fisor",
    "seeds": [0, 1, 2],
    "command": "surefoot quickstart --out 'a & b'",
    "config": {"discount": 0.997, "policy": {"width": 256, "blocks": [1, 2]}, "none": None},
    "versions": {"jax": "0.10.2"},
}


class Page(HTMLParser):
    """Tags with their attributes, texts, and whether every element that opens also closes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1:] != ["style"]:
            self.texts.append(data.strip())


def a_figure(points: int = 5) -> Figure:
    figure = Figure(figsize=(4, 3))
    figure.subplots().scatter(np.arange(points), np.arange(points) ** 2 % 97)
    return figure


def written(path: Path, **changes: Any) -> Page:
    options: dict[str, Any] = {"title": "A run", "summary": SUMMARY, "figures": {"one": (a_figure(), "A caption.")}}
    write_report(path / "report.html", **(options | changes))
    return Page((path / "report.html").read_text())


def test_the_page_is_well_formed_and_says_what_the_summary_says(tmp_path: Path) -> None:
    page = written(
        tmp_path, table_rows=[{"starts": "feasible", "episodes": 200}], details={"Machine": {"cpus": 2}, "data": "abc"}
    )
    assert page.open == []
    assert "1 of 2 targets are met; not met: peak memory (2,500 MB, target ≤ 2,000 MB)." in page.texts
    assert "PointRobot · fisor · seeds 0, 1, 2" in page.texts
    marks = [attributes.get("class") for tag, attributes in page.tags if tag == "td" and "aria-label" in attributes]
    assert marks == ["mark met", "mark missed"]
    assert (page.texts.count("✓"), page.texts.count("✗")) == (1, 1)
    expected = {"Figure 1.", "A caption.", "surefoot quickstart --out 'a & b'", "policy.width", "[1, 2]", "jax", "cpus"}
    assert expected | {"Further details", "200"} <= set(page.texts)
    assert [tag for tag, _ in page.tags].count("details") == 4  # configuration, versions, machine, further details


def test_everything_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"><img src=x onerror=1>"
    page = written(
        tmp_path,
        title=evil,
        summary=SUMMARY | {"task": evil, "command": evil, "config": {evil: evil}, "versions": {"x": evil}},
        figures={evil: (a_figure(), evil)},
        table_rows=[{evil: evil}],
        details={evil: {evil: evil}, "loose": evil},
    )
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img"] == [evil]
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.texts.count(evil) >= 8


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    page = written(tmp_path, figures={"small": (a_figure(), "SVG"), "large": (a_figure(20_000), "PNG")})
    sources = [
        value or "" for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")
    ]
    assert [source.split(";")[0] for source in sources] == ["data:image/svg+xml", "data:image/png"]
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r"url\(|@import|https?:", text)
    drawing = base64.b64decode(sources[0].split(",")[1]).decode()
    assert not re.search(r"""(href|src)=["'](?!#|data:)""", drawing)


def test_animations_and_a_headline(tmp_path: Path) -> None:
    page = written(
        tmp_path,
        animations=[page_module.Animation("rollout", b"GIF89a", "An <episode>")],
        headline="Both are safe.",
    )
    assert page.open == []
    assert "Both are safe." in page.texts
    assert not any("targets are met" in text for text in page.texts)
    (source,) = [attributes["src"] for tag, attributes in page.tags if tag == "img"][1:]
    assert source == f"data:image/gif;base64,{base64.b64encode(b'GIF89a').decode()}"
    assert page.texts.count("An <episode>") == 1


def test_a_figure_gives_the_same_bytes_twice() -> None:
    assert picture_source(a_figure(), resolution=100) == picture_source(a_figure(), resolution=100)


def test_a_page_that_grows_too_large_is_drawn_coarser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Figure(figsize=(2, 2))
    figure.subplots().imshow(np.random.default_rng(0).random((400, 400)))
    written(tmp_path, figures={"noise": (figure, "")})
    sharp = (tmp_path / "report.html").stat().st_size
    monkeypatch.setattr(page_module, "MOST_BYTES", sharp - 1)
    written(tmp_path, figures={"noise": (figure, "")})
    assert (tmp_path / "report.html").stat().st_size < sharp


def test_a_run_that_was_only_started_still_gets_a_page(tmp_path: Path) -> None:
    page = written(tmp_path, summary={}, figures={})
    assert "This run holds no figure that has a target." in page.texts
    assert "table" not in {tag for tag, _ in page.tags}
    assert page.texts.count("A run") == 2  # the window's title and the heading
    assert "h2" not in {tag for tag, _ in page.tags}


def test_a_bad_summary_leaves_the_old_page(tmp_path: Path) -> None:
    written(tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(DataError, match="wall_seconds"):
        written(tmp_path, summary={"wall_seconds": "soon"})
    assert (tmp_path / "report.html").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_page_knows_both_themes_and_small_screens(tmp_path: Path) -> None:
    written(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
