"""`surefoot evaluate` on tasks whose observations are images: episodes, what p knows of what cannot be avoided, and the
arrays that the report draws its pictures from."""

from typing import Any, NamedTuple

import numpy as np

from surefoot.cli.progress import ProgressLine
from surefoot.cli.remarks import remark
from surefoot.cli.terminal import warn
from surefoot.data.frames import FrameData, first_episodes
from surefoot.envs.point_robot_pixels import VARIANTS
from surefoot.envs.pure import PURE_TASKS
from surefoot.errors import ConfigError
from surefoot.evaluation.image_pictures import picture_arrays
from surefoot.evaluation.images import WITHIN, evaluate_seed, score_infeasibility
from surefoot.evaluation.point_robot_pixels import evaluate_seed as evaluate_from_exact
from surefoot.evaluation.point_robot_pixels import (
    exact_set,
    first_states,
    held_out,
    measure_region,
    region_arrays,
    score_against_exact,
)
from surefoot.evaluation.rows import json_rows
from surefoot.evaluation.summarize import start_figures
from surefoot.nn import member
from surefoot.protocols import HasInfeasibility
from surefoot.runs.evaluation_files import NotKeptError, keep
from surefoot.runs.files import npz_content
from surefoot.runs.loaded import LoadedRun
from surefoot.runs.run_data import run_data
from surefoot.tasks import get_task

PICTURED = 16
"""Episodes among which those for the pictures are chosen."""


def data_pictures(loaded: LoadedRun) -> dict[str, bytes]:
    """The file that the report draws the world model from, of the first episodes of the run's own data: a simulator's
    are not kept by its evaluation. Empty, and a warning says why, where there are none."""
    found = run_data(loaded.directory, loaded.config)
    if found.frames is None:
        warn(f"the report will show no pictures of the data: {found.reason}.")
        return {}
    frames = first_episodes(found.frames, PICTURED)
    state = member(loaded.states, 0)
    return {"pictures.npz": npz_content(picture_arrays(loaded.algorithm, state, frames))}


def evaluate_on_images(loaded: LoadedRun, *, episodes: int, where: str | None, strict: bool = False) -> dict[str, Any]:
    """Measure every seed of a run, on its own task or on the one called `where`; writes rows and summary into the run
    and returns the summary, whose "evaluation" is then of that task.

    Raises `ConfigError` where the two tasks are not of the same images and actions, and, if `strict`, where the data
    are gone.
    """
    trained = loaded.config.known_task()
    task = trained if where is None else get_task(where)
    if task.spec != trained.spec:
        raise ConfigError(
            f"--task: expected a task that looks like {trained.name} ({trained.spec.worded}), found {task.name} "
            f"({task.spec.worded})."
        )
    trained_on = run_data(loaded.directory, loaded.config)
    if trained_on.reason:
        remark([f"the data's row is left out: {trained_on.reason}"], strict=strict)
    seeds = loaded.config.seeds
    states = [member(loaded.states, place) for place in range(len(seeds))]
    if task.name in VARIANTS:
        found = _measure_point_robot(loaded, states, task.name, episodes)
    else:
        found = _measure(loaded, states, task.name, episodes)
    path = loaded.directory.path
    name = "episodes.jsonl" if where is None else f"episodes_{task.name}.jsonl"
    rows = [{"task": task.name, "algorithm": loaded.config.algorithm, **row} for row in found.rows]
    pictures = picture_arrays(loaded.algorithm, states[0], found.pictured) | found.arrays
    files = {name: json_rows(rows), name.replace("episodes", "pictures").replace("jsonl", "npz"): npz_content(pictures)}
    figures: dict[str, Any] = start_figures(rows)
    if (data := trained_on.frames) is not None:
        free = data.violating_steps == 0
        figures["data"] = {
            "episodes": len(data.lengths),
            "return_mean": float(np.mean(data.returns)),
            "violating_steps_mean": float(np.mean(data.violating_steps)),
            "violation_free_rate": float(np.mean(free)),
            "violation_free_return_mean": float(np.mean(data.returns[free])) if free.any() else None,
        }
    key = "evaluation" if where is None else f"evaluation_{task.name}"
    changes: dict[str, Any] = {key: figures, "acting": {"step": loaded.step, "task": task.name}}
    if found.scores:
        changes[f"{key}_infeasibility"] = found.scores
    part = name.removesuffix(".jsonl").replace("episodes", "evaluation")
    try:
        return {**keep(path, {part: files}, changes), "evaluation": figures}
    except NotKeptError as error:
        error.summary["evaluation"] = figures  # what is printed
        raise


class _Measured(NamedTuple):
    """What an evaluation found."""

    rows: list[dict[str, Any]]
    pictured: FrameData
    """Episodes of the first seed, for the pictures."""
    scores: dict[str, Any]
    """How well p tells what is infeasible; empty where the algorithm has no p."""
    arrays: dict[str, np.ndarray]
    """What else the pictures need."""


def _measure(loaded: LoadedRun, states: list[Any], task: str, episodes: int) -> _Measured:
    """From starts that the task draws; p against violations to come."""
    rows, scores, pictured = [], [], None
    with ProgressLine("evaluating", unit="episodes") as line:
        for place, (seed, state) in enumerate(zip(loaded.config.seeds, states, strict=True)):
            found, visited = evaluate_seed(
                loaded.algorithm, state, PURE_TASKS[task], task, episodes=episodes, seed=seed
            )
            rows += found
            pictured = visited if pictured is None else pictured
            if isinstance(loaded.algorithm, HasInfeasibility):
                scores.append(score_infeasibility(loaded.algorithm, state, visited))
            line.report((place + 1) * episodes, len(states) * episodes)
    assert pictured is not None
    return _Measured(rows, pictured, {"auroc": scores, "violation_within_steps": WITHIN} if scores else {}, {})


def _measure_point_robot(loaded: LoadedRun, states: list[Any], task: str, episodes: int) -> _Measured:
    """From feasible and infeasible starts; p against the exact set of the task's layout."""
    with ProgressLine("solving the exact feasible set", unit="sets") as line:
        exact = exact_set(task)
        line.report(1, 1)
    starts = first_states(task, exact, feasible=episodes, infeasible=max(1, episodes // 4))
    knowing = loaded.algorithm if isinstance(loaded.algorithm, HasInfeasibility) else None
    judged = None if knowing is None else held_out(task)
    rows, scores, pictured = [], [], None
    with ProgressLine("evaluating", unit="episodes") as line:
        for place, (seed, state) in enumerate(zip(loaded.config.seeds, states, strict=True)):
            found, visited = evaluate_from_exact(loaded.algorithm, state, task, starts, seed=seed)
            rows += found
            pictured = first_episodes(visited, PICTURED) if pictured is None else pictured
            if knowing is not None and judged is not None:
                scores.append(score_against_exact(knowing, state, judged, exact))
            line.report((place + 1) * episodes, len(states) * episodes)
    assert pictured is not None
    if knowing is None:
        return _Measured(rows, pictured, {}, {})
    region = measure_region(knowing, states, task, exact)
    return _Measured(rows, pictured, {"exact": scores, "region": region.scores}, region_arrays(region, exact))
