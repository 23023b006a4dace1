"""Exact feasible sets of the tasks that have one; PointRobotSlow's takes minutes to solve and is kept on disk."""

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import numpy as np

from surefoot.envs.point_robot import ROBOTS, Robot
from surefoot.envs.workers.commands import home
from surefoot.errors import check_name
from surefoot.files import replacement, sync_file
from surefoot.safety import exact, exact_slow
from surefoot.safety.exact_slow import Grid, SlowSet, Sweep, solve_slow_robot
from surefoot.safety.feasible_set import FeasibleSet

USUAL_SWEEPS = 45
"""Sweeps after which the default grid's values have nearly converged."""
SOLVER = 1
"""Number of the solver; sets of another solver are not read."""


def exact_set(task: str, *, on_sweep: Callable[[Sweep], None] | None = None) -> FeasibleSet:
    """Exact feasible set of a task, solved or read.

    Args:
        task: Name of a task in `ROBOTS`.
        on_sweep: Called after each sweep of the solver.

    Returns:
        The set.

    Raises:
        UnknownNameError: The task has no exact set.
    """
    robot = ROBOTS[check_name("task with an exact set", task, ROBOTS)]
    return kept_slow_set(robot, on_sweep=on_sweep) if robot.lag else exact.solve_point_robot()


def top_speed(task: str) -> float:
    """Largest speed of the task's exact set in meters per second."""
    return exact_slow.TOP_SPEED if ROBOTS[task].lag else exact.TOP_SPEED


def folder() -> Path:
    """Folder of solved sets: below SUREFOOT_HOME, or ~/.cache/surefoot."""
    return home() / "exact-sets"


def kept_slow_set(
    robot: Robot, *, grid: Grid | None = None, on_sweep: Callable[[Sweep], None] | None = None
) -> SlowSet:
    """Exact set of a robot with slow actuators, read where it was solved before, else solved and kept.

    Values are kept as float16 (1/2000 of a value). Where the folder cannot be written to, the set is solved alone.

    Args:
        robot: Robot with a lag.
        grid: Grid of the solver; None: the default.
        on_sweep: Called after each sweep of the solver.

    Returns:
        The set.
    """
    grid = grid or Grid()
    path = folder() / f"slow-{SOLVER}-{'-'.join(f'{number:g}' for number in (robot.lag, *astuple(grid)))}.npy"
    shape = (grid.speeds, grid.accelerations, grid.headings, 2 * grid.half + 1, 2 * grid.half + 1)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        if values.shape == shape and values.dtype == np.float16:
            return SlowSet(values, grid)
    except (OSError, ValueError, EOFError):
        pass  # not there, or cut: solved again
    values = solve_slow_robot(grid, lag=robot.lag, on_sweep=on_sweep).values.astype(np.float16)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacement(path) as temporary:
            with temporary.open("wb") as file:
                np.save(file, values, allow_pickle=False)
            sync_file(temporary)
    except OSError:
        return SlowSet(values, grid)
    return SlowSet(np.load(path, mmap_mode="r", allow_pickle=False), grid)
