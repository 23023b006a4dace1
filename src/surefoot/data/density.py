"""DSRL's density grids, which reduce its datasets to a share of their episodes.

Facts of the benchmark (liuzuxin/DSRL, Apache-2.0): for each task the approximate share of episodes that is left, and
the grid that leaves it. A task without an entry has no published grid.
"""

from dataclasses import dataclass
from typing import Annotated

from surefoot.errors import ConfigError
from surefoot.ranges import COUNT, NUMBER, Range, Ranged
from surefoot.tasks import Task


@dataclass(frozen=True)
class DensityGrid(Ranged, part="grid"):
    """Grid over (cost return, return), and the number of episodes that a cell may hold."""

    cost_bins: Annotated[int, Range("[1, 10000]")]
    """Equal bins of the cost return over its reference range."""
    return_bins: Annotated[int, Range("[1, 10000]")]
    """Equal bins of the return over its reference range."""
    most: Annotated[int, Range(COUNT)]
    """Largest number of episodes kept in a cell."""
    at_least: Annotated[int, Range(NUMBER)] = 0
    """A cell with at most this number of episodes loses all of them."""


DENSITY_GRIDS: dict[str, dict[float, DensityGrid]] = {
    "AntCircle": {0.5: DensityGrid(10, 50, 12, 2), 0.75: DensityGrid(10, 50, 20, 2)},
    "AntRun": {0.5: DensityGrid(10, 50, 6, 2), 0.75: DensityGrid(10, 50, 10, 2)},
    "BallCircle": {0.5: DensityGrid(10, 20, 5, 2), 0.75: DensityGrid(10, 30, 10, 2)},
    "BallRun": {0.5: DensityGrid(10, 15, 7, 2), 0.75: DensityGrid(10, 15, 12, 2)},
    "CarCircle": {0.5: DensityGrid(10, 50, 5, 2), 0.75: DensityGrid(10, 50, 9, 2)},
    "CarRun": {0.5: DensityGrid(10, 20, 6, 2), 0.75: DensityGrid(10, 20, 11, 2)},
    "DroneCircle": {0.5: DensityGrid(10, 50, 10, 2), 0.75: DensityGrid(10, 50, 18, 2)},
    "DroneRun": {0.5: DensityGrid(10, 50, 6, 2), 0.75: DensityGrid(10, 50, 18, 2)},
    "CarButton1": {0.25: DensityGrid(10, 10, 8, 2), 0.5: DensityGrid(10, 10, 18, 2)},
    "CarButton2": {0.25: DensityGrid(10, 8, 13, 2), 0.5: DensityGrid(10, 8, 28, 2)},
    "CarCircle1": {0.25: DensityGrid(10, 5, 12, 2), 0.5: DensityGrid(10, 5, 28, 2)},
    "CarCircle2": {0.25: DensityGrid(10, 5, 8, 2), 0.5: DensityGrid(10, 5, 18, 2)},
    "CarGoal1": {0.25: DensityGrid(10, 8, 6, 2), 0.5: DensityGrid(10, 8, 13, 2)},
    "CarGoal2": {0.25: DensityGrid(10, 8, 14, 2), 0.5: DensityGrid(10, 8, 30, 2)},
    "CarPush1": {0.25: DensityGrid(10, 6, 16, 2), 0.5: DensityGrid(10, 6, 36, 2)},
    "CarPush2": {0.25: DensityGrid(10, 8, 22, 2), 0.5: DensityGrid(10, 8, 50, 2)},
    "PointButton1": {0.25: DensityGrid(10, 10, 6, 2), 0.5: DensityGrid(10, 10, 13, 2)},
    "PointButton2": {0.25: DensityGrid(10, 8, 12, 2), 0.5: DensityGrid(10, 8, 25, 2)},
    "PointCircle1": {0.25: DensityGrid(10, 5, 12, 2), 0.5: DensityGrid(10, 5, 28, 2)},
    "PointCircle2": {0.25: DensityGrid(10, 5, 10, 2), 0.5: DensityGrid(10, 5, 20, 2)},
    "PointGoal1": {0.25: DensityGrid(10, 8, 7, 2), 0.5: DensityGrid(10, 8, 16, 2)},
    "PointGoal2": {0.25: DensityGrid(10, 6, 14, 2), 0.5: DensityGrid(10, 8, 24, 2)},
    "PointPush1": {0.25: DensityGrid(10, 6, 13, 2), 0.5: DensityGrid(10, 6, 28, 2)},
    "PointPush2": {0.25: DensityGrid(10, 8, 15, 2), 0.5: DensityGrid(10, 8, 34, 2)},
    "HalfCheetahVelocity": {0.25: DensityGrid(10, 10, 12, 2), 0.5: DensityGrid(10, 10, 26, 2)},
    "SwimmerVelocity": {0.25: DensityGrid(10, 10, 7, 2), 0.5: DensityGrid(10, 10, 14, 2)},
    "Walker2dVelocity": {0.25: DensityGrid(10, 10, 10, 2), 0.5: DensityGrid(10, 10, 22, 2)},
    "easydense": {0.5: DensityGrid(10, 20, 15, 2), 0.75: DensityGrid(10, 20, 30, 2)},
    "mediummean": {0.5: DensityGrid(10, 20, 16, 2), 0.75: DensityGrid(10, 20, 33, 2)},
    "hardsparse": {0.5: DensityGrid(10, 20, 12, 2), 0.75: DensityGrid(10, 20, 32, 2)},
}
"""Task -> share -> grid."""


def density_grid(task: Task, share: float) -> DensityGrid:
    """Published grid that leaves about a share of a task's episodes.

    Args:
        task: Task of DSRL.
        share: Share of episodes, in (0, 1).

    Returns:
        The grid.

    Raises:
        ConfigError: There is no such grid.
    """
    shares = DENSITY_GRIDS.get(task.name, {})
    if share not in shares:
        known = f"there are {' and '.join(f'{each:g}' for each in shares)}" if shares else "there is none"
        raise ConfigError(
            f"density: expected a share that DSRL has a grid of for {task.name} ({known}), found {share:g}."
        )
    return shares[share]
