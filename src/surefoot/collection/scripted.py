"""Episodes of scripted drivers in a simulator, for behavior that a learner would take long to find.

Every environment plays one whole episode, and the round ends with the last of them. An episode is a function of the
collection's seed, the number of its part and its environment: its start, and its driver's traits.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from surefoot.collection.episodes import Columns, EpisodeCutter, columns_of, restarted_in
from surefoot.envs.vector import IDLE, VectorEnv
from surefoot.rollouts.host import Moment, walk
from surefoot.tasks import Task


class Driver(Protocol):
    """Acts in one episode."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Action [act] for an observation [obs]; the caller clips it to [-1, 1]."""
        ...


DriverMaker = Callable[[Task, np.random.Generator], Driver]
"""From (task, random generator) to the driver of an episode."""


def play_round(
    task: Task,
    make: DriverMaker,
    simulators: VectorEnv,
    *,
    lanes: int,
    seeds: tuple[int, int],
    interrupted: Callable[[], bool],
) -> tuple[list[Columns], bool]:
    """One episode in each environment.

    Args:
        task: The task.
        make: Makes a driver.
        simulators: Simulators.
        lanes: Their number.
        seeds: Seed of the collection and number of the part.
        interrupted: Whether to stop at the next step.

    Returns:
        (episodes that ended, whether all did).
    """
    starts = np.random.default_rng(seeds).integers(2**31, size=lanes)

    def driver(lane: int) -> Driver:
        return make(task, np.random.default_rng((*seeds, lane)))

    drivers = [driver(lane) for lane in range(lanes)]
    playing = np.ones(lanes, bool)
    observation = np.asarray(simulators.reset(starts), np.float32)

    def upcoming() -> Iterator[np.ndarray]:
        """Nothing follows an episode."""
        while playing.any() and not interrupted():
            yield np.full(lanes, IDLE)

    def choose(_: int, observation: np.ndarray) -> np.ndarray:
        action = np.zeros((lanes, task.action_dim), np.float32)
        for lane in np.flatnonzero(playing).tolist():
            action[lane] = np.clip(drivers[lane].act(np.asarray(observation[lane], np.float32)), -1.0, 1.0)
        return action

    moments: list[Moment] = []
    played: list[np.ndarray] = []
    for moment in walk(simulators, observation, upcoming(), choose):
        step = moment.step
        moments.append(moment)
        played.append(playing)
        for lane in np.flatnonzero(step.restarted).tolist():  # the same episode begins again, and so does its driver
            drivers[lane] = driver(lane)
        playing = playing & ~((step.terminated | step.truncated) & ~step.restarted)
    if not moments:
        return [], False
    columns = columns_of(moments)
    for name in ("terminated", "truncated"):  # idle lanes never end an episode
        columns[name] &= np.stack(played)
    return EpisodeCutter(lanes).cut(columns, restarted=restarted_in(moments)), not playing.any()
