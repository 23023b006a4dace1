"""Interface of exact feasible sets: V* at poses, from values on a grid."""

from abc import ABC, abstractmethod

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from surefoot.envs.point_robot import ARENA, HAZARD_RADIUS, HAZARDS, constraint
from surefoot.errors import ConfigError

_CHUNK = 4096
"""Poses that are interpolated at a time."""


class FeasibleSet(ABC):
    """Exact feasible set of a robot: V*, the smallest reachable maximum over time of the constraint h."""

    columns = "x, y, v, theta"
    """Components of a pose."""
    hazards: Float[np.ndarray, "hazards 2"] = HAZARDS
    """Centers of the hazards in meters."""

    def value(self, poses: Float[np.ndarray, "n pose"], /) -> Float[np.ndarray, " n"]:
        """V* in meters at poses [n, pose]; > 0 means that a violation cannot be avoided.

        Outside the arena, where the episode is over, it is h. Interpolation is cubic in x, y and theta, linear in the
        others. Raises `ConfigError` on another shape, non-finite numbers, or a speed or acceleration off the grid.
        """
        poses = np.asarray(poses, np.float64)
        width = len(self.columns.split(", "))
        if poses.ndim != 2 or poses.shape[1] != width:
            raise ConfigError(f"poses: expected shape (n, {width}) for {self.columns}, found {poses.shape}.")
        if not np.isfinite(poses).all():
            row = int(np.argwhere(~np.isfinite(poses))[0, 0])
            raise ConfigError(f"poses: expected finite numbers, found {poses[row].tolist()} in row {row}.")
        limits = ((2, self.top_speed, "speeds within {:g} m/s"), (4, 1.0, "accelerations within {:g} m/s^2"))
        for column, most, what in limits[: width - 3]:
            # A hair of slack: float32 poses at the top speed, and stepped ones, round either way.
            if (np.abs(poses[:, column]) > most + 1e-5).any():
                row = int(np.abs(poses[:, column]).argmax())
                raise ConfigError(f"poses: expected {what.format(most)}, found {poses[row, column]:g} in row {row}.")
        chunks = [self._value(poses[start : start + _CHUNK]) for start in range(0, len(poses), _CHUNK)]
        return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)

    @property
    @abstractmethod
    def top_speed(self) -> float:
        """Largest speed of the grid in meters per second."""

    @abstractmethod
    def interpolated(self, poses: Float[np.ndarray, "n pose"]) -> Float[np.ndarray, " n"]:
        """Interpolated values of the grid in meters at poses [n, pose]."""

    def _value(self, poses: Float[np.ndarray, "n pose"]) -> Float[np.ndarray, " n"]:
        h = hazard_signal(poses[:, :2], self.hazards)
        outside = (np.abs(poses[:, :2]) > ARENA).any(1)
        # By definition V* lies between h and the largest h there is; interpolating knows it only at the grid's points.
        return np.where(outside, h, np.clip(self.interpolated(poses), h, HAZARD_RADIUS))


def hazard_signal(
    positions: Float[np.ndarray, "*n 2"], hazards: Float[np.ndarray, "hazards 2"] = HAZARDS
) -> Float[np.ndarray, "*n"]:
    """The environment's h as a writable NumPy array.

    Args:
        positions: Positions in meters [*n, 2].
        hazards: Centers of the hazards in meters [hazards, 2].

    Returns:
        h in meters [*n]; > 0 inside a hazard.
    """
    return np.array(constraint(jnp.asarray(positions, jnp.float32), hazards))
