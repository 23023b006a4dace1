"""The exact feasible set of PointRobotSlow: V*(s), the smallest reachable maximum over time of the constraint h.

V*(s) = min over controls of max over t >= 0 of h(s_t), h(s_0) included, for states s = (x, y, v, theta, a) of a robot
whose acceleration a follows the commanded one with a lag. It is the smallest fixed point of

    V(s) = max(h(s), min over u in {-1, 0, 1}^2 of V(f(s, u)))

with the environment's own step f, found by value iteration from V = h upwards.

Full braking is optimal until the robot stands, as without lag (exact.py): among all controls it goes slowest past each
point of a path, so it can follow the path of any other. (By arc length l, d(v^2 / 2)/dl = a and da/dl = (u - a) /
(lag v); where v is smaller and u = -1, a falls faster.) But it arrives at v = 0 with a < 0, and must drive backwards
while the acceleration returns to 0. It can drive back along its own path, slower than it came, so this adds nothing,
unless it stops so early that the way back leads past where it began: a robot that crawls with its brakes on. There
other controls may be better, so the iteration tries all.

Three symmetries keep the grid small. The shift in (x, y) is constant per (v, theta), so interpolating costs a few
constant weights. Driving backwards is driving forwards facing the other way, V(x, y, -v, theta, -a) =
V(x, y, v, theta + pi, a), so v >= 0 is enough. And the hazards mirror in the origin, V(-x, -y, v, theta + pi, a) =
V(x, y, v, theta, a), so half of the headings are enough.

The episode's end is left out, as in exact.py and for its reasons. A robot that leaves the arena slower than its lag can
hold (0.4 m/s) may have to come back, at most 0.4 m, where h is below -0.6: that changes values below this only.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float

from surefoot.envs.point_robot import ARENA, HAZARDS, SLOW_ROBOT, TIME_STEP, follow_share
from surefoot.errors import ConfigError
from surefoot.ranges import Range, Ranged, Relation
from surefoot.safety.feasible_set import FeasibleSet, hazard_signal
from surefoot.safety.interpolation import SHIFT_TAPS, blend, stencil

TOP_SPEED = 2.0
"""Largest speed for which values are given, in meters per second."""
CONTROLS = (-1.0, 1.0)
"""Commanded accelerations that are tried, in m/s^2; a third, 0, changes no value noticeably."""

_MARGIN_CELLS = 4
_TAPS = 4


@dataclass(frozen=True)
class Grid(Ranged):
    """Grid of the solver of V*; the default takes about 0.7 GB."""

    spacing: Annotated[float, Range("[0.02, 0.5]")] = 0.1
    """Distance between points along x and along y, in meters."""
    headings: Annotated[int, Range("[8, 4096]")] = 64
    """Headings in the half circle [0, pi)."""
    speed_spacing: Annotated[float, Range("[0.02, 0.5]")] = 0.1
    """Distance between speeds in m/s."""
    top_speed: Annotated[float, Range("(0, 100]")] = 2.4
    """Largest speed of the grid in m/s: braking from 2 m/s with a = 1 m/s^2 reaches 2.31 m/s first."""
    accelerations: Annotated[int, Range("[4, 4096]")] = 21
    """Accelerations between -1 and 1 m/s^2."""

    def _relations(self) -> Iterator[Relation]:
        sentence = f"expected at least {_TAPS} speeds, {_TAPS - 1} times speed_spacing, found {self.top_speed:g}"
        yield Relation(self.speeds >= _TAPS, "top_speed", sentence)

    @property
    def speeds(self) -> int:
        """Number of speeds, 0 included."""
        return round(self.top_speed / self.speed_spacing) + 1

    @property
    def half(self) -> int:
        """Grid points from the origin to the grid's edge, a few beyond the arena's."""
        return math.ceil(ARENA / self.spacing - 1e-9) + _MARGIN_CELLS


@dataclass(frozen=True, eq=False)
class SlowSet(FeasibleSet):
    """V* of PointRobotSlow on a grid; linear in v and a."""

    values: Float[np.ndarray, "speed acceleration heading x y"]
    """Values in meters, float32 or float16; x and y run over `axis`, accelerations cover [-1, 1], headings [0, pi)."""
    grid: Grid
    """Spacings of the grid."""
    columns = "x, y, v, theta, a"

    @property
    def axis(self) -> Float[np.ndarray, " x"]:
        """Coordinates of the grid along x and along y, in meters."""
        return np.arange(-self.grid.half, self.grid.half + 1) * self.grid.spacing

    @property
    def top_speed(self) -> float:
        """Largest speed of the grid in m/s."""
        return (len(self.values) - 1) * self.grid.speed_spacing

    def interpolated(self, poses: Float[np.ndarray, "n 5"]) -> Float[np.ndarray, " n"]:
        """Interpolated values of the grid in meters at poses (x, y, v, theta, a) [n, 5]."""
        speeds, accelerations, headings, points, _ = self.values.shape
        # Driving backwards is driving forwards with the origin mirrored and the acceleration turned round.
        sign = np.where(poses[:, 2] < 0, -1.0, 1.0)
        speed, speed_weights = stencil(np.abs(poses[:, 2]) / self.grid.speed_spacing, 2, speeds)
        place = (sign * poses[:, 4] + 1) / 2 * (accelerations - 1)
        acceleration, acceleration_weights = stencil(place, 2, accelerations)
        heading, heading_weights = stencil(poses[:, 3] / np.pi * headings, _TAPS, None)
        x, x_weights = stencil((sign * poses[:, 0]) / self.grid.spacing + self.grid.half, _TAPS, points)
        y, y_weights = stencil((sign * poses[:, 1]) / self.grid.spacing + self.grid.half, _TAPS, points)
        turned = (heading // headings % 2 == 1)[:, :, None]
        x, y = (np.where(turned, points - 1 - at[:, None, :], at[:, None, :]) for at in (x, y))  # [n, heading, taps]
        corners = self.values[
            speed[:, :, None, None, None, None],
            acceleration[:, None, :, None, None, None],
            (heading % headings)[:, None, None, :, None, None],
            x[:, None, None, :, :, None],
            y[:, None, None, :, None, :],
        ].astype(np.float32)
        weights = (speed_weights, acceleration_weights, heading_weights, x_weights, y_weights)
        value = np.einsum("nvatxy,ny->nvatx", corners, weights[4].astype(np.float32))
        value = np.einsum("nvatx,nx->nvat", value, weights[3].astype(np.float32))
        value = np.einsum("nvat,nt->nva", value, weights[2].astype(np.float32))
        return np.einsum("nva,na,nv->n", value, weights[1].astype(np.float32), weights[0].astype(np.float32))


class Sweep(NamedTuple):
    """Progress of value iteration."""

    number: int
    """Number of the sweep, from 1."""
    change: float
    """Mean change of a value in the sweep, in meters."""


def solve_slow_robot(
    grid: Grid | None = None,
    *,
    lag: float = SLOW_ROBOT.lag,
    tolerance: float = 1e-5,
    most_sweeps: int = 200,
    on_sweep: Callable[[Sweep], None] | None = None,
) -> SlowSet:
    """Solve for V* of a PointRobot with slow actuators, by value iteration on a grid.

    Args:
        grid: Grid; None: the default.
        lag: Time constant of the actuators in seconds.
        tolerance: Mean change of a value in meters below which sweeps end.
        most_sweeps: Largest number of sweeps.
        on_sweep: Called after each sweep.

    Returns:
        The set.

    Raises:
        ConfigError: The values do not converge within `most_sweeps`.
    """
    grid = grid or Grid()
    if not np.array_equal(np.sort(HAZARDS, 0), np.sort(-HAZARDS, 0)):
        raise ConfigError("hazards: expected hazards that mirror in the origin, found others.")
    solver, change = _Solver(grid, lag), math.inf
    for number in range(1, most_sweeps + 1):
        change = solver.sweep()
        if on_sweep is not None:
            on_sweep(Sweep(number, change))
        if change < tolerance:
            return SlowSet(solver.values, grid)
    raise ConfigError(f"the exact set: expected values that settle within {most_sweeps} sweeps, found {change:.3g} m.")


class _Solver:
    """Value iteration in place: later updates of a sweep use its earlier ones."""

    def __init__(self, grid: Grid, lag: float) -> None:
        self.grid, self.share = grid, follow_share(lag)
        self.border = math.ceil(grid.top_speed * TIME_STEP / grid.spacing) + SHIFT_TAPS // 2
        reach = grid.half + self.border
        wide = np.arange(-reach, reach + 1) * grid.spacing
        self.inner = slice(self.border, len(wide) - self.border)
        # Beyond the grid h stands for V*, which it is for everything that drives outwards.
        self.padded = hazard_signal(np.stack(np.meshgrid(wide, wide, indexing="ij"), -1))
        self.h = self.padded[self.inner, self.inner].copy()
        self.values = np.empty((grid.speeds, grid.accelerations, grid.headings, *self.h.shape), np.float32)
        self.values[:] = self.h
        angles = np.arange(grid.headings) * (np.pi / grid.headings)
        self.directions = np.stack([np.cos(angles), np.sin(angles)], -1)

    def sweep(self) -> float:
        """Update every value once, and return the mean change in meters."""
        total = 0.0
        for index, acceleration in enumerate(np.linspace(-1.0, 1.0, self.grid.accelerations)):
            for speed in range(self.grid.speeds):
                total += self._update(speed, index, float(acceleration))
        return total / (self.grid.accelerations * self.grid.speeds)

    def _update(self, speed: int, index: int, acceleration: float) -> float:
        """Update the values of one speed and acceleration, and return their mean change in meters."""
        braked, pushed = (self._after(speed, acceleration, control) for control in CONTROLS)
        ahead = _best_turn(np.minimum(braked, pushed, out=braked))
        travel = speed * self.grid.speed_spacing * TIME_STEP / self.grid.spacing
        taps, weights = stencil((travel * self.directions).ravel() + self.border, SHIFT_TAPS, None)
        new, padded, size = np.empty_like(ahead), self.padded, len(self.h)
        for heading in range(self.grid.headings):
            padded[self.inner, self.inner] = ahead[heading]
            (x, y), (along_x, along_y) = taps[2 * heading :][:2, 0], weights[2 * heading :][:2]
            rows = blend([padded[tap : tap + size] for tap in range(x, x + SHIFT_TAPS)], along_x)
            new[heading] = blend([rows[:, tap : tap + size] for tap in range(y, y + SHIFT_TAPS)], along_y)
        np.maximum(new, self.h, out=new)
        old = self.values[speed, index]
        change = float(np.abs(np.subtract(new, old, out=ahead), out=ahead).mean())
        old[:] = new
        return change

    def _after(self, speed: int, acceleration: float, control: float) -> Float[np.ndarray, "heading x y"]:
        """Values at the speed and acceleration that a step with a commanded acceleration leads to."""
        grid = self.grid
        entered = acceleration + self.share * (control - acceleration)
        place = (entered + 1) / 2 * (grid.accelerations - 1)
        across, across_weights = stencil(np.array([place]), _TAPS, grid.accelerations)
        place = min(speed + entered * TIME_STEP / grid.speed_spacing, grid.speeds - 1)
        # Counted from the slowest of the mirrored levels below 0, which the stencil may reach.
        along, along_weights = stencil(np.array([place + _TAPS]), _TAPS, grid.speeds + _TAPS)
        fields = [self._across(int(level) - _TAPS, int(across[0, 0]), across_weights[0]) for level in along[0]]
        return blend(fields, along_weights[0])

    def _across(self, speed: int, first: int, weights: Float[np.ndarray, " taps"]) -> Float[np.ndarray, "heading x y"]:
        """Values of one speed, interpolated between accelerations from `first` on; backward speeds are mirrored."""
        last = self.grid.accelerations - first
        near = self.values[speed, first : first + _TAPS] if speed >= 0 else self.values[-speed, last - _TAPS : last]
        weights = weights.astype(np.float32) if speed >= 0 else weights[::-1].astype(np.float32)
        blended = (weights @ near.reshape(_TAPS, -1)).reshape(near.shape[1:])
        return blended if speed >= 0 else blended[:, ::-1, ::-1]


def _best_turn(values: Float[np.ndarray, "heading x y"]) -> Float[np.ndarray, "heading x y"]:
    """Smallest of the values after turning by -1, 0 or 1 rad/s for a step."""
    count = len(values)
    turn = TIME_STEP / np.pi * count
    pad = math.ceil(turn) + _TAPS // 2
    around = np.concatenate([values[-pad:, ::-1, ::-1], values, values[:pad, ::-1, ::-1]])
    best = values
    for signed in (turn, -turn):
        taps, weights = stencil(np.array([pad + signed]), _TAPS, None)
        best = np.minimum(best, blend([around[tap : tap + count] for tap in taps[0]], weights[0]))
    return best
