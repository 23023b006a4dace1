"""Several environments in one process, stepped one after the other. Needs NumPy only, as MetaDrive's process does."""

from typing import Any, NamedTuple, Optional

import numpy as np

IDLE = -1
"""Seed of an environment that is not stepped until the next reset."""
NO_SIGNAL = -np.inf
"""Worst signal where there are none."""


class Step(NamedTuple):
    """One step of n environments; the rows of idle ones are zeros."""

    observation: np.ndarray
    """The state entered, before any reset [n, obs]: float32, flat uint8 for images. Where `restarted`, the episode's
    first observation."""
    reward: np.ndarray
    cost: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    start_observation: np.ndarray
    """What to act on next: where an episode ended, the first observation of the next; else `observation`."""
    restarted: np.ndarray
    """The environment's worker died: its episode begins again with the same seed, and its steps so far are void."""
    constraint: Optional[np.ndarray] = None  # noqa: UP045 (this file runs on the Pythons of old simulators)
    """The worst signal h of the state entered, > 0 for a violation, before costs count [n]; -inf where a task has
    none; None where none is kept."""


class LocalEnvs:
    """Environments side by side, each with its running episode or idle."""

    def __init__(self, environments: list[Any], *, observation_dim: int, kind: Any = np.float32) -> None:
        """`environments`: anything with Gymnasium's reset and step, and `info["cost"]`. Observations are kept flat, as
        numbers of `kind`."""
        self.num_envs = len(environments)
        self.deaths = ()
        """Nothing can die here."""
        self._kind = kind
        self._environments = environments
        self._observation_dim = observation_dim
        self._running = [False] * len(environments)

    def reset(self, seeds: np.ndarray) -> np.ndarray:
        """Start an episode in every environment: observations [n, obs] of seeds int64 [n]."""
        observation = np.zeros((self.num_envs, self._observation_dim), self._kind)
        for index, seed in enumerate(seeds.tolist()):
            self._begin(index, seed, observation)
        return observation

    def step(self, actions: np.ndarray, next_seeds: np.ndarray) -> Step:
        """Step all running environments.

        Args:
            actions: Actions, [n, act].
            next_seeds: Seed of the episode that begins where one ends, [n]; `IDLE` for none.

        Returns:
            The step.
        """
        count = self.num_envs
        observation = np.zeros((count, self._observation_dim), self._kind)
        reward, cost, constraint = np.zeros(count), np.zeros(count), np.full(count, NO_SIGNAL)
        terminated, truncated = np.zeros(count, bool), np.zeros(count, bool)
        for index, environment in enumerate(self._environments):
            if self._running[index]:
                seen, reward[index], terminated[index], truncated[index], info = environment.step(actions[index])
                observation[index] = seen.reshape(-1)
                cost[index] = info["cost"]
                constraint[index] = info.get("constraint", NO_SIGNAL)
        start = observation.copy()
        for index in np.flatnonzero(terminated | truncated).tolist():
            start[index] = 0
            self._begin(index, int(next_seeds[index]), start)
        return Step(observation, reward, cost, terminated, truncated, start, np.zeros(count, bool), constraint)

    def close(self) -> None:
        for environment in self._environments:
            environment.close()

    def _begin(self, index: int, seed: int, observation: np.ndarray) -> None:
        self._running[index] = seed != IDLE
        if self._running[index]:
            observation[index] = self._environments[index].reset(seed=seed)[0].reshape(-1)
