"""PointRobot with a drive that fails at random: at each step, with a given probability, the commanded acceleration is
lost.

The robot then keeps its speed; steering works. So its stopping distance is random, and safety is a matter of
probability (`_exact_noisy`). With a probability of 0 it is PointRobot.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.envs import point_robot
from surefoot.envs.entered import Entered
from surefoot.envs.point_robot import ResetDistribution, RobotState


class NoisyState(NamedTuple):
    """A robot, and the random key of later failures."""

    robot: RobotState
    key: Key[Array, ""]


def reset(
    key: Key[Array, ""], distribution: ResetDistribution | None = None
) -> tuple[NoisyState, Float[Array, " obs"]]:
    """First state drawn as PointRobot's.

    Args:
        key: Random key of start and failures.
        distribution: Ranges of the start; None: the data's.

    Returns:
        (state, observation [obs]).
    """
    start, failures = jax.random.split(key)
    robot, observation = point_robot.reset(start, distribution)
    return NoisyState(robot, failures), observation


def step(
    state: NoisyState, action: Float[Array, " 2"], *, failure: float | Float[Array, ""]
) -> tuple[NoisyState, Entered]:
    """PointRobot's step, with an acceleration of 0 where the drive fails.

    Args:
        state: The robot.
        action: (acceleration, turn rate) in [-1, 1], [2].
        failure: Probability of a failure at each step, independent of earlier ones.

    Returns:
        (state entered, result).
    """
    key, drawn = jax.random.split(state.key)
    works = ~jax.random.bernoulli(drawn, failure)
    entered, result = point_robot.step(state.robot, action * jnp.stack([works, jnp.ones((), bool)]))
    return NoisyState(entered, key), result
