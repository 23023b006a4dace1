"""Evaluation by a protocol of cost limits, on any task with environments: episodes of all seeds side by side."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from surefoot.constraints.budgets import planner_budget
from surefoot.data.frames import first_episodes
from surefoot.data.selection import data_name
from surefoot.envs.pure import PureVector, pure_task_of
from surefoot.envs.simulators.install import simulator_versions
from surefoot.envs.vector import VectorEnv, WorkerDeath
from surefoot.evaluation import along
from surefoot.evaluation.along import StepRecorder
from surefoot.evaluation.cameras import choose_renderer
from surefoot.evaluation.drawn import DrawnRollout, draw_rollouts
from surefoot.evaluation.evaluation import Condition, Episodes, Evaluation, Scored, Setting
from surefoot.evaluation.image_pictures import picture_arrays
from surefoot.evaluation.protocol import ProtocolName, cost_limits, limit_use
from surefoot.evaluation.rows import against_limits, episode_row
from surefoot.evaluation.simulated import ENVS_PER_SEED, Episode, Rollouts, envs_for, roll_out_simulator
from surefoot.evaluation.summarize import protocol_figures
from surefoot.nn import member
from surefoot.observer import Observer
from surefoot.protocols import PlansUnderBudget
from surefoot.rollouts.host import episode_seed
from surefoot.runs.files import npz_content
from surefoot.tasks import Task
from surefoot.tasks.action_units import ActionUnits

EPISODES = 20
PICTURED = 16
"""Episodes of the data among which those for the pictures are chosen."""


def by_protocol(
    task: Task, protocol: ProtocolName = "strict", *, episodes: int = EPISODES, gifs: int = 0,
    limits: Sequence[float] | None = None,
) -> Evaluation:  # fmt: skip
    """Evaluation against cost limits; a policy that takes a budget is given each limit, in as many episodes.

    Args:
        task: The task.
        protocol: strict or dsrl.
        episodes: Episodes of each seed.
        gifs: Episodes of the first seed that are drawn, before the others run, so that a machine that cannot draw says
            so early.
        limits: Some of the protocol's limits; None: all.

    Returns:
        The evaluation.

    Raises:
        ConfigError: The task has no limit in the protocol.
    """
    return Evaluation(
        conditions=tuple(Condition(cost_limit=one) for one in limits or cost_limits(task, protocol)),
        episodes=episodes,
        roll_out=partial(_roll_out, protocol=protocol, gifs=min(gifs, episodes)),
        scorers=(figures, pictures_of_data, along_episodes),
        replaces=("evaluation", "feasible_region"),
    )


class _ProtocolEpisodes(NamedTuple):
    drawn: list[DrawnRollout]
    deaths: Sequence[WorkerDeath]
    timing: dict[str, Any]
    recorder: StepRecorder | None


def _roll_out(at: Setting, *, protocol: ProtocolName, gifs: int) -> Episodes:
    """The episodes of every seed, and some of the first drawn."""
    task, seeds, wanted = at.task, at.run.config.seeds, at.evaluation.episodes
    if task.vision is not None:
        choose_renderer(task, at.observer)
    # MetaDrive needs a process for each environment.
    most = max(1, at.workers // len(seeds)) if task.isolated else ENVS_PER_SEED
    num_envs = envs_for(seeds=len(seeds), episodes=wanted, most_per_seed=most)
    drawn = draw_rollouts(at.run, task, gifs, num_envs=num_envs // len(seeds), observer=at.observer) if gifs else []
    began = time.perf_counter()
    method = {**at.method, "data": data_name(at.run.config.data_selection)}
    rows: list[dict[str, Any]] = []
    found: list[Rollouts] = []
    opened = _opened(at, num_envs)
    recorder = None if task.file is None else StepRecorder(task, num_envs=num_envs // len(seeds))
    with opened as environment, at.observer.progress("evaluating", unit="episodes") as line:
        for limit, given in _given_limits(at):
            before, total = len(found) * len(seeds) * wanted, len(_given_limits(at)) * len(seeds) * wanted
            rollouts = roll_out_simulator(
                at.run.algorithm,
                at.run.states,
                environment,
                seeds=seeds,
                episodes=wanted,
                shape=task.image_shape,
                units=ActionUnits.with_rates(task.file),
                on_progress=lambda done, _, before=before, total=total: line.report(before + done, total),
                on_step=None if found else recorder,
                **given,
            )
            found.append(rollouts)
            own = method if limit is None else {**method, "told": limit}
            rows += protocol_rows(rollouts.episodes, task, method=own)
    seconds = time.perf_counter() - began
    limits = [one.cost_limit for one in at.evaluation.conditions if one.cost_limit is not None]
    timing = _timing(found, seconds, workers=at.workers, num_envs=num_envs)
    return Episodes(
        against_limits(rows, limits, protocol), _ProtocolEpisodes(drawn, environment.deaths, timing, recorder)
    )


def _given_limits(at: Setting) -> list[tuple[float | None, dict[str, Any]]]:
    """Limits that the policy is told, with what its rollout is given: each of the evaluation's where it takes budgets;
    where it takes none, one rollout that is told nothing."""
    algorithm = at.run.algorithm
    if not isinstance(algorithm, PlansUnderBudget):
        return [(None, {})]
    found = []
    for limit in (one.cost_limit for one in at.evaluation.conditions):
        if limit is not None:
            budget = planner_budget(limit, at.task, discount=algorithm.budget_discount)
            given = {"budget": np.full(at.task.horizon, budget), "discount": algorithm.budget_discount}
            found.append((limit, given))
    return found


def protocol_rows(episodes: Sequence[Episode], task: Task, *, method: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of episodes, not yet scored against a limit.

    Args:
        episodes: The episodes.
        task: Task whose reference returns normalize returns.
        method: Columns that all rows share.

    Returns:
        A row for each episode.
    """
    return [
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


def figures(at: Setting, episodes: Episodes) -> Scored:
    """Figures against the limits, with times and versions.

    Args:
        at: The evaluation.
        episodes: Its rollouts.

    Returns:
        Entries of the summary, and drawn episodes.
    """
    drawn, deaths, timing, _ = episodes.seen
    found = {
        **protocol_figures(episodes.rows),
        "limit_use": limit_use(at.run.algorithm),
        "timing": timing,
        "worker_deaths": [one._asdict() for one in deaths],
    }
    return Scored(
        {
            f"protocol{at.place}": found,
            "simulator": simulator_versions(at.task),
            "acting": at.acting,
            "rollouts": [{"file": rollout.name, "caption": rollout.caption} for rollout in drawn],
        },
        drawn={rollout.name: rollout.content() for rollout in drawn},
    )


def pictures_of_data(at: Setting, episodes: Episodes) -> Scored:
    """Arrays of a world model's pictures, from the first episodes of the run's data.

    Args:
        at: The evaluation.
        episodes: Not read; a simulator's frames are not kept.

    Returns:
        A file of arrays; nothing for vectors, and nothing with a warning where the data are gone.
    """
    if at.task.image_shape is None or at.elsewhere:
        return Scored()
    found = at.data
    if found.frames is None:
        at.observer.warn(f"the report will show no pictures of the data: {found.reason}.")
        return Scored()
    arrays = picture_arrays(at.run.algorithm, member(at.run.states, 0), first_episodes(found.frames, PICTURED))
    return Scored(files={"pictures.npz": npz_content(arrays)})


def along_episodes(at: Setting, episodes: Episodes) -> Scored:
    """Steps of the first episodes on a task file's system, with V_h; a remark where costs contradict signals.

    Args:
        at: The evaluation.
        episodes: Its rollouts.

    Returns:
        A file of arrays; nothing for another task.
    """
    recorder = episodes.seen.recorder
    if recorder is None:
        return Scored()
    if (sentence := recorder.remark(at.task)) is not None:
        at.observer.remark([sentence])
    return Scored(files={along.FILE: npz_content(recorder.arrays(at.run.algorithm, at.run.states))})


def _timing(rollouts: Sequence[Rollouts], seconds: float, *, workers: int, num_envs: int) -> dict[str, Any]:
    steps = sum(one.steps for one in rollouts)
    return {
        "seconds": round(seconds, 3),
        "policy_seconds": round(sum(one.policy_seconds for one in rollouts), 3),
        "simulator_seconds": round(sum(one.simulator_seconds for one in rollouts), 3),
        "environment_steps": steps,
        "steps_per_second": round(steps / max(seconds, 1e-9), 1),
        "workers": workers,
        "lanes": num_envs,
    }


def _opened(at: Setting, num_envs: int) -> AbstractContextManager[VectorEnv]:
    workers = min(at.workers, num_envs)
    if at.open_environment is not None:
        return at.open_environment(at.task, num_envs, workers)
    if not at.task.simulated:
        return PureVector(pure_task_of(at.task), num_envs=num_envs)
    return open_simulator(at.task, num_envs, workers, observer=at.observer)


def open_simulator(task: Task, num_envs: int, workers: int, *, observer: Observer) -> AbstractContextManager[VectorEnv]:
    """Environments of a task's simulator.

    Args:
        task: The task.
        num_envs: Environments.
        workers: Processes that step them.
        observer: Receives notices of dead workers.

    Returns:
        A context manager of environments.
    """
    from surefoot.envs.workers.vector import VectorSimulator

    return VectorSimulator(task, num_envs=num_envs, workers=workers, on_death=observer.warn_of_death)
