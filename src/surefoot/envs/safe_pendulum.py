"""SafePendulum: a pendulum that must swing up, where standing upright costs (TREBI, arXiv 2306.00603).

State (theta, theta_dot) in radians and radians per second; theta = 0 is upright. g = 10, m = l = 1.

Actions lie in [-1, 1], as everywhere in surefoot, and the torque is u = 2 a newton metres: its whole range, [-2, 2].
The published environment has actions in [-2, 2], multiplies them by 2 again and clips, u = clip(2 a, -2, 2), so that
its actions beyond 1 do what 1 does. An action of ours is therefore an action of the published environment as it stands,
and data, training and evaluation use the same numbers everywhere. The published data do not: they hold actions rescaled
to [-1, 1] whose torque was clip(4 a, -2, 2), and evaluation then feeds them in unscaled. Of such data take
clip(2 a, -1, 1).
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
"""Newton metres, at action 1."""
MAX_SPEED = 8.0
"""Radians per second, of either sign."""
COSTLY_ANGLE = np.pi * 25 / 180
"""Where the cost is largest, 1: radians from upright."""
COSTLY_REACH = np.pi * 50 / 180
"""Radians on either side of that over which the cost falls to 0."""


class PendulumState(NamedTuple):
    """Pendulums and the number of steps taken since their resets."""

    angle: Float[Array, "*n"]
    """Radians in [-pi, pi)."""
    speed: Float[Array, "*n"]
    """Radians per second."""
    step: Int[Array, "*n"]


def wrap(angle: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The same angle in [-pi, pi), radians."""
    return (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi


def reward(angle: Float[Array, "*n"], speed: Float[Array, "*n"], torque: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """(17 - (theta^2 + 0.1 theta_dot^2 + 0.001 u^2)) / 17 of the state that the step leaves: at most 1."""
    return (17.0 - (wrap(angle) ** 2 + 0.1 * speed**2 + 0.001 * torque**2)) / 17.0


def cost(angle: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """1 - |theta - 25 deg| / 50 deg of the state that the step leaves, from -25 to 75 degrees, else 0. Upright: 0.5."""
    return jnp.maximum(1.0 - jnp.abs(wrap(angle) - COSTLY_ANGLE) / COSTLY_REACH, 0.0)


def observe(state: PendulumState) -> Float[Array, "*n 3"]:
    """cos theta, sin theta, theta_dot."""
    return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), state.speed], -1)


def reset(key: Key[Array, ""]) -> tuple[PendulumState, Float[Array, " 3"]]:
    """Hanging down, almost: theta within 0.2 of pi, theta_dot within 0.1 of 0."""
    largest = jnp.array([0.2, 0.1], jnp.float32)
    angle, speed = jax.random.uniform(key, (2,), jnp.float32, minval=-1.0, maxval=1.0) * largest
    return reset_to(jnp.pi + angle, speed)


def reset_to(angle: Float[Array, "*n"], speed: Float[Array, "*n"]) -> tuple[PendulumState, Float[Array, "*n 3"]]:
    """The first state at a given angle and speed, and its observation."""
    state = PendulumState(wrap(angle), speed, jnp.zeros(angle.shape, jnp.int32))
    return state, observe(state)


def step(state: PendulumState, action: Float[Array, "*n 1"]) -> tuple[PendulumState, Entered]:
    """One step; the action is clipped to [-1, 1]. Reward and cost are of the state left. Entered 200 truncates."""
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
