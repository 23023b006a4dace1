"""PointRobot: a unicycle that must reach a goal between two round hazards (FISOR's toy task, arXiv 2401.10700).

State (x, y, v, theta) in meters, meters per second and radians; action (acceleration, turn rate) in [-1, 1].
PointRobotSlow has slow actuators and a fifth state, its acceleration a (m/s^2), which follows the commanded one with a
first-order lag. Everything is a pure function of JAX arrays over one robot: `vmap` for many.
"""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from surefoot.envs.entered import Entered
from surefoot.ranges import Range, Ranged

TIME_STEP = 0.05
"""Seconds per environment step."""
HAZARDS = np.array([[0.4, -1.2], [-0.4, 1.2]], np.float32)
"""Centers of the hazards, in meters."""
HAZARD_RADIUS = 0.8
"""Metres."""
GOAL = np.array([2.2, 2.2], np.float32)
"""Center of the goal, in meters."""
GOAL_RADIUS = 0.3
"""Metres."""
ARENA = 3.0
"""Bound of |x| and |y| in meters, beyond which the episode ends."""
HORIZON = 300
"""Environment steps."""
GOAL_BONUS = 1.0
"""Reward added on reaching the goal."""


class RobotState(NamedTuple):
    """One robot: pose (x, y, v, theta), with slow actuators (x, y, v, theta, a), and the steps since the reset."""

    pose: Float[Array, "*n pose"]
    step: Int[Array, "*n"]


@dataclass(frozen=True)
class ResetDistribution(Ranged):
    """Independent uniform ranges (low, high) of the first state."""

    x: Annotated[tuple[float, float], Range("(-inf, inf)")] = (-3.0, 3.0)
    """Metres."""
    y: Annotated[tuple[float, float], Range("(-inf, inf)")] = (-3.0, 3.0)
    """Metres."""
    speed: Annotated[tuple[float, float], Range("[0, inf)")] = (0.5, 2.0)
    """Metres per second."""
    heading: Annotated[tuple[float, float], Range("(-inf, inf)")] = (np.pi / 4, 3 * np.pi / 4)
    """Radians."""
    acceleration: Annotated[tuple[float, float], Range("[-1, 1]")] = (0.0, 0.0)
    """Metres per second squared; only with slow actuators."""


@dataclass(frozen=True)
class Robot(Ranged):
    """Parameters in which PointRobot and PointRobotSlow differ."""

    lag: Annotated[float, Range("[0, 10]")] = 0.0
    """Time constant of the acceleration, seconds; 0: the acceleration is the action, and no state of its own."""
    resets: ResetDistribution = ResetDistribution()
    """Where the data's episodes begin."""
    safe_start: Annotated[tuple[float, ...], Range("(-inf, inf)")] = (-2.7, -2.7, 1.0, math.pi / 4)
    """Pose of an evaluation's fixed start in the far corner."""
    tight_start: Annotated[tuple[float, ...], Range("(-inf, inf)")] = (-1.8, 0.0, 2.0, math.pi / 4)
    """Pose of an evaluation's fixed start that full control only just saves."""

    @property
    def fixed_starts(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The safe start, then the tight one."""
        return self.safe_start, self.tight_start


POINT_ROBOT = Robot()
SLOW_ROBOT = Robot(
    lag=1.0,
    resets=ResetDistribution(acceleration=(-0.5, 0.5)),
    safe_start=(-2.7, -2.7, 1.0, math.pi / 4, 0.0),
    tight_start=(-1.8, 0.0, 1.8, math.pi / 4, 0.0),
)
"""Braking from 1.5 m/s takes 2.4 s and 2.2 m, where PointRobot takes 1.5 s and 1.1 m."""
ROBOTS: dict[str, Robot] = {
    "PointRobot": POINT_ROBOT,
    "PointRobotSlow": SLOW_ROBOT,
    "PointRobotSlowCosts": SLOW_ROBOT,
}
"""Task -> robot, for every task whose state is a robot's pose. PointRobotSlowCosts is PointRobotSlow without h."""


def constraint(position: Float[Array, "*n 2"], hazards: Float[np.ndarray, "hazards 2"] = HAZARDS) -> Float[Array, "*n"]:
    """h: hazard radius minus the distance to the nearest hazard's center; > 0 is a violation.

    Args:
        position: (x, y) in meters, [*n, 2].
        hazards: Centers of the hazards, in meters, [hazards, 2].

    Returns:
        h in meters, [*n].
    """
    distances = jnp.linalg.norm(
        position[..., None, :] - jnp.broadcast_to(hazards, (*position.shape[:-1], *hazards.shape)), axis=-1
    )
    return HAZARD_RADIUS - distances.min(-1)


def goal_distance(position: Float[Array, "*n 2"]) -> Float[Array, "*n"]:
    """Distance in meters [*n] from (x, y) [*n, 2] to the goal's center."""
    return jnp.linalg.norm(position - jnp.broadcast_to(GOAL, position.shape), axis=-1)


def observe(pose: Float[Array, "*n pose"]) -> Float[Array, "*n obs"]:
    """Observation of a pose: x, y, v, cos theta, sin theta, then distance and cos and sin of the bearing of each
    hazard.

    Args:
        pose: (x, y, v, theta), with slow actuators also a, [*n, pose]; bearings are in the robot's frame.

    Returns:
        Observations, [*n, 11], with slow actuators and a last, [*n, 12].
    """
    position, speed, heading = pose[..., :2], pose[..., 2:3], pose[..., 3:4]
    cos, sin = jnp.cos(heading), jnp.sin(heading)
    parts = [position, speed, cos, sin]
    for hazard in HAZARDS:
        offset = jnp.broadcast_to(hazard, position.shape) - position
        distance = jnp.linalg.norm(offset, axis=-1, keepdims=True)
        unit = offset / jnp.maximum(distance, 1e-6)
        forward = unit[..., :1] * cos + unit[..., 1:] * sin
        left = unit[..., 1:] * cos - unit[..., :1] * sin
        parts += [distance, forward, left]
    return jnp.concatenate([*parts, pose[..., 4:]], -1)


def pose_of(observation: Float[Array, "*n obs"]) -> Float[Array, "*n pose"]:
    """Pose of an observation: the inverse of `observe`, [*n, pose]."""
    heading = jnp.arctan2(observation[..., 4:5], observation[..., 3:4])
    return jnp.concatenate([observation[..., :3], heading, observation[..., 11:]], -1)


def move(pose: Float[Array, "*n pose"], action: Float[Array, "*n 2"], *, lag: float = 0.0) -> Float[Array, "*n pose"]:
    """One Euler step of the unicycle.

    With slow actuators the acceleration moves by the share 1 - exp(-TIME_STEP / lag) towards the commanded one, and the
    speed by the result.

    Args:
        pose: (x, y, v, theta), with slow actuators also a, [*n, pose].
        action: (acceleration, turn rate), clipped to [-1, 1], [*n, 2].
        lag: Time constant of the acceleration, in seconds; 0: none.

    Returns:
        Next poses, [*n, pose].
    """
    action = jnp.clip(action, -1.0, 1.0)
    x, y, speed, heading = pose[..., 0], pose[..., 1], pose[..., 2], pose[..., 3]
    acceleration, further = action[..., 0], []
    if pose.shape[-1] == 5:
        before = pose[..., 4]
        acceleration = before + follow_share(lag) * (acceleration - before)
        further = [acceleration]
    return jnp.stack(
        [
            x + speed * jnp.cos(heading) * TIME_STEP,
            y + speed * jnp.sin(heading) * TIME_STEP,
            speed + acceleration * TIME_STEP,
            heading + action[..., 1] * TIME_STEP,
            *further,
        ],
        -1,
    )


def follow_share(lag: float) -> float:
    """Share of the difference to the commanded acceleration that is gone after a step, for a lag in seconds."""
    return 1.0 if lag == 0 else -math.expm1(-TIME_STEP / lag)


def reset(
    key: Key[Array, ""], distribution: ResetDistribution | None = None, *, robot: Robot = POINT_ROBOT
) -> tuple[RobotState, Float[Array, " obs"]]:
    """First state drawn from a distribution.

    Args:
        key: Random key.
        distribution: Ranges of the start; None: those of the robot's data.
        robot: The robot.

    Returns:
        (state, observation [obs]).
    """
    ranges = distribution or robot.resets
    drawn = [ranges.x, ranges.y, ranges.speed, ranges.heading, *([ranges.acceleration] if robot.lag else [])]
    low, high = np.array(drawn, np.float32).T
    return reset_to(jax.random.uniform(key, low.shape, jnp.float32, minval=low, maxval=high))


def reset_to(pose: Float[Array, "*n pose"]) -> tuple[RobotState, Float[Array, "*n obs"]]:
    """First state at a given pose [*n, pose], and its observation."""
    return RobotState(pose, jnp.zeros(pose.shape[:-1], jnp.int32)), observe(pose)


def step(state: RobotState, action: Float[Array, "*n 2"], *, lag: float = 0.0) -> tuple[RobotState, Entered]:
    """One step of 0.05 s.

    Args:
        state: Robots.
        action: (acceleration, turn rate), clipped to [-1, 1], [*n, 2].
        lag: Time constant of the acceleration, in seconds.

    Returns:
        (state entered, result). Reward is the decrease of the distance to the goal in meters, plus 1 on reaching it;
        cost is 1 where the state entered violates. The goal and the arena's edge terminate, step 300 truncates.
    """
    pose = move(state.pose, action, lag=lag)
    entered = RobotState(pose, state.step + 1)
    before, after = goal_distance(state.pose[..., :2]), goal_distance(pose[..., :2])
    reached = after <= GOAL_RADIUS
    outside = jnp.any(jnp.abs(pose[..., :2]) > ARENA, -1)
    h = constraint(pose[..., :2])
    terminated = reached | outside
    truncated = (entered.step >= HORIZON) & ~terminated
    reward = before - after + GOAL_BONUS * reached
    return entered, Entered(observe(pose), reward, (h > 0).astype(jnp.float32), terminated, truncated, h)
