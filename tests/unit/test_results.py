"""Committed results: no place of the machine that made them, and the tables of the docs say what they hold."""

import gzip
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from surefoot.text import without_folders

TOP = Path(__file__).parents[2]
FOLDERS = (TOP / "results", TOP / "benchmarks" / "results")
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*") if path.is_file())
NAMED = re.compile(r"(?<![\w.~])(/(work|tmp|root|home|mnt|Users|var|opt|data)/|[A-Za-z]:\\)\w")


def strings(path: Path) -> Iterable[str]:
    """Texts of a file: strings of JSON, cells and commands of a page, lines of Markdown."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = content.decode()
    if path.suffix in (".json", ".jsonl", ".gz"):
        return (json.loads(found) for found in set(re.findall(r'"(?:[^"\\]|\\.)*"', text)))
    if path.suffix == ".html":
        return (html.unescape(found) for found in re.findall(r"<(?:code|td|figcaption|p)[^>]*>([^<]*)", text))
    return text.splitlines()


def test_no_result_holds_an_absolute_path() -> None:
    texts = [path for path in FILES if path.suffix in (".json", ".jsonl", ".gz", ".md", ".txt", ".html")]
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
    promised = re.findall(r"`([\w/]+)/config\.json`", text)
    assert sorted(promised) == sorted(
        str(path.parent.relative_to(TOP / "results")) for path in (TOP / "results").rglob("config.json")
    )
    for folder in summarised():
        assert (folder / "summary.json").exists(), folder


def summarised() -> list[Path]:
    """Folders whose figures are quoted."""
    pages = {path.parent for path in FILES if path.suffix == ".html"}
    return sorted(pages | {TOP / "results" / name for name in ("hazard_run", "point_robot_pixels")})


# --- the docs' tables ---


def table(document: str, *head: str) -> list[list[str]]:
    """Rows of the first table of a document whose header begins with these cells."""
    lines = (TOP / document).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if cells(line)[: len(head)] == list(head) and line.startswith("|"):
            rows = []
            for row in lines[number + 2 :]:
                if not row.startswith("|"):
                    break
                rows.append(cells(row))
            return rows
    raise AssertionError(f"{document}: no table that begins with {head}")


def cells(line: str) -> list[str]:
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]


def summary(*path: str) -> dict[str, Any]:
    return json.loads(TOP.joinpath("results", *path).read_text(encoding="utf-8"))


def agree(shown: str, *values: float | None, scale: float = 1.0) -> None:
    """Every number of a cell is the value, rounded to the decimals that are shown; a value of None is not shown."""
    found = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", re.sub(r"(\d),(?=\d{3})", r"\1", shown))
    values = tuple(value for value in values if value is not None)
    assert len(found) == len(values), f"{shown}: expected {values}"
    for number, value in zip(found, values, strict=True):
        decimals = len(number.partition(".")[2])
        assert abs(float(number) - scale * value) <= 0.5 * 10**-decimals + 1e-9, f"{shown}: expected {scale * value}"


@pytest.mark.parametrize(
    ("document", "head", "results"),
    [
        ("docs/fosp.md", ("method", "return", "cost"), "hazard_run/table.md"),
        ("docs/fosp.md", ("method", "no violation", "return"), "point_robot_pixels/table.md"),
        ("docs/fosp.md", ("predicted by", "reward, R^2"), "point_goal_vision/table.md"),
        ("docs/slow-actuators.md", ("method", "AUROC"), "slow_actuators/table.md"),
    ],
)
def test_tables_that_are_copied_are_those_of_the_results(document: str, head: tuple[str, ...], results: str) -> None:
    def plain(rows: list[list[str]]) -> list[list[str]]:
        return [[re.sub(r" \(preset `\w+`\)", "", row[0]), *row[1:]] for row in rows]

    assert plain(table(document, *head)) == plain(table(f"results/{results}", *head))


def test_the_readme_shows_point_robots_results() -> None:
    rows = [row[1:] for row in table("README.md", "figure", "reached")]
    quick = summary("point_robot", "quickstart", "summary.json")
    found = summary("point_robot", "evaluation_1000", "summary.json")["evaluation"]
    agree(rows[0][0], *quick["feasible_region"]["iou"])
    agree(rows[1][0], *quick["feasible_region"]["false_safe_rate"], scale=100)
    agree(rows[2][0], found["feasible"]["violation_free_rate"], scale=100)
    agree(rows[3][0], found["feasible"]["return_mean"])
    agree(rows[4][0], found["infeasible"]["violating_steps_mean"])
    agree(rows[5][0], max(found["fixed"][1]["max_violation_m"]))
    agree(rows[6][0].replace(" GB", ""), quick["wall_seconds"], quick["peak_memory_mb"] / 1000)


def test_the_protocols_table_shows_dsrls_results() -> None:
    rows = table("docs/protocol.md", "task", "FISOR", "safe episodes", "BC-Safe")
    assert len(rows) == len(list((TOP / "results" / "dsrl").glob("*/summary.json")))
    for task, *shown in rows:
        methods = summary("dsrl", task, "summary.json")["methods"]
        for place, name in enumerate(("FISOR", "BC-Safe", "BC")):
            found = methods[name]["protocol"]
            agree(shown[2 * place], found["normalised_return_mean"], found["normalised_cost_mean"])
            agree(shown[2 * place + 1], found["episode_safe_rate"], scale=100)
            assert not (found["safe"] and "not safe" in shown[2 * place])


def test_fisors_front_is_that_of_its_rows() -> None:
    found = {(row["method"], row["choice"]): row for row in summary("point_robot", "front.json")["rows"]}
    for words, *shown in table("docs/fisor.md", "Choice", "FISOR"):
        choice = words.replace("`", "").replace("feasible_first, ", "").replace(" m", "").split(" (")[0]
        for method, cell in zip(("FISOR", "FISOR, no siblings", "behaviour cloning"), shown, strict=True):
            if cell:
                free, mean = cell.split(" / ")
                one = (
                    found["behaviour cloning, 1 candidate", "none"] if "no critics" in choice else found[method, choice]
                )
                agree(free, one["violation_free_rate"], scale=100)
                agree(mean, one["return_mean"])


# --- TREBI ---


def budgets(*folder: str, level: float | None = None) -> list[Mapping[str, Any]]:
    """Figures of each budget, those without a limit last."""
    (found,) = (one for one in summary("trebi", *folder, "summary.json")["levels"] if one["level"] == level)
    return found["budgets"]


def check_row(shown: Sequence[str], record: Mapping[str, Any]) -> None:
    """Budget, cost, share over it, share within 1.1, return."""
    limited = record["budget"] is not None
    agree(shown[0], record["budget"])
    agree(shown[1], record["cost_mean"])
    agree(shown[2], record["exceeded_rate"] if limited else None, scale=100)
    agree(shown[3], record["nearly_within_rate"] if limited else None, scale=100)
    agree(shown[4], record["return_mean"])


@pytest.mark.parametrize(
    ("task", "head"),
    [
        ("SafePendulum", ("ratio", "budget", "cost", "over budget", "within 1.1", "return")),
        ("SafeReacher", ("ratio", "budget", "cost", "over budget", "within 1.1", "return", "cost, no margin")),
        ("Hopper", ("ratio", "budget", "cost", "over budget", "within 1.1", "return", "return before")),
    ],
)
def test_trebis_tables_of_ratios(task: str, head: tuple[str, ...]) -> None:
    rows, records = table("docs/trebi-results.md", *head), budgets(task)
    for row, record in zip(rows, records, strict=True):
        check_row(row[1:], record)
    if task == "SafeReacher":
        for row, record in zip(rows, budgets("plain", task), strict=True):
            check_row([row[1], *row[6:]], record)


def test_trebis_table_of_the_circles() -> None:
    rows = table("docs/trebi-results.md", "", "cost limit", "cost", "over it")
    for place, task in enumerate(("BallCircle", "CarCircle")):
        for row, record in zip(rows[4 * place : 4 * place + 4], budgets(task), strict=True):
            check_row([row[1].replace("none", ""), *row[2:6]], record)


def test_trebis_overview_is_made_of_the_same_figures() -> None:
    for task, limits, costs, over, returns, unlimited in table("docs/trebi.md", "task", "budget", "cost"):
        *limited, free = budgets(task)
        agree(limits, *(record["budget"] for record in limited))
        agree(costs, *(record["cost_mean"] for record in limited))
        agree(over, *(record["exceeded_rate"] for record in limited), scale=100)
        agree(returns, *(record["return_mean"] for record in limited))
        agree(unlimited, free["return_mean"])


@pytest.mark.parametrize(
    ("task", "head"),
    [("SafePendulum", ("", "12", "24", "36", "48", "60", "all", "costs")), ("SafeReacher", ("", "2.9", "5.7", "8.6"))],
)
def test_trebis_tables_of_levels(task: str, head: tuple[str, ...]) -> None:
    for (_, *shown), level in zip(table("docs/trebi-results.md", *head), (None, 0.05, 0.1), strict=True):
        limited = [record for record in budgets("plain", task, level=level) if record["budget"] is not None]
        for cell, record in zip(shown, limited, strict=False):
            agree(cell, record["exceeded_rate"], scale=100)
        agree(shown[5], sum(record["exceeded_rate"] for record in limited) / len(limited), scale=100)
        agree(shown[-1], *(record["return_mean"] for record in limited))
        if "costs" in head:
            agree(shown[-2], *(record["cost_mean"] for record in limited))


def test_trebis_table_of_levels_of_the_circles() -> None:
    rows = table("docs/trebi-results.md", "", "", "over 10", "over 20", "over 40", "returns")
    expected = [
        ("BallCircle", None),
        ("BallCircle", 0.05),
        ("CarCircle", None),
        ("CarCircle", 0.05),
        ("CarCircle", 0.1),
    ]
    for row, (task, level) in zip(rows, expected, strict=True):
        limited = [record for record in budgets("plain", task, level=level) if record["budget"] is not None]
        for cell, record in zip(row[2:5], limited, strict=True):
            agree(cell, record["exceeded_rate"], scale=100)
        agree(row[5], *(record["return_mean"] for record in limited))


def test_the_comparison_of_cells_finds_what_it_is_for() -> None:
    agree("1,465 at 2.5 %", 1465.4, 2.46)
    with pytest.raises(AssertionError, match=r"expected 2\.6"):
        agree("2.5 %", 2.6)
    with pytest.raises(AssertionError, match="expected"):
        agree("", 1.0)
