"""Tasks in pure JAX behind one small protocol: batched `reset(keys)` and `step(state, action)`; and several
environments of one as a `VectorEnv`."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from surefoot.envs import hazard_run, point_robot, point_robot_pixels, safe_pendulum
from surefoot.envs.entered import Entered
from surefoot.envs.vector import Step, WorkerDeath
from surefoot.errors import ConfigError
from surefoot.tasks import Task


def where_envs(mask: Bool[Array, " n"], new: Any, old: Any) -> Any:
    """Rows of two trees, chosen by a mask.

    Args:
        mask: Choice of each environment, [n].
        new: Rows [n, ...] where the mask is set.
        old: Rows [n, ...] elsewhere.

    Returns:
        The chosen rows.
    """
    return jax.tree.map(lambda one, other: jnp.where(mask.reshape(-1, *[1] * (one.ndim - 1)), one, other), new, old)


class PureTask(NamedTuple):
    """A task as pure functions over n environments. Hashable, and so a static argument of `jit`.

    Nothing resets by itself: after an episode's end the caller puts a fresh state in its place.
    """

    reset: Callable[[Key[Array, " n"]], tuple[PyTree[Any], Array]]
    """One key each -> (states, first observations): an episode's start is a function of its key alone."""
    step: Callable[[PyTree[Any], Float[Array, "n act"]], tuple[PyTree[Any], Entered]]
    """(states, actions in [-1, 1], which are clipped) -> (states entered, what the step returns)."""
    horizon: int
    """Environment steps after which an episode is truncated."""
    ends_early: bool = False
    """Whether episodes may terminate before the horizon."""
    succeeded: Callable[[PyTree[Any]], Bool[Array, " n"]] | None = None
    """Whether a last state reaches the task's goal; None for a task without one."""


def _hazard_run(layout: hazard_run.Layout) -> PureTask:
    reset = jax.vmap(partial(hazard_run.reset, layout=layout))
    return PureTask(reset, hazard_run.step, hazard_run.HORIZON, succeeded=hazard_run.in_goal)


def _point_robot(robot: point_robot.Robot) -> PureTask:
    reset, step = jax.vmap(partial(point_robot.reset, robot=robot)), partial(point_robot.step, lag=robot.lag)
    return PureTask(reset, step, point_robot.HORIZON, ends_early=True)


def _point_robot_pixels(variant: point_robot_pixels.Variant) -> PureTask:
    reset = jax.vmap(partial(point_robot_pixels.reset, **variant._asdict()))
    step = partial(point_robot_pixels.step, **variant._asdict())
    return PureTask(reset, step, point_robot_pixels.HORIZON, ends_early=True, succeeded=point_robot_pixels.in_goal)


PURE_TASKS: dict[str, PureTask] = {
    **{name: _point_robot(robot) for name, robot in point_robot.ROBOTS.items()},
    "HazardRun": _hazard_run(hazard_run.SEEN),
    "HazardRunShifted": _hazard_run(hazard_run.SHIFTED),
    **{name: _point_robot_pixels(variant) for name, variant in point_robot_pixels.VARIANTS.items()},
    "SafePendulum": PureTask(jax.vmap(safe_pendulum.reset), safe_pendulum.step, safe_pendulum.HORIZON),
}
"""Functions of Surefoot's own tasks, by name."""


def pure_task(name: str) -> PureTask:
    """Functions of a task of `PURE_TASKS`."""
    return PURE_TASKS[name]


def pure_task_of(task: Task) -> PureTask:
    """Functions of a task in pure JAX. Raises `ConfigError` for another task."""
    if task.environment is None or task.environment.kind != "jax":
        raise ConfigError(f"task {task.name}: expected one in pure JAX, found one without.")
    return task.environment.make()


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
