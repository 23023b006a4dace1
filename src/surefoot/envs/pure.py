"""The tasks that are pure JAX, behind one small protocol: batched `reset(keys)` and `step(state, action)`."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
from jaxtyping import Array, Bool, Float, Key, PyTree

from surefoot.envs import hazard_run, point_robot, safe_pendulum


class Entered(Protocol):
    """What a step returns of n lanes beside the state it enters; a task's own record may hold more."""

    @property
    def observation(self) -> Array:
        """Of the state entered, before any reset: float32 [n, obs], or uint8 images [n, height, width, channels]."""
        ...

    @property
    def reward(self) -> Float[Array, " n"]: ...
    @property
    def cost(self) -> Float[Array, " n"]: ...
    @property
    def terminated(self) -> Bool[Array, " n"]: ...
    @property
    def truncated(self) -> Bool[Array, " n"]:
        """The horizon ended the episode; never together with `terminated`."""
        ...


class PureTask(NamedTuple):
    """A task as pure functions over n lanes. Hashable, and so a static argument of `jit`.

    Nothing resets by itself: after an episode's end the caller puts a fresh state in the lane's place.
    """

    reset: Callable[[Key[Array, " n"]], tuple[PyTree[Any], Array]]
    """One key a lane -> (states, first observations): an episode's start is a function of its key alone."""
    step: Callable[[PyTree[Any], Float[Array, "n act"]], tuple[PyTree[Any], Entered]]
    """(states, actions in [-1, 1], which are clipped) -> (states entered, what the step returns)."""
    horizon: int
    """Environment steps after which an episode is truncated."""


PURE_TASKS: dict[str, PureTask] = {
    "PointRobot": PureTask(jax.vmap(point_robot.reset), point_robot.step, point_robot.HORIZON),
    "HazardRun": PureTask(jax.vmap(hazard_run.reset), hazard_run.step, hazard_run.HORIZON),
    "HazardRunShifted": PureTask(
        jax.vmap(partial(hazard_run.reset, layout=hazard_run.SHIFTED)), hazard_run.step, hazard_run.HORIZON
    ),
    "SafePendulum": PureTask(jax.vmap(safe_pendulum.reset), safe_pendulum.step, safe_pendulum.HORIZON),
}
"""Task -> its functions, for all tasks of the suite "surefoot"."""
