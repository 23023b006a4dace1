"""PointRobot as a Gymnasium environment: one robot, NumPy in and out, over the pure functions of `point_robot`."""

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, UInt8

from surefoot.envs import point_robot
from surefoot.envs.point_robot import ARENA, GOAL, GOAL_RADIUS, HAZARD_RADIUS, HAZARDS, TIME_STEP
from surefoot.errors import ConfigError, check_name
from surefoot.numerics import pinned

MAX_START_SPEED = 5.0
"""Largest speed of a start given by the caller, metres per second."""

# Compiled once for all instances.
_reset = jax.jit(point_robot.reset)
_reset_to = jax.jit(point_robot.reset_to)
_step = jax.jit(point_robot.step)
_constraint = jax.jit(point_robot.constraint)

# From MAX_START_SPEED an episode reaches at most 5 + 300 x 0.05 = 20 m/s, which carries it 1 m past the arena's edge at
# 3 m, at most hypot(4.4, 5.2) = 6.8 m from a hazard. Unit vectors get room for rounding.
_OBSERVATION_BOUND = np.array([4, 4, 20, 1.01, 1.01, 7, 1.01, 1.01, 7, 1.01, 1.01], np.float32)

_PIXELS = 320
_VIEW = 3.2
"""Meters from the picture's center to its edge."""
_ROBOT_RADIUS = 0.1


class PointRobotEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A unicycle that must reach a goal between two hazards; action (acceleration, turn rate) in [-1, 1].

    `info["constraint"]` is h of the state entered (meters, > 0 is a violation), `info["cost"]` is 1 where h > 0; a
    reset costs 0. Episodes terminate at the goal or past the arena's edge, and are truncated after 300 steps.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": round(1 / TIME_STEP)}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        """`render_mode`: None, or "rgb_array" for pictures from `render`; raises `UnknownNameError` on another."""
        if render_mode is not None:
            check_name("render mode", render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = spaces.Box(-_OBSERVATION_BOUND, _OBSERVATION_BOUND)
        self._state: point_robot.RobotState | None = None

    @pinned()
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, " 11"], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the random start.
            options: "pose" is a start [x, y, v, theta] in meters, m/s and radians; without it the start is random.

        Returns:
            (observation [11], info).

        Raises:
            ConfigError: The pose cannot be started from.
            UnknownNameError: There is another option.
        """
        super().reset(seed=seed)
        for name in options or {}:
            check_name("reset option", name, ["pose"])
        if options and options.get("pose") is not None:
            state, observation = _reset_to(_checked_pose(options["pose"]))
        else:
            state, observation = _reset(jax.random.key(int(self.np_random.integers(2**31))))
        self._state = state
        return np.array(observation), {"cost": 0.0, "constraint": float(_constraint(state.pose[:2]))}

    @pinned()
    def step(
        self, action: Float[np.ndarray, " 2"]
    ) -> tuple[Float[np.ndarray, " 11"], float, bool, bool, dict[str, Any]]:
        """One step of 0.05 s.

        Args:
            action: (acceleration, turn rate), clipped to [-1, 1].

        Returns:
            (observation [11], reward, terminated, truncated, info).

        Raises:
            ConfigError: The action is not two finite numbers.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset before step.")
        action = _numbers(action, 2, "action", "acceleration and turn rate")
        self._state, step = _step(self._state, action)
        info = {"cost": float(step.cost), "constraint": float(step.constraint)}
        return np.array(step.observation), float(step.reward), bool(step.terminated), bool(step.truncated), info

    def render(self) -> UInt8[np.ndarray, "320 320 3"] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Picture of the arena, north up: hazards red, goal green, the robot blue; None without a render mode."""
        if self.render_mode is None:
            return None
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset before render.")
        return draw(np.asarray(self._state.pose))


def draw(pose: Float[np.ndarray, " 4"]) -> UInt8[np.ndarray, "320 320 3"]:
    """Picture of one robot at (x, y, v, theta) in meters, m/s and radians."""
    pixel = 2 * _VIEW / _PIXELS
    ticks = (np.arange(_PIXELS) + 0.5) * pixel - _VIEW
    points = np.stack(np.meshgrid(ticks, -ticks), -1)  # row 0 is the north
    image = np.full((_PIXELS, _PIXELS, 3), 255.0)

    def paint(distance: Float[np.ndarray, "320 320"], color: tuple[int, int, int]) -> None:
        # `distance` to the shape's border, metres, negative inside; the border's pixels are mixed.
        cover = np.clip(0.5 - distance / pixel, 0.0, 1.0)[..., None]
        image[:] = (1 - cover) * image + cover * np.array(color, np.float64)

    position, heading = pose[:2], np.array([np.cos(pose[3]), np.sin(pose[3])])
    for hazard in HAZARDS:
        paint(np.linalg.norm(points - hazard, axis=-1) - HAZARD_RADIUS, (230, 120, 110))
    paint(np.linalg.norm(points - GOAL, axis=-1) - GOAL_RADIUS, (120, 190, 120))
    paint(np.abs(np.abs(points).max(-1) - ARENA) - pixel, (90, 90, 90))
    along = np.clip((points - position) @ heading, 0.0, 3 * _ROBOT_RADIUS)[..., None]
    paint(np.linalg.norm(points - position - along * heading, axis=-1) - 0.03, (20, 30, 60))
    paint(np.linalg.norm(points - position, axis=-1) - _ROBOT_RADIUS, (50, 90, 180))
    return np.round(image).astype(np.uint8)


def _checked_pose(pose: Any) -> Float[np.ndarray, " 4"]:
    numbers = _numbers(pose, 4, "reset option 'pose'", "x, y, v and theta")
    if np.abs(numbers[:2]).max() > ARENA:
        raise ConfigError(
            f"reset option 'pose': expected x and y within {ARENA:g} m of 0, found {numbers[:2].tolist()}."
        )
    if abs(numbers[2]) > MAX_START_SPEED:
        raise ConfigError(
            f"reset option 'pose': expected a speed within {MAX_START_SPEED:g} m/s of 0, found {numbers[2]:g}."
        )
    return numbers


def _numbers(value: Any, count: int, what: str, meaning: str) -> Float[np.ndarray, " count"]:
    """`value` as `count` finite float32 numbers, or a `ConfigError`."""
    try:
        numbers = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        numbers = np.zeros(0, np.float32)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ConfigError(f"{what}: expected {count} finite numbers, {meaning}, found {value!r}.")
    return numbers
