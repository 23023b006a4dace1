"""Collect data: scripted behaviors, learners in simulators, or a user's policy on a task file's environment."""

from collections.abc import Collection as Names
from typing import Any

import numpy as np

from surefoot import data
from surefoot.checkpoint import versions
from surefoot.collection.replay_recipes import REPLAY_RECIPES, replay_recipe
from surefoot.data import Dataset, pixels
from surefoot.data.describe import coverage
from surefoot.data.frames import FrameData
from surefoot.envs import hazard_run
from surefoot.errors import ConfigError, option
from surefoot.evaluation.collect import collect_hazard_run, collect_point_robot, collect_point_robot_pixels
from surefoot.experiments.collect_request import CollectRequest
from surefoot.experiments.collect_simulated import (
    collect_by_learner,
    collect_own_task,
    collect_replay_buffer,
    collect_vision,
)
from surefoot.faults import Faults
from surefoot.file_sets import check_file_place, check_writable
from surefoot.observer import Observer
from surefoot.ranges import check_count
from surefoot.routes import Routes, refuse_others
from surefoot.tasks import Task, get_task
from surefoot.tasks.own_task import is_task_file

_COMMON = frozenset(("task", "recipe", "seed", "out", "strict"))
ROUTES: Routes = {
    "own behaviours": _COMMON | {"transitions", "overwrite"},
    "images of a robot's cameras": _COMMON | {"transitions", "workers"},
    "a learner in a simulator": _COMMON | {"transitions", "steps", "workers", "overwrite"},
    "medium-replay": _COMMON | {"steps", "overwrite"},
    "a task file": _COMMON | {"policy", "episodes", "transitions", "noise", "workers", "overwrite"},
}
"""Way to collect data -> the options that are read."""


def collect(
    request: CollectRequest,
    *,
    given: Names[str] = (),
    observer: Observer | None = None,
    faults: Faults | None = None,
) -> Dataset | FrameData:
    """Collect data, write them, and return them.

    Args:
        request: Options of the collection.
        given: Options that the user named, which are refused where nothing reads them.
        observer: Receives progress and remarks.
        faults: Faults of the request found so far.

    Returns:
        Transitions, or frames for images.

    Raises:
        ConfigError: The file exists, or an option is not read; raised before any work.
    """
    observer = observer or Observer()
    task = get_task(request.task)
    with faults or Faults() as gathered:
        _check_name(task)
        route, whose = _route(request, task)
        with gathered.also():
            refuse_others(request, ROUTES[route], whose, given=given)
        if request.out.exists() and not request.overwrite and task.vision is None:  # a folder of images grows
            gathered.add(
                f"{request.out}: the file exists already; add {option('overwrite')} to replace it, or choose another "
                f"with {option('out')}"
            )
        if request.overwrite and task.vision is None:
            check_file_place(request.out)
        check_writable(request.out if request.out.is_dir() else request.out.parent)
    if route == "a task file":
        return collect_own_task(request, task, observer)
    if route == "medium-replay":
        return collect_replay_buffer(request, task, observer)
    if route == "images of a robot's cameras":
        return collect_vision(request, task, observer)
    if route == "a learner in a simulator":
        return collect_by_learner(request, task, observer)
    if task.image_shape is not None:
        return _collect_images(request, task, observer)
    check_count(request.rows(), option("transitions"), "[2, 10^9]")  # half of each behaviour
    with observer.progress("collecting", unit="transitions") as line:
        dataset = collect_point_robot(
            transitions=request.rows(), seed=request.seed, task=task.name, on_progress=line.report
        )
    data.save(request.out, dataset, card=_card(request, dataset))
    return dataset


def _check_name(task: Task) -> None:
    """Refuse a name that promises data which are not made here: `ConfigError` says what can be collected instead."""
    if task.collected_as is None:
        return
    if task.image_shape is not None:
        raise ConfigError(f"{option('task')}: {task.name} is there to fine-tune on; collect {task.collected_as}.")
    raise ConfigError(
        f"{option('task')}: {task.name} is a set of D4RL's, which is published and not collected here; collect "
        f"{task.collected_as} {option('recipe')} medium-replay makes data of that robot anew."
    )


def _route(request: CollectRequest, task: Task) -> tuple[str, str]:
    """How the data are collected, a key of `ROUTES`, and what does so in words."""
    if is_task_file(request.task) or task.file is not None:
        return "a task file", f"{task.name}, a task of your own"
    if request.recipe == "medium-replay":
        replay_recipe(task)  # refused where the task has none
        return "medium-replay", "the recipe medium-replay"
    if task.recipe in REPLAY_RECIPES:
        raise ConfigError(f"{option('recipe')}: expected medium-replay for {task.name}, found default.")
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
"""Surefoot's own tasks of images -> steps of their data, and their collector."""


def _collect_images(request: CollectRequest, task: Task, observer: Observer) -> FrameData:
    usual, collector = IMAGES[task.name]
    wanted = usual if request.transitions is None else request.transitions
    with observer.progress(f"collecting {task.name}", unit="transitions") as line:
        frames, behaviors = collector(task.name, transitions=wanted, seed=request.seed, on_progress=line.report)
    ends = np.cumsum([count for _, count in behaviors]).tolist()
    card = {
        "recipe": "surefoot collect: whole episodes, as much of each behaviour",
        "behaviours": [
            {"name": name, "episodes": [end - count, end]} for (name, count), end in zip(behaviors, ends, strict=True)
        ],
        "seed": request.seed,
        "versions": versions(),
        "coverage": coverage(frames),
    }
    pixels.save(request.out, frames, card=card)
    return frames


def _card(request: CollectRequest, dataset: Dataset) -> dict[str, Any]:
    rows = request.rows()
    half = rows // 2
    return {
        "task": request.task,
        "recipe": "surefoot collect: episodes from the task's reset distribution, the last of each half cut to fit",
        "behaviours": [
            {"name": "random held actions", "rows": [0, half]},
            {"name": "goal-seekers of varied caution", "rows": [half, rows]},
        ],
        "seed": request.seed,
        "versions": versions(),
        "coverage": coverage(dataset),
    }
