"""PointRobot: a unicycle that must reach a goal between two round hazards (FISOR, section 7 of our specification).

State (x, y, v, theta) in metres, metres per second and radians; action (acceleration, turn rate) in [-1, 1].
Everything is a pure function of JAX arrays over one robot: `vmap` for many.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from surefoot.ranges import Range, check_fields

TIME_STEP = 0.05
"""Seconds per environment step."""
HAZARDS = np.array([[0.4, -1.2], [-0.4, 1.2]], np.float32)
"""Centres of the hazards, metres."""
HAZARD_RADIUS = 0.8
"""Metres."""
GOAL = np.array([2.2, 2.2], np.float32)
"""Centre of the goal, metres."""
GOAL_RADIUS = 0.3
"""Metres."""
ARENA = 3.0
"""The episode ends where |x| or |y| exceeds this, metres."""
HORIZON = 300
"""Environment steps."""
GOAL_BONUS = 1.0
"""Reward added on reaching the goal."""


class RobotState(NamedTuple):
    """One robot: pose and the number of steps taken since the reset."""

    pose: Float[Array, "*n 4"]
    step: Int[Array, "*n"]


class Step(NamedTuple):
    """What a step returns beside the state it enters."""

    observation: Float[Array, "*n 11"]
    reward: Float[Array, "*n"]
    cost: Float[Array, "*n"]
    constraint: Float[Array, "*n"]
    terminated: Bool[Array, "*n"]
    truncated: Bool[Array, "*n"]


@dataclass(frozen=True)
class ResetDistribution:
    """Independent uniform ranges (low, high) of the first state."""

    x: Annotated[tuple[float, float], Range("(-inf, inf)")] = (-3.0, 3.0)
    """Metres."""
    y: Annotated[tuple[float, float], Range("(-inf, inf)")] = (-3.0, 3.0)
    """Metres."""
    speed: Annotated[tuple[float, float], Range("[0, inf)")] = (0.5, 2.0)
    """Metres per second."""
    heading: Annotated[tuple[float, float], Range("(-inf, inf)")] = (np.pi / 4, 3 * np.pi / 4)
    """Radians."""

    def __post_init__(self) -> None:
        check_fields(self)


def constraint(position: Float[Array, "*n 2"], hazards: Float[np.ndarray, "hazards 2"] = HAZARDS) -> Float[Array, "*n"]:
    """h: radius minus the distance to the nearest hazard's centre, metres; > 0 is a violation."""
    distances = jnp.linalg.norm(
        position[..., None, :] - jnp.broadcast_to(hazards, (*position.shape[:-1], *hazards.shape)), axis=-1
    )
    return HAZARD_RADIUS - distances.min(-1)


def goal_distance(position: Float[Array, "*n 2"]) -> Float[Array, "*n"]:
    """Metres to the goal's centre."""
    return jnp.linalg.norm(position - jnp.broadcast_to(GOAL, position.shape), axis=-1)


def observe(pose: Float[Array, "*n 4"]) -> Float[Array, "*n 11"]:
    """x, y, v, cos theta, sin theta, then per hazard its distance, cos and sin of its bearing in the robot's frame."""
    position, speed, heading = pose[..., :2], pose[..., 2:3], pose[..., 3:]
    cos, sin = jnp.cos(heading), jnp.sin(heading)
    parts = [position, speed, cos, sin]
    for hazard in HAZARDS:
        offset = jnp.broadcast_to(hazard, position.shape) - position
        distance = jnp.linalg.norm(offset, axis=-1, keepdims=True)
        unit = offset / jnp.maximum(distance, 1e-6)
        forward = unit[..., :1] * cos + unit[..., 1:] * sin
        left = unit[..., 1:] * cos - unit[..., :1] * sin
        parts += [distance, forward, left]
    return jnp.concatenate(parts, -1)


def pose_of(observation: Float[Array, "*n 11"]) -> Float[Array, "*n 4"]:
    """The inverse of `observe`: (x, y, v, theta)."""
    heading = jnp.arctan2(observation[..., 4:5], observation[..., 3:4])
    return jnp.concatenate([observation[..., :3], heading], -1)


def move(pose: Float[Array, "*n 4"], action: Float[Array, "*n 2"]) -> Float[Array, "*n 4"]:
    """One Euler step of the unicycle; the action is clipped to [-1, 1]."""
    action = jnp.clip(action, -1.0, 1.0)
    x, y, speed, heading = pose[..., 0], pose[..., 1], pose[..., 2], pose[..., 3]
    return jnp.stack(
        [
            x + speed * jnp.cos(heading) * TIME_STEP,
            y + speed * jnp.sin(heading) * TIME_STEP,
            speed + action[..., 0] * TIME_STEP,
            heading + action[..., 1] * TIME_STEP,
        ],
        -1,
    )


def reset(key: Key[Array, ""], distribution: ResetDistribution | None = None) -> tuple[RobotState, Float[Array, " 11"]]:
    """A first state drawn from `distribution` (default: the data's) and its observation."""
    ranges = distribution or ResetDistribution()
    low, high = np.array([ranges.x, ranges.y, ranges.speed, ranges.heading], np.float32).T
    return reset_to(jax.random.uniform(key, (4,), jnp.float32, minval=low, maxval=high))


def reset_to(pose: Float[Array, "*n 4"]) -> tuple[RobotState, Float[Array, "*n 11"]]:
    """The first state at a given pose, and its observation."""
    return RobotState(pose, jnp.zeros(pose.shape[:-1], jnp.int32)), observe(pose)


def step(state: RobotState, action: Float[Array, "*n 2"]) -> tuple[RobotState, Step]:
    """One step. Reward is the decrease of the distance to the goal in metres, plus 1 on reaching it;
    cost is 1 where the state entered violates; the goal and the arena's edge terminate, step 300 truncates."""
    pose = move(state.pose, action)
    entered = RobotState(pose, state.step + 1)
    before, after = goal_distance(state.pose[..., :2]), goal_distance(pose[..., :2])
    reached = after <= GOAL_RADIUS
    outside = jnp.any(jnp.abs(pose[..., :2]) > ARENA, -1)
    h = constraint(pose[..., :2])
    terminated = reached | outside
    truncated = (entered.step >= HORIZON) & ~terminated
    reward = before - after + GOAL_BONUS * reached
    return entered, Step(observe(pose), reward, (h > 0).astype(jnp.float32), h, terminated, truncated)
