"""Tasks of task files, task files kept as JSON in data cards and runs, and tasks of other packages."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from surefoot.errors import ConfigError, option
from surefoot.tasks.constraint import Constraint, CostLimit, Signal
from surefoot.tasks.environment import Environment
from surefoot.tasks.read_task_file import TaskFileReader, matches, parse_task_file, read_task_file
from surefoot.tasks.reference import Argument, Reference
from surefoot.tasks.task import Task
from surefoot.tasks.task_file import FROM_DATA, TaskFile

GROUP = "surefoot.tasks"
"""Group of the entry points by which other packages offer tasks."""


def is_task_file(name: str) -> bool:
    """Whether the name of a task is the path of a task file."""
    return name.endswith(".toml")


def offered_task(name: str) -> Task | None:
    """Task that another package offers under a name; None where none does. Raises `ConfigError`."""
    for point in entry_points(group=GROUP, name=name):
        found = point.load()
        if isinstance(found, Task):
            return found
        if isinstance(found, str | Path) and is_task_file(str(found)):
            return task_of(read_task_file(found))
        expected = "a Task or the path of a task file that ends in .toml"
        raise ConfigError(f"entry point {GROUP}: {name}: expected {expected}, found {type(found).__name__}.")
    return None


def task_of(file: TaskFile) -> Task:
    """Task of a task file with known columns. Raises `ConfigError` where columns wait for a log."""
    if file.has_patterns:
        raise ConfigError(
            f"task {file.task.name}: columns: expected names without *, found some; data that were imported with "
            f"the task file have their columns, so name them with {option('data')}."
        )
    return unfinished_task_of(file)


def unfinished_task_of(file: TaskFile) -> Task:
    """Task of a task file that may wait for a log; where columns have *, its widths mean nothing."""
    returns, table = file.task.reference_returns, file.environment
    low, high = returns if isinstance(returns, tuple) else (0.0, 1.0)
    return Task(
        file.task.name,
        observation_dim=len(file.observation.columns),
        action_dim=len(file.action.columns),
        horizon=file.task.horizon,
        return_min=low,
        return_max=high,
        constraints=_constraints(file),
        deterministic=file.task.deterministic,
        environment=table
        and Environment(maker(table.make, tuple(table.kwargs.items())), "gymnasium", packages=("gymnasium",)),
        file=file,
    )


def completed(given: TaskFile, kept: TaskFile) -> TaskFile:
    """Task file with a log's columns and numbers in place of its * and "from data".

    Args:
        given: Task file of the user.
        kept: Task file that was kept with imported data.

    Returns:
        Completed task file; what the log does not answer stays.
    """
    return kept_task_file(_completed(given, kept), place=f"task {given.task.name}")


def difference_of(given: TaskFile, kept: TaskFile) -> str | None:
    """First key in which a task file differs from the one that data were imported with.

    Args:
        given: Task file of the user, with * and "from data".
        kept: Task file that was kept with imported data.

    Returns:
        Key, or None where they agree.
    """
    one, other = _completed(given, kept), kept.as_json()
    for table in ("log", "environment"):  # where logs and episodes come from changes no number
        one.pop(table)
        other.pop(table)
    return next((key for key in one if one[key] != other[key]), None)


def _completed(given: TaskFile, kept: TaskFile) -> dict[str, Any]:
    one, other = given.as_json(), kept.as_json()
    for table in ("observation", "action"):
        patterns = one[table]["columns"]
        if all(any(matches(pattern, name) for pattern in patterns) for name in other[table]["columns"]):
            one[table]["columns"] = other[table]["columns"] if any("*" in name for name in patterns) else patterns
    if one["task"]["reference_returns"] == FROM_DATA:
        one["task"]["reference_returns"] = other["task"]["reference_returns"]
    for mine, theirs in zip(one["constraint"], other["constraint"], strict=False):
        if mine["scale"] == FROM_DATA:
            mine["scale"] = theirs["scale"]
    return one


def _constraints(file: TaskFile) -> tuple[Constraint, ...]:
    """Constraints of a task file: the sum of all costs, and all signals."""
    costs = CostLimit(sum(one.limit for one in file.costs), name=" and ".join(one.name for one in file.costs) or "cost")
    scales = [one.scale if isinstance(one.scale, float) else None for one in file.signals]
    signals = (Signal(one.name, unit=one.unit, scale=scale) for one, scale in zip(file.signals, scales, strict=True))
    return (costs, *signals)


def maker(make: str, arguments: tuple[tuple[str, Argument], ...] = ()) -> Reference:
    """Factory of an environment.

    Args:
        make: Function or class as "module:name", or an id for Gymnasium's `make`.
        arguments: Keyword arguments by name.

    Returns:
        The factory.
    """
    return Reference(make, arguments) if ":" in make else Reference("gymnasium:make", (("id", make), *arguments))


def kept_task_file(values: dict[str, Any], *, place: str) -> TaskFile:
    """Task file from the JSON of a card or a run.

    Args:
        values: JSON values.
        place: File or key, for messages.

    Returns:
        The task file.

    Raises:
        ConfigError: The values are no task file.
    """
    return parse_task_file(values, TaskFileReader(Path(place), ""))
