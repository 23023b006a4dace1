"""TREBI under budgets on one task: five budgets and none, with and without calibrated margins.

    python benchmarks/budgets.py SafePendulum --data FILE [--preset small] [--seeds 0:3] [--method selected]

Trains what is not trained yet, evaluates 40 episodes of each seed and budget without a margin, calibrates, evaluates
with the margin of each level, times `act`, and writes RESULTS/<task>/: rows.jsonl.gz (every row), summary.json,
table.md, levels.md, budgets.png, calibration.png; the page lies in the run. Killed and started again with the same
options it goes on. Every option after `--` goes to the training.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from _commands import is_trained, run
from _machine import own_and_further_words
from surefoot.errors import flag
from surefoot.evaluation.kinds.budgets import ROWS
from surefoot.evaluation.rows import read_budget_rows
from surefoot.report.budget_figures import budget_figures, levels_of
from surefoot.report.key_figures import budget_verdict
from surefoot.report.style import png_of
from surefoot.report.summary_rows import budget_rows, level_name
from surefoot.report.tables import DASH, markdown_table, percent
from surefoot.result_files import ROWS as PUBLISHED_ROWS
from surefoot.result_files import write_results
from surefoot.runs.loaded import FOLDER, MARGINS, given_overrides
from surefoot.runs.summary import read_summary
from surefoot.safety.calibration import CalibrationMethod
from surefoot.training import RunDirectory

FIGURES = ("budgets", "calibration")
"""Those that documentation shows of some task."""
CALIBRATION_EPISODES = 1000
"""Number of the first episode that calibrates, with --method episodes and budgets: other starts than are measured."""


def measure(path: Path, options: argparse.Namespace) -> None:
    """All evaluations of a trained run; what is there is not done again."""
    limits = options.cost_limits or []
    ratios = [] if limits else ["--budget", *options.budgets]
    budgets = [*ratios, *(["--cost-limit", *limits] if limits else [])]
    margins = [word for name, value in given_overrides(options, MARGINS).items() for word in (flag(name), value)]
    common = ["--episodes", options.episodes, "--num-envs", options.num_envs, "--workers", options.workers, *margins]
    measured = [*common, "--first-episode", options.first_episode]
    run("evaluate", path, *ratios, "--cost-limit", *limits, "inf", *measured)
    if not options.levels:
        return
    if options.method in ("episodes", "budgets"):
        first = ["--first-episode", CALIBRATION_EPISODES]
        kind = "--cost-limit" if limits else "--budget"
        tried = [kind, *options.calibration_budgets] if options.calibration_budgets else budgets
        run("evaluate", path, *tried, *common, *first)
        run("calibrate", path, "--level", *options.levels, "--method", options.method, *margins, *first)
    else:
        held_out = [] if options.held_out is None else ["--data", options.held_out]
        run("calibrate", path, "--level", *options.levels, "--method", options.method, *margins, *held_out)
    for level in options.levels:
        run("evaluate", path, *budgets, *measured, "--level", level)


def write(path: Path, out: Path, task: str, episodes: range, overrides: dict[str, Any]) -> None:
    """The run's rows of these episodes, planned with these overrides, tables, figures and page into the folder of
    results."""
    rows = [
        row
        for row in read_budget_rows(path / FOLDER / ROWS)
        if row["episode"] in episodes and row.get("overrides", {}) == overrides
    ]
    if not rows:
        sys.exit(f"{path}: expected rows of episodes {episodes.start} to {episodes.stop - 1}, found none.")
    levels = [figures for figures, _ in levels_of(rows)]
    plain = levels[0]
    summary = {name: value for name, value in read_summary(path).items() if name != "budgets"}
    contents: dict[str, Any] = {
        PUBLISHED_ROWS: rows,
        "table.md": f"{markdown_table(budget_rows(plain))}\n{budget_verdict(plain)}\n",
        "levels.md": markdown_table(level_rows(levels)),
        "summary.json": {**summary, "levels": levels},
    }
    for name, (figure, _) in budget_figures(path, task).items():
        if name in FIGURES:
            contents[f"{name}.png"] = png_of(figure, dpi=150)
    if (path / "calibration.json").exists():
        contents["calibration.json"] = json.loads((path / "calibration.json").read_text(encoding="utf-8"))
    write_results(out, contents)
    run("report", path)


def level_rows(levels: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """A row for each level of calibration (none first) and budget: how many episodes exceeded it, and the return."""
    return [
        {
            "margin": level_name(figures["level"]),
            "budget": record["asked"],
            "over budget": percent(record["exceeded_rate"]),
            "normalised cost": f"{record['normalised_cost_mean']:.3f}" if record["budget"] else DASH,
            "return": f"{record['return_mean']:.1f}",
        }
        for figures in levels
        for record in figures["budgets"]
        if record["budget"] is not None
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--seeds", default="0:3")
    parser.add_argument("--budgets", nargs="+", default=["0.2", "0.4", "0.6", "0.8", "1.0"], help="ratios")
    parser.add_argument("--cost-limits", nargs="+", help="instead of ratios, where a task has no maximum")
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--first-episode", type=int, default=0, help="number of the first that is measured")
    parser.add_argument("--num-envs", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--levels", nargs="*", default=["0.05", "0.1"], help="none: no calibration")
    parser.add_argument("--method", choices=get_args(CalibrationMethod), default="selected")
    parser.add_argument(
        "--calibration-budgets",
        nargs="+",
        help="budgets that calibrate, with episodes and budgets; ratios, or limits where limits are measured",
    )
    parser.add_argument("--held-out", type=Path, help="data that calibrate; by default what training has held out")
    for name in MARGINS:
        parser.add_argument(flag(name), type=float, help="the planner's, instead of the run's own")
    parser.add_argument("--run", type=Path, help="folder of the run; by default runs/trebi/TASK")
    parser.add_argument("--out", type=Path, default=Path("results/trebi"))
    own, further = own_and_further_words()
    options = parser.parse_args(own)
    path = options.run or Path("runs/trebi") / options.task
    if not is_trained(path):
        run(
            "train", "--algorithm", "trebi", "--task", options.task, "--data", options.data, "--preset", options.preset,
            "--seeds", options.seeds, "--out", path, "--resume", *further,
        )  # fmt: skip
    measure(path, options)
    run("bench", "act", path)
    first = options.first_episode
    episodes = range(first, first + options.episodes)
    overrides = RunDirectory(path).read_config().differing(given_overrides(options, MARGINS))
    write(path, options.out / options.task, options.task, episodes, overrides)
    print(f"Results lie in {options.out / options.task}")


if __name__ == "__main__":
    main()
