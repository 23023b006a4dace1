"""The table of tasks: shapes, horizon, limits and reference scores. Names, never indices; DSRL's ids are accepted."""

from surefoot.errors import check_name
from surefoot.tasks.constraint import Constraint, CostLimit, RunTimeBudget, Signal
from surefoot.tasks.dsrl import DSRL_TASKS
from surefoot.tasks.environment import Environment, own
from surefoot.tasks.own_task import is_task_file, offered_task, task_of
from surefoot.tasks.read_task_file import read_task_file
from surefoot.tasks.reference import Reference
from surefoot.tasks.task import Task
from surefoot.tasks.trebi import TREBI_TASKS
from surefoot.tasks.vision import VISION_TASKS

__all__ = [
    "TASKS",
    "Constraint",
    "CostLimit",
    "Environment",
    "Reference",
    "RunTimeBudget",
    "Signal",
    "Task",
    "get_task",
]

_FREE = (CostLimit(0.0),)
"""Constraint of tasks in which no step may be a violation."""


def _hazard_run(name: str, collected_as: str | None = None) -> Task:
    """HazardRun in one of its layouts. At most 3.7 for the way across and 0.2 for each of 16 steps in the goal."""
    return Task(
        name, 768, 2, 30, return_min=0.0, return_max=6.9, constraints=_FREE, deterministic=True,
        environment=own(name), collected_as=collected_as, image_shape=(16, 16, 3),
    )  # fmt: skip


def _point_robot(name: str, observation_dim: int, *, has_signal: bool) -> Task:
    """PointRobot, or the one with slow actuators, which observes its acceleration, too. Returns of both alike."""
    constraints = (*_FREE, Signal(unit="m")) if has_signal else _FREE
    return Task(
        name, observation_dim, 2, 300, return_min=0.0, return_max=8.05, constraints=constraints, deterministic=True,
        environment=own(name), exact_set=True,
    )  # fmt: skip


def _point_robot_pixels(name: str, size: int, collected_as: str | None = None) -> Task:
    """PointRobot as images of `size` x `size` pixels, in decisions of four steps; returns as PointRobot's."""
    shape = (size, size, 3)
    return Task(
        name, 3 * size * size, 2, 75, return_min=0.0, return_max=8.05, constraints=_FREE, deterministic=True,
        environment=own(name), collected_as=collected_as, presets=f"pixels {size}", image_shape=shape,
        exact_set=True,
    )  # fmt: skip


OWN_TASK = "a system of your own: a task file that ends in .toml (docs/own-log.md)"
"""Further meaning of a name that is not in the table, for messages."""

TASKS: dict[str, Task] = {
    # The best return is the way from the far corner (-3, -3) to the goal's rim, plus 1 for reaching it:
    # hypot(5.2, 5.2) - 0.3 + 1 = 8.05; rewards are distances in metres, so 0 is standing still.
    "PointRobot": _point_robot("PointRobot", 11, has_signal=True),
    "PointRobotSlow": _point_robot("PointRobotSlow", 12, has_signal=True),
    "PointRobotSlowCosts": _point_robot("PointRobotSlowCosts", 12, has_signal=False),
    "HazardRun": _hazard_run("HazardRun"),
    "HazardRunShifted": _hazard_run("HazardRunShifted", "HazardRun"),
    "PointRobotPixels": _point_robot_pixels("PointRobotPixels", 32),
    "PointRobotPixelsMoved": _point_robot_pixels("PointRobotPixelsMoved", 32, "PointRobotPixels"),
    "PointRobotPixels64": _point_robot_pixels("PointRobotPixels64", 64),
    "PointRobotPixels64Moved": _point_robot_pixels("PointRobotPixels64Moved", 64, "PointRobotPixels64"),
    **DSRL_TASKS,
    **TREBI_TASKS,
    **VISION_TASKS,
}
"""Name -> task: the built-in table."""

_BY_DSRL_ID = {task.dsrl_id: task for task in DSRL_TASKS.values() if task.dsrl_id is not None}


def get_task(name: str | Task) -> Task:
    """Look up a task.

    Args:
        name: Name of a task of surefoot's or DSRL's; path of a task file that ends in .toml; name of another package's
            task (entry point `surefoot.tasks`: a `Task`, or the path of its task file); or a `Task`, which is returned
            as it is.

    Returns:
        The task.

    Raises:
        UnknownNameError: No task has that name; the message lists near names.
        ConfigError: The task file cannot be used.
    """
    if isinstance(name, Task):
        return name
    if name in _BY_DSRL_ID:
        return _BY_DSRL_ID[name]
    if name in TASKS:
        return TASKS[name]
    if is_task_file(name):
        return task_of(read_task_file(name, taken=list(TASKS)))
    if (offered := offered_task(name)) is not None:
        return offered
    return TASKS[check_name("task", name, TASKS, also=OWN_TASK)]
