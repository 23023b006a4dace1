"""The exact feasible set of PointRobot: V*(s), the smallest reachable maximum over time of the constraint h.

V*(s) = min over controls of max over t >= 0 of h(s_t), h(s_0) included; V*(s) <= 0 where the robot can stay safe.

Full braking is optimal. Proof: take any trajectory from speed v0 > 0 and follow its path by arc length l. Its speed
there is at least w(l) = sqrt(v0^2 - 2 l), because the deceleration is at most 1, so its path turns by at most 1 / w(l)
per metre. A robot that brakes fully has speed w(l) and may turn by just that much: it can follow the same path, until
it stands still at l = v0^2 / 2. The first robot cannot stop earlier, so the braking one visits a prefix of its path,
and the maximum of h over a prefix is not larger than that over the whole. Standing still afterwards adds nothing. (In
discrete time this holds up to the sampling of h along the path: in benchmarks/exact_set.py no control found beats
V* by more than 1 mm within 0.3 m of the border, 12 mm anywhere.)

So V*(v = 0) = h, and each speed level follows from the one below, in a single pass with the environment's own step:

    V(x, y, v, theta) = max(h(x, y), min over turn of V(x', y', v - dt, theta + turn dt))
    x' = x + v cos(theta) dt, y' = y + v sin(theta) dt

with turn in {-1, 0, 1}. The shift in (x, y) is constant per (v, theta), so interpolating costs a few constant weights.
Driving backwards is driving forwards facing the other way: V(x, y, -v, theta) = V(x, y, v, theta + pi).

The episode's end is left out, because it changes no sign. Outside the arena h <= -1, and a robot that has left it
can drive straight on, so that leaving changes only values below -1. A path that ends at the goal could otherwise brake
on from there, at a value of at most M, the largest V* inside the goal, so that the goal changes only values below M:
-0.29 up to the top speed.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from surefoot.envs.point_robot import ARENA, HAZARDS, TIME_STEP
from surefoot.errors import ConfigError
from surefoot.safety.feasible_set import FeasibleSet, hazard_signal
from surefoot.safety.interpolation import SHIFT_TAPS, blend, shifted, stencil

TOP_SPEED = 2.5
"""Largest speed of the solver in meters per second."""
HEADINGS = 128
"""Headings of the grid, about one turn step (0.05 rad) apart; a multiple of 8, so that the published slices' headings
lie on the grid."""

# The grid reaches this many cells past the arena, so that inward poses at its edge have neighbours on both sides.
_MARGIN_CELLS = 4
_QUERY_TAPS = 4


@dataclass(frozen=True, eq=False)
class ExactSet(FeasibleSet):
    """V* of PointRobot on a grid; linear in v, which is exact for straight braking."""

    values: Float[np.ndarray, "speed heading x y"]
    """Values in meters, float32; x and y run over `axis`, speeds are TIME_STEP apart, headings cover [0, 2 pi)."""
    axis: Float[np.ndarray, " x"]
    """Coordinates of the grid along x and along y, in meters."""
    hazards: Float[np.ndarray, "hazards 2"] = field(default_factory=HAZARDS.copy)
    """Centers of the solver's hazards in meters."""

    @property
    def spacing(self) -> float:
        """Distance between grid points in meters."""
        return float(self.axis[1] - self.axis[0])

    @property
    def top_speed(self) -> float:
        """Largest speed of the grid in meters per second."""
        return (len(self.values) - 1) * TIME_STEP

    def interpolated(self, poses: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
        """Interpolated values of the grid in meters at poses (x, y, v, theta) [n, 4]."""
        speeds, headings, points, _ = self.values.shape
        backwards = np.where(poses[:, 2] < 0, np.pi, 0.0)
        speed, speed_weights = stencil(np.abs(poses[:, 2]) / TIME_STEP, 2, speeds)
        heading, heading_weights = stencil((poses[:, 3] + backwards) / (2 * np.pi) * headings, _QUERY_TAPS, None)
        x, x_weights = stencil((poses[:, 0] - self.axis[0]) / self.spacing, _QUERY_TAPS, points)
        y, y_weights = stencil((poses[:, 1] - self.axis[0]) / self.spacing, _QUERY_TAPS, points)
        corners = self.values[
            speed[:, :, None, None, None],
            (heading % headings)[:, None, :, None, None],
            x[:, None, None, :, None],
            y[:, None, None, None, :],
        ]
        value = np.einsum("nvtxy,ny->nvtx", corners, y_weights.astype(np.float32))
        value = np.einsum("nvtx,nx->nvt", value, x_weights.astype(np.float32))
        value = np.einsum("nvt,nt->nv", value, heading_weights.astype(np.float32))
        return np.einsum("nv,nv->n", value, speed_weights.astype(np.float32))


def cell_centers(resolution: int, extent: float) -> Float[np.ndarray, " r"]:
    """Centers of equal cells between -extent and extent.

    Args:
        resolution: Number of cells r.
        extent: Half of the covered length in meters.

    Returns:
        Centers in meters [r].
    """
    return ((np.arange(resolution) + 0.5) / resolution * 2.0 - 1.0) * extent


def slice_poses(
    speed: float, heading: float, *further: float, resolution: int = 201, extent: float = 2.7
) -> Float[np.ndarray, "r*r pose"]:
    """Poses of one speed and heading on the centers of a square of cells, row after row: x runs fastest.

    Args:
        speed: Speed v in m/s.
        heading: Heading theta in rad.
        further: Acceleration in m/s^2, for slow actuators.
        resolution: Cells r along each side.
        extent: Half of the square's side in meters.

    Returns:
        Poses [r * r, pose].
    """
    centers = cell_centers(resolution, extent)
    x, y = np.meshgrid(centers, centers)
    return np.stack([x.ravel(), y.ravel(), *(np.full(x.size, number) for number in (speed, heading, *further))], -1)


def solve_point_robot(
    *,
    spacing: float = 0.06,
    headings: int = HEADINGS,
    top_speed: float = TOP_SPEED,
    hazards: Float[np.ndarray, "hazards 2"] = HAZARDS,
) -> ExactSet:
    """Solve for V* of PointRobot on a grid.

    Memory is 310 MB by default and grows with headings / spacing^2.

    Args:
        spacing: Distance between grid points in meters, in [0.005, 0.5].
        headings: Headings of the grid in [0, 2 pi), at least 16.
        top_speed: Largest speed in m/s.
        hazards: Centers of the hazards in meters [hazards, 2]; the goal must be as far from them as from the task's
            own.

    Returns:
        The set.

    Raises:
        ConfigError: A value is out of range.
    """
    if not 0.005 <= spacing <= 0.5:
        raise ConfigError(f"spacing: expected 0.005 to 0.5 metres, found {spacing}.")
    if headings < 16:
        raise ConfigError(f"headings: expected at least 16, found {headings}.")
    half = math.ceil(ARENA / spacing - 1e-9) + _MARGIN_CELLS
    border = math.ceil(top_speed * TIME_STEP / spacing) + SHIFT_TAPS // 2
    wide = np.arange(-half - border, half + border + 1) * spacing
    inner = slice(border, len(wide) - border)
    # Beyond the grid h stands for V*, which it is for everything that drives outwards.
    padded = hazard_signal(np.stack(np.meshgrid(wide, wide, indexing="ij"), -1), hazards)
    h = padded[inner, inner].copy()

    levels = round(top_speed / TIME_STEP) + 1
    values = np.empty((levels, headings, *h.shape), np.float32)
    values[0] = h
    turn = TIME_STEP / (2 * np.pi) * headings
    angles = np.arange(headings) * (2 * np.pi / headings)
    for level in range(1, levels):
        travel = level * TIME_STEP * TIME_STEP / spacing
        for index, angle in enumerate(angles):
            padded[inner, inner] = _best_turn(values[level - 1], index, turn)
            moved = shifted(padded, border, travel * math.cos(angle), travel * math.sin(angle))
            np.maximum(h, moved, out=values[level, index])
    return ExactSet(values, wide[inner], hazards)


def _best_turn(below: Float[np.ndarray, "heading x y"], index: int, turn: float) -> Float[np.ndarray, "x y"]:
    """Smallest of a speed level's values after turning by -1, 0 or 1 times `turn` (in headings, not whole)."""
    best = below[index]
    for signed in (turn, -turn):
        taps, weights = stencil(np.array([index + signed]), _QUERY_TAPS, None)
        turned = blend([below[tap] for tap in taps[0] % len(below)], weights[0])
        best = np.minimum(best, turned)
    return best
