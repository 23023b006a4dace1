"""Does TREBI's fast preset lose return, or keep costs worse, against the authors' planner at its full size?

    python benchmarks/legacy_planner.py SafeReacher --data FILE      # hours of CPU; killed, it goes on

Trains `small`, and `legacy` (networks of 4 and 4.6 million parameters, 20 denoising steps, two gradient steps before
each, 128 candidates) for `--updates` of each of its phases instead of the authors' 200,000, on the same data. Both plan
the same episodes under one budget. Says whether the fast preset's mean return and cost lie in the legacy planner's 95 %
intervals. Writes benchmarks/results/legacy_planner.json with every episode's row. What a decision of each takes is
measured by planning.py.
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


def measure(path: Path, preset: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train and evaluate one preset; what is there is not done again. The rows of its episodes."""
    updates = ["--model-updates", options.updates, "--value-updates", options.updates] if preset == "legacy" else []
    if not is_trained(path):
        run(
            "train", "--algorithm", "trebi", "--task", options.task, "--data", options.data, "--preset", preset,
            "--seeds", "0:1", "--out", path, "--resume", *updates,
        )  # fmt: skip
    lanes = 1 if preset == "legacy" else options.episodes
    run("evaluate", path, "--budget", options.ratio, "--episodes", options.episodes, "--lanes", lanes, "--workers", 1)
    rows = [row for row in read_rows(path / FOLDER / ROWS) if row["ratio"] == options.ratio]
    return [row for row in rows if row["episode"] < options.episodes]


def compare(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Means and intervals of both, and whether those of `small` lie in those of `legacy`."""
    found: dict[str, Any] = {}
    for preset, episodes in rows.items():
        found[preset] = {"episodes": len(episodes)}
        for column in ("return", "cost"):
            values = np.array([row[column] for row in episodes])
            found[preset][column] = {"mean": float(values.mean()), "interval": list(bootstrap_interval([values]))}
    for column in ("return", "cost"):
        low, high = found["legacy"][column]["interval"]
        found[f"{column}_within"] = bool(low <= found["small"][column]["mean"] <= high)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/legacy"))
    parser.add_argument("--updates", type=int, default=8_000, help="of each phase of the legacy preset")
    parser.add_argument("--ratio", type=float, default=0.6, help="of the task's largest budget")
    parser.add_argument("--episodes", type=int, default=40)
    options = parser.parse_args()
    rows = {preset: measure(options.runs / preset, preset, options) for preset in ("small", "legacy")}
    results = {**_machine.head(), "settings": {name: str(value) for name, value in vars(options).items()}}
    results |= compare(rows) | {"rows": rows}
    print(json.dumps({name: value for name, value in results.items() if name != "rows"}, indent=2))
    print(_machine.write("legacy_planner", results))


if __name__ == "__main__":
    main()
