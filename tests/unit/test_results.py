"""Committed results: small, whole, without places of the machine that made them; the docs' tables come from them."""

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from surefoot.result_files import MANIFEST, content_of, manifest_faults, read_rows, record_lines, write_results
from surefoot.text import without_folders
from tables import MARKED, TABLES, documents, with_tables

TOP = Path(__file__).parents[2]
FOLDERS = (TOP / "results", TOP / "benchmarks" / "results")
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*") if path.is_file())
NAMED = re.compile(r"(?<![\w.~])(/(work|tmp|root|home|mnt|Users|var|opt|data)/|[A-Za-z]:\\)\w")


def strings(path: Path) -> Iterable[str]:
    """Texts of a file: strings of JSON, lines of Markdown."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = content.decode()
    if path.suffix in (".json", ".jsonl", ".gz"):
        return (json.loads(found) for found in set(re.findall(r'"(?:[^"\\]|\\.)*"', text)))
    return text.splitlines()


def test_no_result_holds_an_absolute_path() -> None:
    texts = [path for path in FILES if path.suffix != ".png"]
    assert len(texts) > 100
    found = [(str(path.relative_to(TOP)), text) for path in texts for text in strings(path) if holds_a_place(text)]
    assert found == []


def holds_a_place(text: str) -> bool:
    return ("/" in text or "\\" in text) and (bool(NAMED.search(text)) or without_folders(text) != text)


def test_the_scan_for_places_finds_what_it_is_for() -> None:
    assert holds_a_place("/work/datasets/BallRun.hdf5")
    assert holds_a_place("surefoot train --out=/srv/runs/a")
    assert holds_a_place("C:\\Users\\jane")
    assert not holds_a_place("2.5 m/s and runs/a")


def test_the_list_of_results_names_every_folder_and_no_other() -> None:
    text = (TOP / "results" / "README.md").read_text(encoding="utf-8")
    named = {name.split("/")[0] for name in re.findall(r"^- `([\w/<>.]+)`", text, re.MULTILINE)}
    assert named == {path.name for path in (TOP / "results").iterdir() if path.is_dir()}
    for entry in re.split(r"^- ", text, flags=re.MULTILINE)[1:]:
        assert entry.rstrip().endswith((".", ").")), entry  # none breaks off


# --- the files ---


def test_results_are_small_and_hold_what_is_shown() -> None:
    assert sum(path.stat().st_size for path in FILES) < 4e6
    assert {path.suffix for path in FILES} <= {".json", ".gz", ".md", ".png", ".txt"}  # no pages, no raw rows


def test_files_are_those_of_their_manifests() -> None:
    folders = {path.parent for path in FILES if path.suffix == ".gz"}
    assert len(folders) > 15
    assert [fault for folder in sorted(folders) for fault in manifest_faults(folder)] == []


def test_records_of_results_take_a_line_each() -> None:
    value = {"plan": {"seeds": [0, 1]}, "rows": [{"cost": 1.5}, {"cost": None}], "name": "a"}
    assert record_lines(value) == (
        '{\n "plan": {\n  "seeds": [0, 1]\n },\n "rows": [\n  {"cost": 1.5},\n  {"cost": null}\n ],\n "name": "a"\n}\n'
    )
    assert json.loads(record_lines(value)) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        record_lines([float("nan")])


def test_written_results_are_listed_and_hold_no_path(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    write_results(folder, {"rows.jsonl.gz": [{"data": "/home/jane/a.hdf5", "return": 1.5}], "old.md": "1"})
    write_results(
        folder, {"summary.json": {"command": "surefoot train --data /srv/a.hdf5"}, "table.md": "| /tmp/x/y |"}
    )
    assert read_rows(folder / "rows.jsonl.gz") == [{"data": "a.hdf5", "return": 1.5}]
    assert json.loads((folder / "summary.json").read_text()) == {"command": "surefoot train --data a.hdf5"}
    assert (folder / "table.md").read_text() == "| y |"
    assert set(json.loads((folder / MANIFEST).read_text())) == {"rows.jsonl.gz", "old.md", "summary.json", "table.md"}
    assert list(manifest_faults(folder)) == []
    (folder / "table.md").write_text("| z |")
    (folder / "further.md").write_text("")
    (folder / "old.md").unlink()
    told = {str(Path(fault).name) for fault in manifest_faults(folder)}
    assert {one.split(":")[0] for one in told} == {"table.md", "further.md", "old.md"}


def test_rows_are_the_same_bytes_for_the_same_rows() -> None:
    rows: list[dict[str, Any]] = [{"a": 1}]
    assert content_of("rows.jsonl.gz", rows) == content_of("rows.jsonl.gz", rows)
    with pytest.raises(ValueError, match="Out of range float"):
        content_of("rows.jsonl.gz", [{"a": float("nan")}])


# --- the docs' tables ---


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_tables_of_the_documentation_are_those_of_the_results(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert with_tables(text) == text, "make tables"


def test_every_table_is_shown_once() -> None:
    shown = [found[1] for path in documents() for found in MARKED.findall(path.read_text(encoding="utf-8"))]
    assert sorted(shown) == sorted(TABLES)
    assert with_tables("<!-- table trebi-hopper -->\n| ratio |\n<!-- end of table -->") != (
        "<!-- table trebi-hopper -->\n| ratio |\n<!-- end of table -->"
    )


BY_HAND = {"docs/held-out.md": 1}
"""Tables of figures whose rows are not in the tree: which runs chose the thresholds of the verdict."""


def tables_by_hand(text: str) -> list[list[str]]:
    """Tables outside the markers most of whose cells are figures."""
    groups = re.findall(r"^(?:\|.*\|\n)+", MARKED.sub("", text), re.MULTILINE)
    found = [[cell for line in group.splitlines()[2:] for cell in cells(line)[1:] if cell] for group in groups]
    return [
        one
        for one in found
        if sum(bool(re.fullmatch(r"-?[\d.,/]+( ?%)?( (at|\(|/) ?.*)?", cell)) for cell in one) > len(one) / 2
    ]


def test_tables_of_figures_are_made_from_results() -> None:
    pages = {str(path.relative_to(TOP)): path.read_text(encoding="utf-8") for path in documents()}
    assert {name: len(found) for name, text in pages.items() if (found := tables_by_hand(text))} == BY_HAND
    assert len(tables_by_hand("| a | b |\n| --- | --- |\n| x | 0.5 |\n")) == 1
    assert tables_by_hand("| a | b |\n| --- | --- |\n| x | words |\n") == []


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


# --- links ---


def links(path: Path) -> list[str]:
    """Relative addresses of a page's links and pictures."""
    found = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    return [address.split("#")[0] for address in found if "://" not in address and not address.startswith("#")]


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    pages = [*documents(), *(path for path in FILES if path.suffix == ".md")]
    broken = [
        (str(page.relative_to(TOP)), to) for page in pages for to in links(page) if not (page.parent / to).exists()
    ]
    assert broken == []
    assert sum(len(links(page)) for page in pages) > 80


def test_every_committed_figure_is_shown() -> None:
    shown = {(page.parent / to).resolve() for page in documents() for to in links(page)}
    assert [path for path in FILES if path.suffix == ".png" and path not in shown] == []
