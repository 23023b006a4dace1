"""Environments of a task in pure JAX as a `VectorEnv`."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from surefoot.envs.pure import PureTask, where_envs
from surefoot.envs.vector import Step, WorkerDeath

_SEED = 30_11_2026


class PureVector:
    """`num_envs` environments of a pure task; a context manager. An episode's start is a function of its seed."""

    def __init__(self, task: PureTask, *, num_envs: int) -> None:
        self.num_envs = num_envs
        self.deaths: tuple[WorkerDeath, ...] = ()
        """Nothing can die here."""
        self._task = task
        self._state: Any = None

    def __enter__(self) -> "PureVector":
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def reset(self, seeds: Int[np.ndarray, " n"], /) -> Float[np.ndarray, "n obs"]:
        """Begin the episodes of these seeds [n].

        Returns:
            First observations, [n, obs].
        """
        self._state, observation = _begin(self._task, _int32(seeds))
        return np.asarray(observation)

    def step(self, actions: Float[np.ndarray, "n act"], next_seeds: Int[np.ndarray, " n"], /) -> Step:
        """One step of all environments; where an episode ends, that of its next seed begins.

        Args:
            actions: Actions, clipped to [-1, 1], [n, act].
            next_seeds: Seeds of the episodes that follow, [n].

        Returns:
            Results, [n].
        """
        self._state, found = _step(self._task, self._state, jnp.asarray(actions), _int32(next_seeds))
        return Step(*map(np.asarray, found), restarted=np.zeros(self.num_envs, bool))


def _int32(seeds: Int[np.ndarray, " n"]) -> Int[Array, " n"]:
    return jnp.asarray(np.asarray(seeds), jnp.int32)


def start_keys(seeds: Int[Array, " n"]) -> Key[Array, " n"]:
    """Random keys [n] of the starts of the episodes of these seeds."""
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(_SEED)))(seeds)


@partial(jax.jit, static_argnames="task")
def _begin(task: PureTask, seeds: Int[Array, " n"]) -> tuple[PyTree[Any], Array]:
    return task.reset(start_keys(seeds))


@partial(jax.jit, static_argnames="task")
def _step(task: PureTask, state: PyTree[Any], actions: Array, next_seeds: Array) -> tuple[PyTree[Any], Any]:
    entered, step = task.step(state, actions)
    ended = step.terminated | step.truncated
    first, observation = _begin(task, next_seeds)
    following = where_envs(ended, observation, step.observation)
    found = (step.observation, step.reward, step.cost, step.terminated, step.truncated, following)
    return where_envs(ended, first, entered), found
