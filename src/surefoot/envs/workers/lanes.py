"""Several simulators in one process, stepped one after the other. Needs NumPy only: MetaDrive's process runs it too."""

from typing import Any, NamedTuple

import numpy as np

IDLE = -1
"""In place of a seed: the lane is not stepped until the next reset."""


class LanesStep(NamedTuple):
    """One step of k lanes; an idle lane's row is zeros. See `surefoot.envs.vector.VectorStep`."""

    observation: np.ndarray
    reward: np.ndarray
    cost: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    start_observation: np.ndarray


class Lanes:
    """Environments side by side, each with its running episode or idle."""

    def __init__(self, environments: list[Any], *, observation_dim: int, kind: Any = np.float32) -> None:
        """`environments`: anything with Gymnasium's reset and step, and `info["cost"]`. Observations are kept flat, as
        numbers of `kind`."""
        self._kind = kind
        self._environments = environments
        self._observation_dim = observation_dim
        self._running = [False] * len(environments)

    def reset(self, seeds: np.ndarray) -> np.ndarray:
        """Start an episode in every lane: observations [k, o] of seeds int64 [k]."""
        observation = np.zeros((len(self._environments), self._observation_dim), self._kind)
        for lane, seed in enumerate(seeds.tolist()):
            self._begin(lane, seed, observation)
        return observation

    def step(self, actions: np.ndarray, next_seeds: np.ndarray) -> LanesStep:
        """Step every running lane; where an episode ends, begin that of next_seeds[lane], or fall idle."""
        count = len(self._environments)
        observation = np.zeros((count, self._observation_dim), self._kind)
        reward, cost = np.zeros(count), np.zeros(count)
        terminated, truncated = np.zeros(count, bool), np.zeros(count, bool)
        for lane, environment in enumerate(self._environments):
            if self._running[lane]:
                seen, reward[lane], terminated[lane], truncated[lane], info = environment.step(actions[lane])
                observation[lane] = seen.reshape(-1)
                cost[lane] = info["cost"]
        start = observation.copy()
        for lane in np.flatnonzero(terminated | truncated).tolist():
            start[lane] = 0
            self._begin(lane, int(next_seeds[lane]), start)
        return LanesStep(observation, reward, cost, terminated, truncated, start)

    def render(self, lane: int) -> np.ndarray:
        """The picture of a lane, uint8 [height, width, 3]."""
        return self._environments[lane].render()

    def close(self) -> None:
        for environment in self._environments:
            environment.close()

    def _begin(self, lane: int, seed: int, observation: np.ndarray) -> None:
        self._running[lane] = seed != IDLE
        if self._running[lane]:
            observation[lane] = self._environments[lane].reset(seed=seed)[0].reshape(-1)
