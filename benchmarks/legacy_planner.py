"""Does TREBI's fast preset lose return, or keep costs worse, against the authors' planner at its full size?

    python benchmarks/legacy_planner.py SafeReacher --data FILE      # hours of CPU; killed, it goes on
    python benchmarks/legacy_planner.py SafeReacher --data FILE --num-envs 40     # with a GPU: minutes

Trains `small`, and `legacy` (networks of 4 and 4.6 million parameters, 20 denoising steps, two gradient steps before
each, 128 candidates) for `--updates` of each of its phases instead of the authors' 200,000, on the same data, each seed
a run of its own in `--runs`. `legacy_fast` plans with the networks of `legacy`, whose training is the same. All plan
the same episodes under one budget. Says whether the mean return and cost of the two fast ones lie in the legacy
planner's 95 % intervals: of each seed, and over all. Writes benchmarks/results/legacy_planner: summary and rows.
What a decision of each takes is measured by planning.py.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import _machine
from _commands import is_trained, run
from surefoot.evaluation.evaluation import evaluate
from surefoot.evaluation.kinds.budgets import ROWS, BudgetRequest, under_budgets
from surefoot.evaluation.metrics import bootstrap_interval
from surefoot.evaluation.rows import read_budget_rows
from surefoot.presets.trebi import TREBI_PRESETS
from surefoot.result_files import write_results
from surefoot.runs.loaded import FOLDER, load_run

ACTING = ("num_candidates", "sampler", "guide", "chosen_by")
"""What sets `legacy_fast` apart from `legacy`: training reads none of it."""


def train(path: Path, preset: str, seed: int, options: argparse.Namespace) -> None:
    """One seed of a preset, unless it is there."""
    updates = ["--model-updates", options.updates, "--value-updates", options.updates] if preset == "legacy" else []
    if not is_trained(path):
        run(
            "train", "--algorithm", "trebi", "--task", options.task, "--data", options.data, "--preset", preset,
            "--seeds", f"{seed}:{seed + 1}", "--out", path, "--resume", *updates,
        )  # fmt: skip


def plan(path: Path, preset: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of the episodes that a run's networks plan as the preset does; episodes that are there are kept."""
    acting = {name: TREBI_PRESETS[preset][name] for name in ACTING} if preset == "legacy_fast" else {}
    loaded = load_run(path, acting)
    lanes = options.num_envs if preset == "legacy" else options.episodes
    request = BudgetRequest(budget=(options.ratio,), num_envs=lanes)
    changed = {"preset": preset} if acting else {}
    setting = evaluate(under_budgets(loaded, request, episodes=options.episodes), loaded, changed=changed)["budgets"][
        "setting"
    ]
    rows = [row for row in read_budget_rows(path / FOLDER / ROWS) if row["setting"] == setting]
    return [row for row in rows if row["episode"] < options.episodes]


def compare(fast: list[list[dict[str, Any]]], legacy: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Means of the rows of some seeds, the legacy planner's intervals, and whether the former lie there."""
    found: dict[str, Any] = {}
    for column in ("return", "cost"):
        ours, theirs = ([[row[column] for row in rows] for rows in seeds] for seeds in (fast, legacy))
        low, high = bootstrap_interval(theirs)
        mean = float(np.mean(np.concatenate(ours)))
        found[column] = {
            "mean": mean,
            "interval": list(bootstrap_interval(ours)),
            "legacy": float(np.mean(np.concatenate(theirs))),
            "legacy_interval": [low, high],
            "within": bool(low <= mean <= high),
            "not_worse": bool(mean >= low if column == "return" else mean <= high),
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
    parser.add_argument("--num-envs", type=int, default=1, help="episodes of the legacy planner side by side")
    options = parser.parse_args()
    rows: dict[str, list[list[dict[str, Any]]]] = {preset: [] for preset in ("small", "legacy_fast", "legacy")}
    for seed in options.seeds:
        for preset in ("small", "legacy"):
            train(options.runs / f"{preset}-{seed}", preset, seed, options)
        for preset, seeds in rows.items():
            networks = "small" if preset == "small" else "legacy"
            seeds.append(plan(options.runs / f"{networks}-{seed}", preset, options))
    results = {**_machine.head(), "settings": {name: str(value) for name, value in vars(options).items()}}
    for preset in ("small", "legacy_fast"):
        found = {"all": compare(rows[preset], rows["legacy"])}
        for place, seed in enumerate(options.seeds):
            found[f"seed {seed}"] = compare([rows[preset][place]], [rows["legacy"][place]])
        results[preset] = found
        print(json.dumps({preset: found}, indent=2))
    episodes = [{"planner": preset, **row} for preset, seeds in rows.items() for found in seeds for row in found]
    write_results(_machine.RESULTS / "legacy_planner", {"summary.json": results, "rows.jsonl.gz": episodes})


if __name__ == "__main__":
    main()
