"""highway-env by one task file: how often policies crash beside their log's driver, and what the verdict says before.

    python highway_traffic.py highway.csv --episodes 300        # in a folder with examples/own_systems/highway*
    surefoot data import highway.csv --task highway.toml --out highway.hdf5
    surefoot train --algorithm fisor --task highway.toml --data highway.hdf5 --held-out 0.1 --seeds 0:2
        --constraint-updates 6000 --reward-updates 5000 --policy-updates 3000 --out runs/fisor
    surefoot evaluate runs/fisor --episodes 15
    surefoot evaluate runs/minqc --episodes 15 --extraction minqc       # a copy of runs/fisor
    surefoot train --algorithm bc --task highway.toml --data highway.hdf5 --held-out 0.1 --seeds 0:2
        --policy-updates 3000 --out runs/bc                             # and evaluate
    python benchmarks/highway.py FOLDER

Writes results/highway: a row for each episode of the log and the policies, and a table (docs/highway.md).
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

import _machine
from _results import TOP, markdown, percent
from surefoot.evaluation.metrics import wilson_interval
from surefoot.result_files import read_rows, write_results

RESULTS = TOP / "results" / "highway"
RUNS = {"fisor": "FISOR", "minqc": "FISOR, the safest candidate (`minqc`)", "bc": "BC"}
"""Folder in runs/ -> what it is called."""


def logged(folder: Path) -> list[dict[str, Any]]:
    """Episodes of the log."""
    rows: dict[str, dict[str, Any]] = {}
    with (folder / "highway.csv").open(encoding="utf-8") as file:
        for one in csv.DictReader(file):
            row = rows.setdefault(one["episode"], {"of": "log", "return": 0.0, "cost": 0.0, "length": 0})
            row["return"] += float(one["reward"])
            row["cost"] += float(one["failed"])
            row["length"] += 1
    return list(rows.values())


def driven(folder: Path, name: str) -> list[dict[str, Any]]:
    """Episodes of a policy."""
    found = read_rows(folder / "runs" / name / "evaluation" / "episodes.jsonl")
    return [{"of": name, **{key: row[key] for key in ("seed", "episode", "return", "cost", "length")}} for row in found]


def verdict(folder: Path, name: str) -> str:
    """Of the run before any episode."""
    summary = json.loads((folder / "runs" / name / "summary.json").read_text(encoding="utf-8"))
    return str(summary.get("held_out", {}).get("verdict", ""))


def line(name: str, rows: list[dict[str, Any]], said: str) -> tuple[str, ...]:
    """A line of the table."""
    share = float(np.mean([row["cost"] > 0 for row in rows]))
    low, high = wilson_interval(share * len(rows), len(rows))
    word = "doubtful" if ": doubtful" in said else "good" if "nothing speaks" in said else "none"
    median = f"{np.median([row['return'] for row in rows]):.1f}"
    return name, str(len(rows)), f"{percent(share)} [{100 * low:.0f}, {100 * high:.0f}]", median, word if said else ""


def main() -> None:
    """Collect the rows and write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    log = logged(folder)
    runs = {name: driven(folder, name) for name in RUNS if (folder / "runs" / name / "evaluation").exists()}
    said = {name: verdict(folder, name) for name in runs}
    lines = [line("the log", log, ""), *(line(RUNS[name], rows, said[name] or "none") for name, rows in runs.items())]
    text = markdown(("who drives", "episodes", "failed", "median return", "verdict before"), lines)
    rows = [row for group in (log, *runs.values()) for row in group]
    summary = {**_machine.head(), "verdicts": said}
    write_results(RESULTS, {"summary.json": summary, "rows.jsonl.gz": rows, "table.md": text})
    print(text)


if __name__ == "__main__":
    main()
