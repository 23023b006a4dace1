"""PointRobot whose drive fails at times: at each step, with a given chance, the commanded acceleration is lost.

The robot then goes on at its speed; steering works. So how far it takes to stop is random, and what can be kept safe is
a matter of probability (`surefoot.safety.exact_noisy`). With a chance of 0 it is PointRobot.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.envs import point_robot
from surefoot.envs.entered import Entered
from surefoot.envs.point_robot import ResetDistribution, RobotState


class NoisyState(NamedTuple):
    """A robot, and the key of the failures to come."""

    robot: RobotState
    key: Key[Array, ""]


def reset(
    key: Key[Array, ""], distribution: ResetDistribution | None = None
) -> tuple[NoisyState, Float[Array, " obs"]]:
    """A first state drawn as PointRobot's, and its observation."""
    start, failures = jax.random.split(key)
    robot, observation = point_robot.reset(start, distribution)
    return NoisyState(robot, failures), observation


def step(
    state: NoisyState, action: Float[Array, " 2"], *, failure: float | Float[Array, ""]
) -> tuple[NoisyState, Entered]:
    """PointRobot's step, in which the acceleration is 0 with the chance `failure`, whatever was lost before."""
    key, drawn = jax.random.split(state.key)
    works = ~jax.random.bernoulli(drawn, failure)
    entered, result = point_robot.step(state.robot, action * jnp.stack([works, jnp.ones((), bool)]))
    return NoisyState(entered, key), result
