"""Environments of pure JAX functions in gymnax's manner as Gymnasium's: those of gymnax and of target-gym."""

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces


class PureFunctionsEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One environment, compiled. All draws of an episode are functions of its seed and the step."""

    def __init__(self, functions: Any) -> None:
        """`functions`: a `making.PureFunctions`."""
        self.functions = functions
        params = functions.default_params
        self.observation_space = _space(functions.observation_space(params))
        self.action_space = _space(functions.action_space(params))

        def step(key: Any, number: Any, state: Any, action: Any) -> tuple[Any, ...]:
            drawn = jax.random.fold_in(key, number)
            observation, state, reward, done, info = functions.step_env(drawn, state, action, params)
            numbers = {name: value for name, value in info.items() if isinstance(value, jax.Array) and not value.ndim}
            return observation, state, reward, done, numbers

        self._begin = jax.jit(lambda key: functions.reset_env(key, params))
        self._advance = jax.jit(step)
        self._key, self._state, self._steps = jax.random.PRNGKey(0), None, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin the episode of a seed."""
        super().reset(seed=seed)
        number = int(self.np_random.integers(2**31)) if seed is None else seed
        self._key, self._steps = jax.random.PRNGKey(number), 0
        observation, self._state = self._begin(self._key)
        return np.asarray(observation), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step; `truncated` is always False, as the task's horizon decides it."""
        self._steps += 1
        found = self._advance(self._key, self._steps, self._state, np.asarray(action, np.float32))
        observation, self._state, reward, done, info = found
        return np.asarray(observation), float(reward), bool(done), False, info


def _space(space: Any) -> gymnasium.Space[Any]:
    """Gymnasium's space like one of gymnax's."""
    if isinstance(space, gymnasium.Space):
        return space
    values = vars(space)
    if "low" in values and "high" in values:
        low, high = (np.broadcast_to(np.asarray(values[name], np.float32), values["shape"]) for name in ("low", "high"))
        return spaces.Box(low, high, dtype=np.float32)
    return spaces.Discrete(int(values["n"])) if "n" in values else spaces.Text(1)
