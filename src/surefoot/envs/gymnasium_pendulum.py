"""SafePendulum as a Gymnasium environment: one pendulum, NumPy in and out, over the functions of `safe_pendulum`."""

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, UInt8

from surefoot.envs import safe_pendulum
from surefoot.envs.safe_pendulum import COSTLY_ANGLE, COSTLY_REACH, MAX_SPEED, TIME_STEP
from surefoot.errors import ConfigError, check_name
from surefoot.numerics import pinned

# Compiled once for all instances.
_reset = jax.jit(safe_pendulum.reset)
_step = jax.jit(safe_pendulum.step)

_PIXELS = 320
_VIEW = 1.4
"""Rod lengths from the picture's centre to its edge."""


class SafePendulumEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A pendulum to swing up, where standing upright costs; the action in [-1, 1] is half the torque in newton meters.

    `info["cost"]` is the cost of the step, 0 of a reset. Episodes are truncated after 200 steps and never terminate.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": round(1 / TIME_STEP)}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        """`render_mode`: None, or "rgb_array" for pictures from `render`; raises `UnknownNameError` on another."""
        if render_mode is not None:
            check_name("render mode", render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        bound = np.array([1.01, 1.01, MAX_SPEED], np.float32)  # cosine and sine get room for rounding
        self.observation_space = spaces.Box(-bound, bound)
        self._state: safe_pendulum.PendulumState | None = None

    @pinned()
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, " 3"], dict[str, Any]]:
        """Start an episode, hanging down.

        Args:
            seed: Seed of the random start.
            options: None; there are no options.

        Returns:
            (observation [3], info).

        Raises:
            ConfigError: An option is given.
        """
        if options:
            raise ConfigError(f"reset of SafePendulum: expected no options, found {sorted(options)}.")
        super().reset(seed=seed)
        self._state, observation = _reset(jax.random.key(int(self.np_random.integers(2**31))))
        return np.array(observation), {"cost": 0.0}

    @pinned()
    def step(
        self, action: Float[np.ndarray, " 1"]
    ) -> tuple[Float[np.ndarray, " 3"], float, bool, bool, dict[str, Any]]:
        """One step of 0.05 s.

        Args:
            action: One number, clipped to [-1, 1].

        Returns:
            (observation [3], reward, terminated, truncated, info).

        Raises:
            ConfigError: The action is not one finite number.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset before step.")
        number = np.asarray(action, np.float32)
        if number.shape != (1,) or not np.isfinite(number).all():
            raise ConfigError(f"action: expected 1 finite number in [-1, 1], found {action!r}.")
        self._state, step = _step(self._state, number)
        return np.array(step.observation), float(step.reward), False, bool(step.truncated), {"cost": float(step.cost)}

    def render(self) -> UInt8[np.ndarray, "320 320 3"] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Picture of the rod, upright up, positive angles to the left; red where standing costs. None without a render
        mode."""
        if self.render_mode is None:
            return None
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset before render.")
        return draw(float(self._state.angle))


def draw(angle: float) -> UInt8[np.ndarray, "320 320 3"]:
    """Picture of a pendulum at `angle` radians from upright."""
    pixel = 2 * _VIEW / _PIXELS
    ticks = (np.arange(_PIXELS) + 0.5) * pixel - _VIEW
    points = np.stack(np.meshgrid(ticks, -ticks), -1)  # row 0 is the top
    image = np.full((_PIXELS, _PIXELS, 3), 255.0)
    radius = np.linalg.norm(points, axis=-1)
    cost = np.clip(1 - np.abs(np.arctan2(-points[..., 0], points[..., 1]) - COSTLY_ANGLE) / COSTLY_REACH, 0, 1)
    image -= (np.where(radius < 1.2, cost, 0.0))[..., None] * np.array([20, 120, 130])
    tip = np.array([-np.sin(angle), np.cos(angle)])
    along = np.clip(points @ tip, 0.0, 1.0)[..., None]
    for distance, color in (
        (np.linalg.norm(points - along * tip, axis=-1) - 0.06, (50, 90, 180)),
        (radius - 0.04, (20, 30, 60)),
    ):
        cover = np.clip(0.5 - distance / pixel, 0.0, 1.0)[..., None]
        image = (1 - cover) * image + cover * np.array(color, np.float64)
    return np.round(image).astype(np.uint8)
