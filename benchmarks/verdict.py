"""The verdict before simulation of the runs in a benchmark's store, as `train` would give it now.

    python benchmarks/verdict.py STORE DATA [--methods fisor fisor_published] [--beside CELL ...] [--keep]

Writes results/verdict.

STORE is that of `surefoot benchmark benchmarks/plans/flagship.toml`, DATA holds the tasks' files, those of earlier
collections as TASK.NAME.hdf5. Judged are the cells of the store's results, and those named, as of an earlier
collection. Nothing is trained or simulated: the kept networks are asked about their training data, and beside what they
say stand return and cost of the cell's evaluation. The table shows how much of V_h similar states of other episodes
tell (docs/held-out.md), and the whole verdict. With `--keep` the cells' records take the new verdict,
for the store's own tables.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import _machine
from surefoot.data import library
from surefoot.data.selection import select
from surefoot.evaluation.held_out import sample_to_judge
from surefoot.experiments.judging import LoggedEpisodes, judged
from surefoot.files import write_json
from surefoot.protocols import ActsFeasibly
from surefoot.report.held_out import THRESHOLDS
from surefoot.report.tables import markdown_table
from surefoot.result_files import write_results
from surefoot.runs.loaded import load_run
from surefoot.tasks import get_task

THRESHOLD = next(one for one in THRESHOLDS if one.figure == "similar_values")
OUT = Path(__file__).parents[1] / "results" / "verdict"


def measured(cell: Path, data: Path, *, keep: bool) -> dict[str, Any]:
    """A cell's figure and verdict beside what its evaluation found; `keep`: the cell's record takes them."""
    record = json.loads((cell / "cell.json").read_text(encoding="utf-8"))
    run, task = load_run(cell / "run", {}), get_task(record["task"])
    for path in sorted(data.rglob(f"{task.name}.*hdf5"), key=lambda path: len(path.name)):
        trained = select(library.load(path, task), run.config.data_selection or {})
        if trained.fingerprint() == run.config.data_fingerprint:
            break
    else:
        raise SystemExit(f"{data}: expected the data of {cell.name} on {task.name}, found others.")
    assert isinstance(run.algorithm, ActsFeasibly)
    found = judged(run.algorithm, run.states, LoggedEpisodes(sample_to_judge(trained), None))
    told = found["training"]["similar_values"]
    if keep:
        record["details"]["held_out"] = found
        write_json(cell / "cell.json", record)
    summary = json.loads((cell / "run" / "summary.json").read_text(encoding="utf-8"))["protocol"]
    figures = {name: summary[f"normalised_{name}_mean"] for name in ("return", "cost")}
    note = "" if path.stem == task.name else f", {len(trained.lengths)} episodes"
    return {"cell": cell.name, "method": record["method"], "task": task.name, "fraction": record["fraction"],
            "note": note, **figures, "told": told["share"], "per_seed": told["per_seed"],
            "verdict": found["verdict"]}  # fmt: skip


def word_of(row: dict[str, Any]) -> str:
    """The verdict as a whole; "none" where the log has no episode to judge by."""
    if row["verdict"].startswith("No verdict"):
        return "none"
    return "doubtful" if row["verdict"].startswith("Verdict before simulation: doubtful") else "good"


def counts(rows: list[dict[str, Any]], held_out: set[str]) -> list[dict[str, Any]]:
    """How many unsafe runs are called doubtful, and how many safe ones are not, of each method and kind of task."""
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        for role in ("development", "held-out"):
            of_role = [row for row in rows if (row["task"] in held_out) == (role == "held-out")]
            mine = [row for row in of_role if row["method"] == method]
            unsafe, safe = ([row for row in mine if (row["cost"] > 1) == bad] for bad in (True, False))
            caught = sum(word_of(row) == "doubtful" for row in unsafe)
            found.append(
                {"method": method, "tasks": role, "unsafe": len(unsafe), "caught": caught,
                 "safe": len(safe), "passed": sum(word_of(row) == "good" for row in safe),
                 "not_judged": sum(word_of(row) == "none" for row in mine)}
            )  # fmt: skip
    return found


def table(rows: list[dict[str, Any]], held_out: set[str]) -> str:
    """A line for each run, held-out tasks marked by a star."""
    lines = []
    for row in rows:
        share = "" if row["fraction"] == 1 else f", {100 * row['fraction']:.0f} % of the data"
        cost = f"{row['cost']:.2f}{'' if row['cost'] <= 1 else ', not safe'}"
        lines.append(
            {
                "method": "as published" if row["method"] == "fisor_published" else "FISOR",
                "task": f"{row['task']}{' *' if row['task'] in held_out else ''}{share}{row['note']}",
                "return at cost": f"{row['return']:.2f} at {cost}",
                "told by similar": f"{100 * row['told']:.0f} %",
                "at least 35 %": "good" if row["told"] >= THRESHOLD.bound else "doubtful",
                "verdict": word_of(row),
            }
        )
    return markdown_table(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--methods", nargs="+", default=["fisor", "fisor_published"])
    parser.add_argument("--beside", nargs="*", default=[], help="names of further cells")
    parser.add_argument("--keep", action="store_true", help="write the verdicts into the store's cells")
    given = parser.parse_args()
    head = _machine.head()
    summary = json.loads((given.store / "results" / "summary.json").read_text(encoding="utf-8"))
    held_out = {one["task"] for one in summary["results"] if one["role"] == "held-out"}
    rows = []
    found = [one for one in summary["results"] if one["method"] in given.methods and one["status"] == "done"]
    for cell in [*dict.fromkeys(cell for one in found for cell in one["cells"]), *given.beside]:
        rows.append(measured(given.store / "cells" / cell, given.data, keep=given.keep))
        print(rows[-1], flush=True)
    write(rows, held_out, head)


def write(rows: list[dict[str, Any]], held_out: set[str], head: dict[str, Any]) -> None:
    """Rows, their table, and how they were made."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    rows = sorted(
        rows, key=lambda row: (row["method"], row["task"] in held_out, tasks.index(row["task"]), row["fraction"])
    )
    summary = {**head, "threshold": THRESHOLD.bound, "seeds": int(np.max([len(row["per_seed"]) for row in rows])),
               "counts": counts(rows, held_out)}  # fmt: skip
    write_results(OUT, {"summary.json": summary, "rows.jsonl.gz": rows, "table.md": table(rows, held_out)})


if __name__ == "__main__":
    main()
