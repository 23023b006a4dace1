"""By a protocol of cost limits, on any task that has environments: episodes of all seeds side by side."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from surefoot.data.frames import first_episodes
from surefoot.data.selection import data_name
from surefoot.envs.pure import pure_task_of
from surefoot.envs.pure_vector import PureVector
from surefoot.envs.simulators.install import simulator_versions
from surefoot.envs.vector import VectorEnv, WorkerDeath
from surefoot.evaluation import along
from surefoot.evaluation.along import StepRecorder
from surefoot.evaluation.cameras import choose_renderer
from surefoot.evaluation.drawn import DrawnRollout, draw_rollouts
from surefoot.evaluation.evaluation import Condition, Episodes, Evaluation, Scored, Setting
from surefoot.evaluation.image_pictures import picture_arrays
from surefoot.evaluation.protocol import ProtocolName, cost_limits
from surefoot.evaluation.rows import against_limits, episode_row
from surefoot.evaluation.simulated import ENVS_PER_SEED, Episode, Rollouts, envs_for, roll_out_simulator
from surefoot.evaluation.summarize import protocol_figures
from surefoot.nn import member
from surefoot.observer import Observer
from surefoot.rollouts.host import episode_seed
from surefoot.runs.files import npz_content
from surefoot.tasks import Task

EPISODES = 20
PICTURED = 16
"""Episodes of the data among which those for the pictures are chosen."""


def by_protocol(
    task: Task, protocol: ProtocolName = "strict", *, episodes: int = EPISODES, gifs: int = 0
) -> Evaluation:
    """Against the cost limits of a protocol (`ConfigError` where the task has none). `gifs` episodes of the first seed
    are drawn, before the others are run, so that a machine that cannot draw says so before the work."""
    return Evaluation(
        conditions=tuple(Condition(cost_limit=limit) for limit in cost_limits(task, protocol)),
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
    opened = _opened(at, num_envs)
    recorder = None if task.file is None else StepRecorder(task, num_envs=num_envs // len(seeds))
    with opened as environment, at.observer.progress("evaluating", unit="episodes") as line:
        rollouts = roll_out_simulator(
            at.run.algorithm,
            at.run.states,
            environment,
            seeds=seeds,
            episodes=wanted,
            shape=task.image_shape,
            on_progress=line.report,
            on_step=recorder,
        )
    seconds = time.perf_counter() - began
    method = {**at.method, "data": data_name(at.run.config.data_selection)}
    limits = [one.cost_limit for one in at.evaluation.conditions if one.cost_limit is not None]
    rows = against_limits(protocol_rows(rollouts.episodes, task, method=method), limits, protocol)
    timing = _timing(rollouts, seconds, workers=at.workers, num_envs=num_envs)
    return Episodes(rows, _ProtocolEpisodes(drawn, environment.deaths, timing, recorder))


def protocol_rows(episodes: Sequence[Episode], task: Task, *, method: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each episode, scored against no limit yet; `method` holds the columns that all share."""
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
    """Figures against the limits, and how the work went."""
    drawn, deaths, timing, _ = episodes.seen
    found = {**protocol_figures(episodes.rows), "timing": timing, "worker_deaths": [one._asdict() for one in deaths]}
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
    """Of a policy that sees: what the report draws its world model from, of the first episodes of its own data, since
    a simulator's are not kept. Nothing, and a warning says why, where there are none."""
    if at.task.image_shape is None or at.elsewhere:
        return Scored()
    found = at.data
    if found.frames is None:
        at.observer.warn(f"the report will show no pictures of the data: {found.reason}.")
        return Scored()
    arrays = picture_arrays(at.run.algorithm, member(at.run.states, 0), first_episodes(found.frames, PICTURED))
    return Scored(files={"pictures.npz": npz_content(arrays)})


def along_episodes(at: Setting, episodes: Episodes) -> Scored:
    """Of a system of the user's own: steps of the first episodes, with V_h; a remark where costs contradict signals."""
    recorder = episodes.seen.recorder
    if recorder is None:
        return Scored()
    if (sentence := recorder.remark(at.task)) is not None:
        at.observer.remark([sentence])
    return Scored(files={along.FILE: npz_content(recorder.arrays(at.run.algorithm, at.run.states))})


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


def _opened(at: Setting, num_envs: int) -> AbstractContextManager[VectorEnv]:
    workers = min(at.workers, num_envs)
    if at.open_environment is not None:
        return at.open_environment(at.task, num_envs, workers)
    if not at.task.simulated:
        return PureVector(pure_task_of(at.task), num_envs=num_envs)
    return open_simulator(at.task, num_envs, workers, observer=at.observer)


def open_simulator(task: Task, num_envs: int, workers: int, *, observer: Observer) -> AbstractContextManager[VectorEnv]:
    """The task's simulator; the observer hears of a worker that dies."""
    from surefoot.envs.workers.vector import VectorSimulator

    return VectorSimulator(task, num_envs=num_envs, workers=workers, on_death=observer.warn_of_death)
