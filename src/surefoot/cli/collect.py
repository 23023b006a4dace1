"""`surefoot collect`: a dataset from our own behaviours, with its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from surefoot import data
from surefoot.checkpoint import versions
from surefoot.cli.options import parse
from surefoot.cli.progress import ProgressLine
from surefoot.data import Dataset
from surefoot.errors import ConfigError
from surefoot.evaluation.collect import collect_point_robot
from surefoot.tasks import get_task


@dataclass(frozen=True, kw_only=True)
class CollectOptions:
    """Collect a dataset: half from random held actions, half from goal-seekers of varied caution."""

    task: str = "PointRobot"
    """Name of the task."""
    transitions: int = 100_000
    """Environment steps to collect."""
    seed: int = 0
    """Of all randomness; the same seed gives the same data."""
    out: Path
    """HDF5 file to write, in DSRL's format."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


COLLECTORS = {"PointRobot": collect_point_robot}
"""Task -> how its data are collected."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = parse(CollectOptions, arguments, command="collect")
    dataset = collect(options)
    print(f"{options.out}: {_coverage_sentence(dataset)}")


def collect(options: CollectOptions) -> Dataset:
    """Collect and write what the options say. Raises `ConfigError` before any work where the file exists."""
    task = get_task(options.task)
    if options.out.exists() and not options.overwrite:
        raise ConfigError(
            f"{options.out}: the file exists already; add --overwrite to replace it, or choose another with --out."
        )
    if not 0 <= options.seed < 2**31:
        raise ConfigError(f"--seed: expected a whole number from 0 to 2**31 - 1, found {options.seed}.")
    with ProgressLine("collecting", unit="transitions") as line:
        dataset = COLLECTORS[task.name](transitions=options.transitions, seed=options.seed, on_progress=line.report)
    data.save(options.out, dataset, card=_card(options, dataset))
    return dataset


def coverage(dataset: Dataset) -> dict[str, Any]:
    """What the complete episodes of a dataset are like, as JSON values."""
    free = dataset.violating_steps == 0
    return {
        "transitions": len(dataset),
        "episodes": len(free),
        "violation_free_rate": float(free.mean()) if len(free) else None,
        "return_mean": float(dataset.returns.mean()) if len(free) else None,
        "violating_steps_mean": float(dataset.violating_steps.mean()) if len(free) else None,
    }


def _card(options: CollectOptions, dataset: Dataset) -> dict[str, Any]:
    half = options.transitions // 2
    return {
        "task": options.task,
        "recipe": "surefoot collect: episodes from the task's reset distribution, the last of each half cut to fit",
        "behaviours": [
            {"name": "random held actions", "rows": [0, half]},
            {"name": "goal-seekers of varied caution", "rows": [half, options.transitions]},
        ],
        "seed": options.seed,
        "versions": versions(),
        "coverage": coverage(dataset),
    }


def _coverage_sentence(dataset: Dataset) -> str:
    found = coverage(dataset)
    return (
        f"{found['transitions']:,} transitions in {found['episodes']:,} episodes, "
        f"{found['violation_free_rate']:.1%} of them without violation, mean return {found['return_mean']:.2f}."
    )
