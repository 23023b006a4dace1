"""The part of `surefoot evaluate` that measures a run on a simulator, by a protocol of the field."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from surefoot.cli.draw_rollouts import draw_rollouts
from surefoot.cli.evaluate_images import data_pictures
from surefoot.cli.progress import ProgressLine, warn_of_death
from surefoot.cli.sight import check_sight, say_renderer
from surefoot.data.selection import data_name
from surefoot.envs.pure import pure_task_of
from surefoot.envs.pure_vector import PureVector
from surefoot.envs.simulators.install import simulator_versions
from surefoot.envs.vector import VectorEnv
from surefoot.evaluation.protocol import ProtocolName, cost_limits
from surefoot.evaluation.rows import against_limits, episode_row, json_rows
from surefoot.evaluation.simulated import (
    ENVS_PER_SEED,
    Episode,
    Rollouts,
    envs_for,
    roll_out_simulator,
)
from surefoot.evaluation.summarize import protocol_figures
from surefoot.protocols import choice_of
from surefoot.rollouts.host import episode_seed
from surefoot.runs.evaluation_files import keep
from surefoot.runs.loaded import LoadedRun
from surefoot.tasks import Task, get_task

OpenEnvironment = Callable[[Task, int, int], AbstractContextManager[VectorEnv]]
"""(task, num_envs, worker processes) -> environments of that task."""


def evaluate_on_simulator(
    loaded: LoadedRun,
    *,
    protocol: ProtocolName,
    episodes: int,
    workers: int,
    changed: dict[str, Any],
    gifs: int = 0,
    where: str | None = None,
    open_environment: OpenEnvironment | None = None,
) -> dict[str, Any]:
    """Roll all seeds of a run out, write rows and figures into it, and return its summary.

    `gifs` episodes of the first seed are drawn first, so that a machine that cannot draw says so before the work.
    `where`: another task to measure on, which must look the same to the policy (`ConfigError`).
    """
    task = loaded.config.known_task() if where is None else get_task(where)
    check_sight(loaded, task)
    if task.vision is not None:
        say_renderer(task)
    cost_limits(task, protocol)  # refused before any work
    seeds = loaded.config.seeds
    # MetaDrive needs a process for each environment.
    most = max(1, workers // len(seeds)) if task.isolated else ENVS_PER_SEED
    num_envs = envs_for(seeds=len(seeds), episodes=episodes, most_per_seed=most)
    drawn = draw_rollouts(loaded, task, min(gifs, episodes), num_envs=num_envs // len(seeds)) if gifs else []
    began = time.perf_counter()
    opened = (open_environment or open_envs)(task, num_envs, min(workers, num_envs))
    with opened as environment, ProgressLine("evaluating", unit="episodes") as line:
        rollouts = roll_out_simulator(
            loaded.algorithm,
            loaded.states,
            environment,
            seeds=seeds,
            episodes=episodes,
            shape=task.image_shape,
            on_progress=line.report,
        )
    seconds = time.perf_counter() - began
    method = {
        "task": task.name,
        "algorithm": loaded.config.algorithm,
        "data": data_name(loaded.config.data_selection),
        "extraction": choice_of(loaded.algorithm).get("extraction", "single"),
    }
    rows = protocol_rows(rollouts.episodes, task, protocol=protocol, method=method)
    figures = protocol_figures(rows)
    path = loaded.directory.path
    place = "" if where is None else f"_{task.name}"
    files = {f"episodes{place}.jsonl": json_rows(rows)}
    if task.image_shape is not None and where is None:
        files |= data_pictures(loaded)
    return keep(
        path,
        {f"evaluation{place}": files, "rollouts": {rollout.name: rollout.content() for rollout in drawn}},
        {
            f"protocol{place}": {
                **figures,
                "timing": _timing(rollouts, seconds, workers=workers, num_envs=num_envs),
                "worker_deaths": [death._asdict() for death in environment.deaths],
            },
            "simulator": simulator_versions(task),
            "acting": {"step": loaded.step, **choice_of(loaded.algorithm), "overrides": changed},
            "rollouts": [{"file": rollout.name, "caption": rollout.caption} for rollout in drawn],
        },
        without=() if place else ("evaluation", "feasible_region"),
    )


def protocol_rows(
    episodes: Sequence[Episode], task: Task, *, protocol: ProtocolName, method: Mapping[str, str]
) -> list[dict[str, Any]]:
    """A row for each episode and cost limit; `method` holds the columns that all share."""
    once = [
        episode_row(
            method,
            normalised_by=task,
            seed=one.seed,
            episode=one.episode,
            simulator_seed=episode_seed(one.episode),
            episode_return=one.episode_return,
            cost=one.cost,
            length=one.length,
            terminated=one.terminated,
            restarts=one.restarts,
        )
        for one in episodes
    ]
    return against_limits(once, cost_limits(task, protocol), protocol)


def _timing(rollouts: Rollouts, seconds: float, *, workers: int, num_envs: int) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 3),
        "policy_seconds": round(rollouts.policy_seconds, 3),
        "simulator_seconds": round(rollouts.simulator_seconds, 3),
        "environment_steps": rollouts.steps,
        "steps_per_second": round(rollouts.steps / max(seconds, 1e-9), 1),
        "workers": workers,
        "lanes": num_envs,
    }


def open_envs(task: Task, num_envs: int, workers: int) -> AbstractContextManager[VectorEnv]:
    """What a task is measured in: pure JAX where it is our own, else its simulator."""
    if not task.simulated:
        return PureVector(pure_task_of(task), num_envs=num_envs)
    return open_simulator(task, num_envs, workers)


def open_simulator(task: Task, num_envs: int, workers: int) -> AbstractContextManager[VectorEnv]:
    """The task's simulator; a worker that dies is told on stderr."""
    from surefoot.envs.workers.vector import VectorSimulator

    return VectorSimulator(task, num_envs=num_envs, workers=workers, on_death=warn_of_death)
