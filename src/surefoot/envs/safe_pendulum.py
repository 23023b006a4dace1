"""SafePendulum: a pendulum that must swing up, where standing upright costs (TREBI, arXiv 2306.00603).

State (theta, theta_dot) in radians and radians per second; theta = 0 is upright. g = 10, m = l = 1. Actions lie in [-1,
1], as everywhere in Surefoot, and the torque is u = 2 a newton meters, in [-2, 2].

The published environment has actions in [-2, 2], multiplies them by 2 again and clips, u = clip(2 a, -2, 2), so that
its actions beyond 1 have the effect of 1. Actions of this module are therefore valid in the published environment, and
data, training and evaluation use the same numbers everywhere. The published data hold actions rescaled to [-1, 1] whose
torque was clip(4 a, -2, 2), and the published evaluation feeds them in unscaled. Of such data take clip(2 a, -1, 1).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from surefoot.envs.entered import Entered

TIME_STEP = 0.05
"""Seconds per environment step."""
HORIZON = 200
"""Environment steps; an episode never terminates."""
MAX_TORQUE = 2.0
"""Newton meters, at action 1."""
MAX_SPEED = 8.0
"""Radians per second, of either sign."""
COSTLY_ANGLE = np.pi * 25 / 180
"""Angle from upright with the largest cost, 1, in radians."""
COSTLY_REACH = np.pi * 50 / 180
"""Radians on either side of that angle over which the cost falls to 0."""


class PendulumState(NamedTuple):
    """Pendulums and the number of steps taken since their resets."""

    angle: Float[Array, "*n"]
    """Radians in [-pi, pi)."""
    speed: Float[Array, "*n"]
    """Radians per second."""
    step: Int[Array, "*n"]


def wrap(angle: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The equal angle in [-pi, pi), in radians."""
    return (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi


def reward(angle: Float[Array, "*n"], speed: Float[Array, "*n"], torque: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Reward of a step: (17 - (theta^2 + 0.1 theta_dot^2 + 0.001 u^2)) / 17, at most 1.

    Args:
        angle: theta of the state that the step leaves, in radians, [*n].
        speed: theta_dot of that state, in radians per second, [*n].
        torque: u in newton meters, [*n].

    Returns:
        Rewards, [*n].
    """
    return (17.0 - (wrap(angle) ** 2 + 0.1 * speed**2 + 0.001 * torque**2)) / 17.0


def cost(angle: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Cost [*n] of the state that a step leaves: 1 - |theta - 25 deg| / 50 deg, at least 0; upright 0.5."""
    return jnp.maximum(1.0 - jnp.abs(wrap(angle) - COSTLY_ANGLE) / COSTLY_REACH, 0.0)


def observe(state: PendulumState) -> Float[Array, "*n 3"]:
    """Observation (cos theta, sin theta, theta_dot), [*n, 3]."""
    return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), state.speed], -1)


def reset(key: Key[Array, ""]) -> tuple[PendulumState, Float[Array, " 3"]]:
    """First state near hanging down: theta within 0.2 of pi, theta_dot within 0.1 of 0. Returns (state, observation
    [3])."""
    largest = jnp.array([0.2, 0.1], jnp.float32)
    angle, speed = jax.random.uniform(key, (2,), jnp.float32, minval=-1.0, maxval=1.0) * largest
    return reset_to(jnp.pi + angle, speed)


def reset_to(angle: Float[Array, "*n"], speed: Float[Array, "*n"]) -> tuple[PendulumState, Float[Array, "*n 3"]]:
    """First states at given angles and speeds.

    Args:
        angle: Radians from upright, [*n].
        speed: Radians per second, [*n].

    Returns:
        (states, observations [*n, 3]).
    """
    state = PendulumState(wrap(angle), speed, jnp.zeros(angle.shape, jnp.int32))
    return state, observe(state)


def step(state: PendulumState, action: Float[Array, "*n 1"]) -> tuple[PendulumState, Entered]:
    """One step of 0.05 s.

    Args:
        state: Pendulums.
        action: Half the torque, clipped to [-1, 1], [*n, 1].

    Returns:
        (state entered, result). Reward and cost are of the state left. Step 200 truncates.
    """
    torque = MAX_TORQUE * jnp.clip(action[..., 0], -1.0, 1.0)
    # 3 g / (2 l) = 15 and 3 / (m l^2) = 3. The angle moves with the speed before that is clipped.
    speed = state.speed + (15.0 * jnp.sin(state.angle) + 3.0 * torque) * TIME_STEP
    angle = wrap(state.angle + speed * TIME_STEP)
    entered = PendulumState(angle, jnp.clip(speed, -MAX_SPEED, MAX_SPEED), state.step + 1)
    return entered, Entered(
        observation=observe(entered),
        reward=reward(state.angle, state.speed, torque),
        cost=cost(state.angle),
        terminated=jnp.zeros(angle.shape, bool),
        truncated=entered.step >= HORIZON,
    )
