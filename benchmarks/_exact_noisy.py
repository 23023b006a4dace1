"""The smallest chance of ever entering a hazard from each pose of PointRobot whose drive fails at times.

    P(s) = 1 where h(s) > 0, else the minimum over controls of (1 - p) P(s' with it) + p P(s' without acceleration)

By full braking, which is optimal without failures, each speed level follows from the one below and itself, as in
`surefoot.safety.exact`; the robot stands still at last, where P = [h > 0]. That no other acceleration does better is
not proved: `gain_of_not_braking` measures by how much one step of rolling on would, and P is exact where that is 0.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float
from scipy.interpolate import RegularGridInterpolator

from surefoot.envs.point_robot import ARENA, HAZARD_RADIUS, HAZARDS, TIME_STEP
from surefoot.ranges import Range, Ranged, check_count, check_number
from surefoot.safety.interpolation import SHIFT_TAPS, shifted

SWEEPS = 12
"""Of a speed level, which a failure leads back to."""
_CHUNK = 65_536


@dataclass(frozen=True, eq=False)
class ChanceSet(Ranged):
    """P on a grid, linear in between."""

    values: Float[np.ndarray, "speed heading x y"]
    """In [0, 1]; speeds are TIME_STEP apart from 0, headings cover [0, 2 pi)."""
    axis: Float[np.ndarray, " x"]
    """Along x and y alike, metres."""
    failure: Annotated[float, Range("[0, 0.9]")]
    """Chance of a failure in each step."""

    def chance(self, poses: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
        """The smallest chance of ever entering a hazard from poses (x, y, v, theta) with v >= 0; poses beyond the grid
        are taken at its edge."""
        levels, headings = self.values.shape[:2]
        wrapped = np.concatenate([self.values, self.values[:, :1]], 1)
        axes = (np.arange(levels) * TIME_STEP, np.linspace(0.0, 2 * np.pi, headings + 1), self.axis, self.axis)
        ask = RegularGridInterpolator(axes, wrapped)
        x, y = (np.clip(poses[:, column], self.axis[0], self.axis[-1]) for column in (0, 1))
        speed = np.clip(poses[:, 2], 0.0, axes[0][-1])
        points = np.stack([speed, np.mod(poses[:, 3], 2 * np.pi), x, y], 1)
        found = [ask(points[at : at + _CHUNK]) for at in range(0, len(points), _CHUNK)]
        return np.clip(np.concatenate(found), 0.0, 1.0)  # weights sum to 1 but for rounding


def solve_noisy_robot(
    failure: float, *, spacing: float = 0.06, headings: int = 128, top_speed: float = 2.5
) -> ChanceSet:
    """P where each step fails with the chance `failure`, on a grid with `spacing` metres between points.

    Raises `ConfigError` on a value out of range.
    """
    check_number(failure, "[0, 0.9]", "failure")
    check_number(spacing, "[0.02, 0.5]", "spacing")
    check_count(headings, "headings", "[16, 4096]")
    half = math.ceil(ARENA / spacing - 1e-9)
    axis = np.arange(-half, half + 1) * spacing
    inside = violating(axis)
    levels = round(top_speed / TIME_STEP) + 1
    values = np.empty((levels, headings, *inside.shape), np.float32)
    values[0] = inside
    for level in range(1, levels):
        values[level] = values[level - 1]
        for _ in range(SWEEPS if failure else 1):
            mixed = (1 - failure) * values[level - 1] + failure * values[level]
            values[level] = _entered(mixed, level, inside, spacing)
    return ChanceSet(values, axis, failure)


def gain_of_not_braking(found: ChanceSet) -> Float[np.ndarray, "speed heading x y"]:
    """Fall of P where the robot rolls on for one step and brakes from then on; at least 0."""
    spacing, inside = float(found.axis[1] - found.axis[0]), violating(found.axis)
    rolling = [_entered(values, level, inside, spacing) for level, values in enumerate(found.values)]
    return np.maximum(found.values - np.stack(rolling), 0.0)


def _entered(
    below: Float[np.ndarray, "heading x y"], level: int, inside: np.ndarray, spacing: float
) -> Float[np.ndarray, "heading x y"]:
    """P at a speed level, from that of the poses entered; 1 in a hazard."""
    after, headings = _best_turns(below), len(below)
    moved = [
        _moved(after[index], level * TIME_STEP, index * 2 * np.pi / headings, spacing) for index in range(headings)
    ]
    return np.maximum(inside[None], np.stack(moved))


def violating(axis: Float[np.ndarray, " x"]) -> Float[np.ndarray, "x y"]:
    """Share of a grid point's cell that lies in a hazard, about: 1 inside, 0 outside, a slope one cell wide between."""
    x, y = np.meshgrid(axis, axis, indexing="ij")
    distance = np.min([np.hypot(x - hazard[0], y - hazard[1]) for hazard in HAZARDS], 0)
    return np.clip(0.5 + (HAZARD_RADIUS - distance) / (axis[1] - axis[0]), 0.0, 1.0).astype(np.float32)


def _best_turns(below: Float[np.ndarray, "heading x y"]) -> Float[np.ndarray, "heading x y"]:
    """P at each heading after the best turn by -1, 0 or 1 steps."""
    unit = TIME_STEP / (2 * np.pi) * len(below)
    return np.minimum(below, np.minimum(_turned(below, unit), _turned(below, -unit)))


def _turned(values: Float[np.ndarray, "heading x y"], cells: float) -> Float[np.ndarray, "heading x y"]:
    """Values at headings turned by `cells` cells, linear in between, so that a chance stays one."""
    lower = math.floor(cells)
    share = np.float32(cells - lower)
    return (1 - share) * np.roll(values, -lower, 0) + share * np.roll(values, -lower - 1, 0)


def _moved(values: Float[np.ndarray, "x y"], speed: float, heading: float, spacing: float) -> Float[np.ndarray, "x y"]:
    """Values a step further on; beyond the grid there is no hazard. A polynomial, since linear interpolation would wash
    the border out over the steps, cut to chances."""
    cells = [speed * TIME_STEP / spacing * part for part in (math.cos(heading), math.sin(heading))]
    border = SHIFT_TAPS // 2 + max(math.ceil(abs(one)) for one in cells)
    return np.clip(shifted(np.pad(values, border), border, *cells), 0.0, 1.0)
