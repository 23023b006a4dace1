"""Does TREBI's fast preset lose return, or keep costs worse, against the authors' planner at its full size?

    python benchmarks/legacy_planner.py SafeReacher --data FILE      # hours of CPU; killed, it goes on
    python benchmarks/legacy_planner.py SafeReacher --data FILE --lanes 40     # with a GPU: minutes

Trains `small`, and `legacy` (networks of 4 and 4.6 million parameters, 20 denoising steps, two gradient steps before
each, 128 candidates) for `--updates` of each of its phases instead of the authors' 200,000, on the same data, each seed
a run of its own in `--runs`. Both plan the same episodes under one budget. Says whether the fast preset's mean return
and cost lie in the legacy planner's 95 % intervals: of each seed, and over all. Writes
benchmarks/results/legacy_planner.json with every episode's row. What a decision of each takes is measured by
planning.py.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import _machine
from _commands import is_trained, run
from surefoot.cli.evaluate_budgets import ROWS, read_rows
from surefoot.cli.loaded_run import FOLDER
from surefoot.evaluation.metrics import bootstrap_interval


def measure(path: Path, preset: str, seed: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train and evaluate one seed of a preset; what is there is not done again. The rows of its episodes."""
    updates = ["--model-updates", options.updates, "--value-updates", options.updates] if preset == "legacy" else []
    if not is_trained(path):
        run(
            "train", "--algorithm", "trebi", "--task", options.task, "--data", options.data, "--preset", preset,
            "--seeds", f"{seed}:{seed + 1}", "--out", path, "--resume", *updates,
        )  # fmt: skip
    lanes = options.lanes if preset == "legacy" else options.episodes
    run("evaluate", path, "--budget", options.ratio, "--episodes", options.episodes, "--lanes", lanes, "--workers", 1)
    rows = [row for row in read_rows(path / FOLDER / ROWS) if row["ratio"] == options.ratio]
    return [row for row in rows if row["episode"] < options.episodes]


def compare(fast: list[list[dict[str, Any]]], legacy: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Means of the rows of some seeds, the legacy planner's intervals, and whether the means of `small` lie there."""
    found: dict[str, Any] = {}
    for column in ("return", "cost"):
        ours, theirs = ([[row[column] for row in rows] for rows in seeds] for seeds in (fast, legacy))
        low, high = bootstrap_interval(theirs)
        mean = float(np.mean(np.concatenate(ours)))
        found[column] = {
            "small": mean,
            "small_interval": list(bootstrap_interval(ours)),
            "legacy": float(np.mean(np.concatenate(theirs))),
            "legacy_interval": [low, high],
            "within": bool(low <= mean <= high),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/legacy"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=8_000, help="of each phase of the legacy preset")
    parser.add_argument("--ratio", type=float, default=0.6, help="of the task's largest budget")
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--lanes", type=int, default=1, help="episodes of the legacy planner side by side")
    options = parser.parse_args()
    rows: dict[str, list[list[dict[str, Any]]]] = {
        preset: [measure(options.runs / f"{preset}-{seed}", preset, seed, options) for seed in options.seeds]
        for preset in ("small", "legacy")
    }
    results = {**_machine.head(), "settings": {name: str(value) for name, value in vars(options).items()}}
    results["all"] = compare(rows["small"], rows["legacy"])
    for place, seed in enumerate(options.seeds):
        results[f"seed {seed}"] = compare([rows["small"][place]], [rows["legacy"][place]])
    print(json.dumps({name: value for name, value in results.items() if name.startswith(("all", "seed "))}, indent=2))
    print(_machine.write("legacy_planner", results | {"rows": rows}))


if __name__ == "__main__":
    main()
