"""`surefoot collect`: a dataset from our own behaviours or from a learner in a simulator, with its card."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from surefoot import data
from surefoot.checkpoint import versions
from surefoot.cli.options import parse
from surefoot.cli.progress import ProgressLine
from surefoot.collection.card import make_card
from surefoot.collection.collector import Collection
from surefoot.collection.collector import collect as collect_simulated
from surefoot.collection.recipes import Recipe, recipe_of
from surefoot.collection.store import Store
from surefoot.data import Dataset
from surefoot.errors import ConfigError
from surefoot.evaluation.collect import collect_point_robot
from surefoot.tasks import Task, get_task


@dataclass(frozen=True, kw_only=True)
class CollectOptions:
    """Collect a dataset. PointRobot: half from random held actions, half from goal-seekers of varied caution. DSRL's
    tasks: every episode of a safe learner whose cost limit rises, thinned on a grid of cost and return.

    A collection from a simulator that was stopped or killed goes on when the same command is started again.
    """

    task: str = "PointRobot"
    """Name of the task: PointRobot, or one of DSRL's, by either of its names."""
    transitions: int = 100_000
    """Rows of the file: exactly so many for PointRobot, at least so many, in whole episodes, from a simulator."""
    seed: int = 0
    """Of all randomness; the same seed gives the same data."""
    steps: int | None = None
    """Simulators only: environment steps to simulate, of which the file keeps a part; by default as the recipe says."""
    workers: int | None = None
    """Simulators only: processes that simulate, 0 for this one; by default one per core. The data do not depend on it
    unless a process dies."""
    out: Path
    """HDF5 file to write, in DSRL's format."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = parse(CollectOptions, arguments, command="collect")
    dataset = collect(options)
    print(f"{options.out}: {_coverage_sentence(dataset)}")
    for sentence in data.read_card(options.out).get("falls_short", []):
        print(f"falls short: {sentence}")


def collect(options: CollectOptions) -> Dataset:
    """Collect and write what the options say. Raises `ConfigError` before any work where the file exists."""
    task = get_task(options.task)
    if options.out.exists() and not options.overwrite:
        raise ConfigError(
            f"{options.out}: the file exists already; add --overwrite to replace it, or choose another with --out."
        )
    if not 0 <= options.seed < 2**31:
        raise ConfigError(f"--seed: expected a whole number from 0 to 2**31 - 1, found {options.seed}.")
    if task.suite != "surefoot":
        return _collect_simulated(options, task)
    for name in ("steps", "workers"):
        if (found := getattr(options, name)) is not None:
            raise ConfigError(f"--{name}: expected none for {task.name}, which has no simulator, found {found}.")
    with ProgressLine("collecting", unit="transitions") as line:
        dataset = collect_point_robot(transitions=options.transitions, seed=options.seed, on_progress=line.report)
    data.save(options.out, dataset, card=_card(options, dataset))
    return dataset


def _collect_simulated(options: CollectOptions, task: Task) -> Dataset:
    # Here: nothing else of this command needs a simulator.
    from surefoot.envs.vector import VectorSimulator, WorkerDeath

    def tell(death: WorkerDeath) -> None:
        seeds = ", ".join(map(str, death.seeds))
        sentence = f"a process that simulates {death.task} died ({death.how}); its episodes begin again, seeds {seeds}."
        print(f"warning: {sentence}", file=sys.stderr)

    recipe = _recipe(options, task)
    workers = _workers(options, recipe)
    collection = Collection(task, recipe, options.seed, options.transitions, Store.beside(options.out))
    with ProgressLine(f"collecting {task.name}", unit="steps") as line:
        dataset, made = collect_simulated(
            collection,
            lambda: VectorSimulator(task, count=recipe.lanes, workers=workers, on_death=tell),
            on_progress=lambda progress: line.report(progress.done, progress.total, phase=progress.phase),
        )
    data.save(options.out, dataset, card=make_card(dataset, task, transitions=options.transitions, made=made))
    collection.store.remove()
    return dataset


def _recipe(options: CollectOptions, task: Task) -> Recipe:
    if options.steps is not None and options.steps < 1:
        raise ConfigError(f"--steps: expected at least 1, found {options.steps}.")
    recipe = recipe_of(task)
    return recipe if options.steps is None else replace(recipe, steps=options.steps)


def _workers(options: CollectOptions, recipe: Recipe) -> int:
    if options.workers is None:
        return min(os.cpu_count() or 1, recipe.lanes)
    if not 0 <= options.workers <= recipe.lanes:
        raise ConfigError(f"--workers: expected 0 to {recipe.lanes} processes, found {options.workers}.")
    return options.workers


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
