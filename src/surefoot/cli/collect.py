"""`surefoot collect`: a dataset from our own behaviours or from a learner in a simulator, with its card."""

import os
from collections.abc import Collection as Names
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from surefoot import data
from surefoot.checkpoint import versions
from surefoot.cli.collect_own import collect_own_task
from surefoot.cli.options import parse
from surefoot.cli.progress import ProgressLine, Terminal
from surefoot.cli.remarks import StrictOption, remark
from surefoot.cli.routes import given_options
from surefoot.cli.terminal import note, say
from surefoot.collection.card import make_card
from surefoot.collection.collection import Collection
from surefoot.collection.collector import collect as collect_simulated
from surefoot.collection.recipes import Recipe, recipe_of
from surefoot.collection.replay_collector import ReplayCollection, collect_replay, parts
from surefoot.collection.replay_recipes import REPLAY_RECIPES, replay_recipe
from surefoot.collection.store import Store
from surefoot.data import Dataset, pixels
from surefoot.data.describe import coverage
from surefoot.data.frames import FrameData
from surefoot.data.remarks import remarks
from surefoot.envs import hazard_run
from surefoot.envs.vector import VectorEnv
from surefoot.errors import ConfigError, DataError, flag
from surefoot.evaluation.collect import collect_hazard_run, collect_point_robot, collect_point_robot_pixels
from surefoot.faults import Faults
from surefoot.file_sets import check_file_place, check_writable
from surefoot.ranges import SEED, Range, check_count, check_fields
from surefoot.routes import Routes, refuse_others
from surefoot.tasks import Task, get_task
from surefoot.tasks.own_task import is_task_file

DEFAULT_TRANSITIONS, VISION_TRANSITIONS = 100_000, 20_000


@dataclass(frozen=True, kw_only=True)
class CollectOptions(StrictOption):
    """Collect a dataset. PointRobot and PointRobotSlow: half from random held actions, half from goal-seekers of varied
    caution.
    HazardRun and PointRobotPixels: images of as much random, careless and careful behaviour; PointGoal1Vision and its
    like the same from the robot's cameras, into a folder that grows when more transitions are asked for. DSRL's tasks:
    every episode of a safe learner whose cost limit rises, in navigation after those of scripted drivers of varied
    caution, in MetaDrive those of drivers alone, thinned on a grid of cost and return. TREBI's tasks, with
    --recipe medium-replay: the whole replay buffer of SAC, which ignores costs.

    A collection by a learner that was stopped or killed goes on when the same command is started again.
    """

    task: str = "PointRobot"
    """PointRobot, PointRobotSlow, one of DSRL's, by either name, one of TREBI's, or a task file with an environment."""
    recipe: Literal["default", "medium-replay"] = "default"
    """default: the task's own, as above. medium-replay: SAC's replay buffer, for TREBI's tasks."""
    transitions: Annotated[int | None, Range("[1, 10^9]")] = None
    """Rows of the file, by default 100,000 (HazardRun: 18,000, Vision: 20,000, navigation by drivers 330,000 or
    220,000): exactly so many for PointRobot, at least so many, in whole episodes, elsewhere. Not with --recipe
    medium-replay, whose file holds all whole episodes."""
    seed: Annotated[int, Range(SEED)] = 0
    """Of all randomness; the same seed gives the same data."""
    policy: str | None = None
    """Task files only: who acts. "random" (actions held for a few steps; the default), "pid" (the environment's own,
    where it brings one), or "module:function", called with each observation, in the task file's units."""
    episodes: Annotated[int | None, Range("[1, 10^7]")] = None
    """Task files only: whole episodes, in place of --transitions."""
    noise: Annotated[float | None, Range("[0, 10]")] = None
    """Task files only: standard deviation of the noise on the policy's actions, in halves of their ranges."""
    steps: Annotated[int | None, Range("[1, 10^9]")] = None
    """Learners only: environment steps to simulate, of which the file keeps a part, or all of them with --recipe
    medium-replay; by default as the recipe says."""
    workers: Annotated[int | None, Range("[0, 1024]")] = None
    """Simulators only: processes that simulate, 0 for this one; by default one per core. The data do not depend on it
    unless a process dies. Not with --recipe medium-replay, which simulates in this process."""
    out: Path
    """HDF5 file to write, in DSRL's format, or a log that ends in .csv for task files; images in our own format of
    frames, those of a robot's cameras as a folder of episodes."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""

    def __post_init__(self) -> None:
        check_fields(self, called=flag)


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        options = parse(CollectOptions, arguments, command="collect", faults=faults)
        dataset = collect(options, given=given_options(CollectOptions, arguments, refused=faults.flags), faults=faults)
    say(f"{options.out}: {_coverage_sentence(dataset)}")
    remark(remarks(dataset, get_task(options.task), place=str(options.out)), strict=options.strict)
    if options.out.is_dir() or options.out.suffix.lower() == ".csv":
        return
    for sentence in data.read_card(options.out).get("falls_short", []):
        say(f"falls short: {sentence}")


_COMMON = frozenset(("task", "recipe", "seed", "out", "strict"))
ROUTES: Routes = {
    "own behaviours": _COMMON | {"transitions", "overwrite"},
    "images of a robot's cameras": _COMMON | {"transitions", "workers"},
    "a learner in a simulator": _COMMON | {"transitions", "steps", "workers", "overwrite"},
    "medium-replay": _COMMON | {"steps", "overwrite"},
    "a task file": _COMMON | {"policy", "episodes", "transitions", "noise", "workers", "overwrite"},
}
"""How data are collected -> the options that are read."""


def collect(options: CollectOptions, *, given: Names[str] = (), faults: Faults | None = None) -> Dataset | FrameData:
    """Collect and write what the options say. Raises `ConfigError` before any work where the file exists, or an option
    is set that is not read; `given` are those that a command line names, `faults` what is wrong with it so far."""
    task = get_task(options.task)
    with faults or Faults() as gathered:
        _check_name(task)
        route, whose = _route(options, task)
        with gathered.also():
            refuse_others(options, ROUTES[route], whose, given=given)
        if options.out.exists() and not options.overwrite and task.vision is None:  # a folder of images grows
            gathered.add(
                f"{options.out}: the file exists already; add --overwrite to replace it, or choose another with --out"
            )
        if options.overwrite and task.vision is None:
            check_file_place(options.out)
        check_writable(options.out if options.out.is_dir() else options.out.parent)
    if route == "a task file":
        return collect_own_task(options, task)
    if route == "medium-replay":
        return _collect_replay(options, task)
    if route == "images of a robot's cameras":
        return _collect_vision(options, task)
    if route == "a learner in a simulator":
        return _collect_simulated(options, task)
    if task.image_shape is not None:
        return _collect_images(options, task)
    check_count(_rows(options), "--transitions", "[2, 10^9]")  # half of each behaviour
    with ProgressLine("collecting", unit="transitions") as line:
        dataset = collect_point_robot(
            transitions=_rows(options), seed=options.seed, task=task.name, on_progress=line.report
        )
    data.save(options.out, dataset, card=_card(options, dataset))
    return dataset


def _check_name(task: Task) -> None:
    """Refuse a name that promises data which are not made here: `ConfigError` says what can be collected instead."""
    if task.collected_as is None:
        return
    if task.image_shape is not None:
        raise ConfigError(f"--task: {task.name} is there to fine-tune on; collect {task.collected_as}.")
    raise ConfigError(
        f"--task: {task.name} is a set of D4RL's, which is published and not collected here; collect "
        f"{task.collected_as} --recipe medium-replay makes data of that robot anew."
    )


def _route(options: CollectOptions, task: Task) -> tuple[str, str]:
    """How the data are collected, a key of `ROUTES`, and what does so in words."""
    if is_task_file(options.task) or task.file is not None:
        return "a task file", f"{task.name}, a task of your own"
    if options.recipe == "medium-replay":
        replay_recipe(task)  # refused where the task has none
        return "medium-replay", "the recipe medium-replay"
    if task.recipe in REPLAY_RECIPES:
        raise ConfigError(f"--recipe: expected medium-replay for {task.name}, found default.")
    if task.vision is not None:
        return "images of a robot's cameras", f"{task.name}, whose behaviours are scripted and whose folder grows"
    if task.simulated:
        return "a learner in a simulator", task.name
    return "own behaviours", f"{task.name}, which has no simulator"


_Behaviors = list[tuple[str, int]]
"""Names, and episodes of each."""


def _hazard_run(task: str, **how: Any) -> tuple[FrameData, _Behaviors]:
    frames = collect_hazard_run(**how)
    each = len(frames.lengths) // len(hazard_run.BEHAVIORS)
    return frames, [(name, each) for name in hazard_run.BEHAVIORS]


def _pixels(task: str, **how: Any) -> tuple[FrameData, _Behaviors]:
    found = collect_point_robot_pixels(task=task, **how)
    return found.frames, found.behaviors


IMAGES = {
    "HazardRun": (18_000, _hazard_run),
    "PointRobotPixels": (100_000, _pixels),
    "PointRobotPixels64": (100_000, _pixels),
}
"""Our own task of images -> steps of its data, and what collects them."""


def _collect_images(options: CollectOptions, task: Task) -> FrameData:
    usual, collector = IMAGES[task.name]
    wanted = usual if options.transitions is None else options.transitions
    with ProgressLine(f"collecting {task.name}", unit="transitions") as line:
        frames, behaviors = collector(task.name, transitions=wanted, seed=options.seed, on_progress=line.report)
    ends = np.cumsum([count for _, count in behaviors]).tolist()
    card = {
        "recipe": "surefoot collect: whole episodes, as much of each behaviour",
        "behaviours": [
            {"name": name, "episodes": [end - count, end]} for (name, count), end in zip(behaviors, ends, strict=True)
        ],
        "seed": options.seed,
        "versions": versions(),
        "coverage": coverage(frames),
    }
    pixels.save(options.out, frames, card=card)
    return frames


def _collect_vision(options: CollectOptions, task: Task) -> FrameData:
    from surefoot.collection.pixels import PixelCollection, collect_pixels
    from surefoot.envs.simulators.drawing import choose_renderer
    from surefoot.envs.workers.players import Players

    if options.out.is_file():
        raise ConfigError(f"--out: expected a folder for {task.name}, new or to go on with; remove what lies there.")
    cores = os.cpu_count() or 1
    workers = cores if options.workers is None else options.workers
    renderer = choose_renderer(task.name).upper()
    note(f"{task.name}: drawn by {renderer}, {workers} processes.")
    wanted = VISION_TRANSITIONS if options.transitions is None else options.transitions
    with ProgressLine(f"collecting {task.name}", unit="transitions") as line:
        frames, _ = collect_pixels(
            PixelCollection(task, wanted, options.seed, options.out),
            lambda: Players(task, workers=workers, on_death=Terminal().warn_of_death),
            renderer=renderer,
            on_progress=line.report,
        )
    return frames


def _rows(options: CollectOptions, *, default: int = DEFAULT_TRANSITIONS) -> int:
    return default if options.transitions is None else options.transitions


def _collect_replay(options: CollectOptions, task: Task) -> Dataset:
    recipe = replay_recipe(task, steps=options.steps)
    # In a simulator each part begins new episodes; in pure JAX they go on.
    each = max(after - first for first, after in parts(recipe)) if task.simulated else recipe.rounds
    simulated = recipe.rounds * recipe.lanes
    _check_steps(task, wanted=recipe.steps, simulated=simulated, lanes=recipe.lanes, each=each)
    collection = ReplayCollection(task, recipe, options.seed, Store.beside(options.out))

    def open_simulators() -> AbstractContextManager[VectorEnv]:
        from surefoot.envs.workers.vector import VectorSimulator

        return VectorSimulator(task, num_envs=recipe.lanes, workers=0)

    opener = open_simulators if task.simulated else None
    with ProgressLine(f"collecting {task.name}", unit="steps") as line:
        dataset, card = collect_replay(
            collection, opener, on_progress=lambda told: line.report(told.done, told.total, phase=told.phase)
        )
    _save_whole(options.out, dataset, card, collection.store)
    return dataset


def _save_whole(out: Path, dataset: Dataset, card: dict[str, Any], store: Store) -> None:
    """Write a collection's file, and remove the parts that it was made of once it was found good and lies there."""
    try:
        data.save(out, dataset, card=card)
    except DataError as error:
        raise DataError(f"{str(error).rstrip('.')}; what was collected is kept in {store.path}.") from error
    store.remove()


def _collect_simulated(options: CollectOptions, task: Task) -> Dataset:
    # Here: nothing else of this command needs a simulator.
    from surefoot.envs.workers.vector import VectorSimulator

    recipe = _recipe(options, task)
    workers = _workers(options, recipe)
    wanted = _rows(options, default=recipe.transitions)
    collection = Collection(task, recipe, options.seed, wanted, Store.beside(options.out))
    with ProgressLine(f"collecting {task.name}", unit="steps") as line:
        dataset, made = collect_simulated(
            collection,
            lambda: VectorSimulator(task, num_envs=recipe.lanes, workers=workers, on_death=Terminal().warn_of_death),
            on_progress=lambda progress: line.report(progress.done, progress.total, phase=progress.phase),
        )
    card = make_card(dataset, task, transitions=_rows(options), made=made)
    _save_whole(options.out, dataset, card, collection.store)
    return dataset


def _recipe(options: CollectOptions, task: Task) -> Recipe:
    recipe = recipe_of(task)
    if options.steps is None:
        return recipe
    recipe = replace(recipe, steps=options.steps)
    simulated, lanes = recipe.total_steps(task), recipe.lanes * recipe.runs
    # Scripted episodes are whole, however few steps are asked for.
    each = recipe.iterations * recipe.iteration if recipe.scripted == 0.0 else recipe.steps // lanes
    _check_steps(task, wanted=recipe.steps, simulated=simulated, lanes=lanes, each=each)
    return recipe


def _check_steps(task: Task, *, wanted: int, simulated: int, lanes: int, each: int) -> None:
    """Say to how many steps a number is rounded; `ConfigError` where no episode of full length fits in. `each`: steps
    one after the other in a lane."""
    if simulated != wanted:
        note(f"{task.name}: {simulated:,} environment steps, {wanted:,} rounded to whole rounds of the learner.")
    if each < task.horizon:
        raise ConfigError(
            f"--steps: expected enough for a whole episode of {task.horizon:,} steps in each of {lanes} lanes, about "
            f"{lanes * task.horizon:,}, found {wanted:,}, which is {each:,} steps in each lane."
        )


def _workers(options: CollectOptions, recipe: Recipe) -> int:
    if options.workers is None:
        return min(os.cpu_count() or 1, recipe.lanes)
    if not 0 <= options.workers <= recipe.lanes:
        raise ConfigError(f"--workers: expected 0 to {recipe.lanes} processes, found {options.workers}.")
    return options.workers


def _card(options: CollectOptions, dataset: Dataset) -> dict[str, Any]:
    rows = _rows(options)
    half = rows // 2
    return {
        "task": options.task,
        "recipe": "surefoot collect: episodes from the task's reset distribution, the last of each half cut to fit",
        "behaviours": [
            {"name": "random held actions", "rows": [0, half]},
            {"name": "goal-seekers of varied caution", "rows": [half, rows]},
        ],
        "seed": options.seed,
        "versions": versions(),
        "coverage": coverage(dataset),
    }


def _coverage_sentence(dataset: Dataset | FrameData) -> str:
    found = coverage(dataset)
    return (
        f"{found['transitions']:,} transitions in {found['episodes']:,} episodes, "
        f"{found['violation_free_rate']:.1%} of them without violation, mean return {found['return_mean']:.2f}."
    )
