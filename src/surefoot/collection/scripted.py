"""Episodes of scripted drivers, in a simulator: what a learner would take long to find is there from the start.

Every lane plays one whole episode, and the round ends with the last of them. An episode is a function of the
collection's seed, the number of its part and its lane: its start, and what its driver is like.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from surefoot.collection.episodes import Columns, EpisodeCutter
from surefoot.envs.vector import IDLE, Step, VectorEnv
from surefoot.tasks import Task


class Driver(Protocol):
    """What acts in one episode."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """The action; it is clipped to [-1, 1]."""
        ...


DriverMaker = Callable[[Task, np.random.Generator], Driver]
"""The driver of an episode, whose character and noise the generator draws."""


def play_round(
    task: Task,
    make: DriverMaker,
    simulators: VectorEnv,
    *,
    lanes: int,
    seeds: tuple[int, int],
    interrupted: Callable[[], bool],
) -> tuple[list[Columns], bool]:
    """One episode a lane, and whether all came to their end; `seeds` are those of the collection and of this round.

    Interrupted, it stops at the next step with the episodes that ended until then.
    """
    starts = np.random.default_rng(seeds).integers(2**31, size=lanes)

    def driver(lane: int) -> Driver:
        return make(task, np.random.default_rng((*seeds, lane)))

    drivers = [driver(lane) for lane in range(lanes)]
    nothing_next, playing = np.full(lanes, IDLE), np.ones(lanes, bool)
    observation = np.asarray(simulators.reset(starts), np.float32)
    rows: list[Columns] = []
    while playing.any() and not interrupted():
        action = np.zeros((lanes, task.action_dim), np.float32)
        for lane in np.flatnonzero(playing).tolist():
            action[lane] = np.clip(drivers[lane].act(observation[lane]), -1.0, 1.0)
        step = simulators.step(action, nothing_next)
        rows.append(_row(observation, action, step, playing))
        for lane in np.flatnonzero(step.restarted).tolist():  # the same episode begins again, and so does its driver
            drivers[lane] = driver(lane)
        playing = playing & ~((step.terminated | step.truncated) & ~step.restarted)
        observation = np.asarray(step.start_observation, np.float32)
    if not rows:
        return [], False
    restarted = np.stack([row.pop("restarted") for row in rows])
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return EpisodeCutter(lanes).cut(columns, restarted=restarted), not playing.any()


def _row(observation: np.ndarray, action: np.ndarray, step: Step, playing: np.ndarray) -> Columns:
    """One step of all lanes by the names of `Dataset`'s fields; idle lanes never end an episode."""
    return {
        "observations": observation,
        "actions": action,
        "rewards": np.asarray(step.reward, np.float32),
        "costs": np.asarray(step.cost, np.float32),
        "next_observations": np.asarray(step.observation, np.float32),
        "terminated": np.asarray(step.terminated, bool) & playing,
        "truncated": np.asarray(step.truncated, bool) & playing,
        "restarted": np.asarray(step.restarted, bool),
    }
