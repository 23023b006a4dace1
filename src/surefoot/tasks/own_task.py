"""The `Task` of a task file, and task files kept as JSON in data cards and runs."""

from pathlib import Path
from typing import Any

from surefoot.errors import ConfigError
from surefoot.tasks.read_task_file import TaskFileReader, parse_task_file
from surefoot.tasks.task import Task
from surefoot.tasks.task_file import TaskFile


def task_of(file: TaskFile) -> Task:
    """The task of a file whose columns are spelled out. Raises `ConfigError` where something waits for a log."""
    if any("*" in name for name in (*file.observation.columns, *file.action.columns)):
        raise ConfigError(
            f"task {file.task.name}: columns: expected names without *, found some; data that were imported with "
            f"the task file have their columns, so name them with --data."
        )
    returns = file.task.reference_returns
    low, high = returns if isinstance(returns, tuple) else (0.0, 1.0)
    return Task(
        file.task.name,
        observation_dim=len(file.observation.columns),
        action_dim=len(file.action.columns),
        horizon=file.task.horizon,
        return_min=low,
        return_max=high,
        cost_limit=sum(one.limit for one in file.costs),
        has_constraint=bool(file.signals),
        deterministic=file.task.deterministic,
    )


def kept_task_file(values: dict[str, Any], *, place: str) -> TaskFile:
    """A task file that was kept as JSON, in a card or a run. Raises `ConfigError` that names the place."""
    return parse_task_file(values, TaskFileReader(Path(place), ""))
