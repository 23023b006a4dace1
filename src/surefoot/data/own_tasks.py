"""Tasks of data, of task files, of environments and of Minari datasets.

Data that were imported with a task file have it on their card.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot.data import library
from surefoot.data.library import TASK_FILE
from surefoot.data.logs.arrays import open_minari
from surefoot.data.logs.infer import infer_task_file
from surefoot.data.logs.sources import CSV, PARQUET
from surefoot.errors import ConfigError, SurefootError
from surefoot.tasks import TASKS, Task, get_task
from surefoot.tasks.own_task import difference_of, is_task_file, kept_task_file, task_of, unfinished_task_of
from surefoot.tasks.read_task_file import TaskFileReader, check_task_file, parse_task_file, read_task_file
from surefoot.tasks.spaces import FlatSpaces
from surefoot.tasks.task_file import TaskFile
from surefoot.text import shell_word


def find_task(name: str, *, data: Path | None = None) -> Task:
    """Look up a task, by its data's card where the name or a task file leaves something open.

    Args:
        name: Name of a task, as of `get_task`.
        data: Data file; None: none.

    Returns:
        The task.

    Raises:
        UnknownNameError: There is no such task.
        ConfigError: The data were imported with another task file.
    """
    file = find_task_file(name, data=data)
    return get_task(name) if file is None else task_of(file)


def find_task_file(name: str, *, data: Path | None = None) -> TaskFile | None:
    """Task file that a task's name means, completed from the card of the data.

    Args:
        name: Name of a task, as of `get_task`.
        data: Data file; None: none.

    Returns:
        The task file, or None for a task of the table.

    Raises:
        ConfigError: The data are a log, or were imported with another task file.
    """
    kept = None if data is None or name in TASKS else kept_file(data)
    if not is_task_file(name):
        return kept if kept is not None and kept.task.name == name else None
    given = read_task_file(name, taken=list(TASKS))
    if data is not None and kept is None and data.suffix.lower() in (*CSV, *PARQUET):
        raise ConfigError(
            f"{data}: expected data that were imported, found a log; `surefoot data import {shell_word(data)} --task "
            f"{shell_word(name)} --out FILE` imports it."
        )
    if kept is None or kept.task.name != given.task.name:  # whose data they are is said where they are read
        return given
    if (key := difference_of(given, kept)) is not None:
        raise ConfigError(
            f"{name}: {key}: expected the task file with which {data} was imported, found another one; import the log "
            f"again."
        )
    return kept


def kept_file(data: Path) -> TaskFile | None:
    """Task file on the card of data; None where there are no data, or no card with one."""
    try:
        card: dict[str, Any] = library.card_of(data) if data.exists() else {}
    except SurefootError:  # what is wrong with the data is said where they are read
        return None
    if TASK_FILE not in card:
        return None
    return kept_task_file(card[TASK_FILE], place=f"{data}: card: {TASK_FILE}")


# --- tasks made in Python --------------------------------------------------------------------------------------------


def task_from_file(path: str | os.PathLike[str]) -> Task:
    """Task of a task file, for `Task.from_file`."""
    return unfinished_task_of(read_task_file(path, taken=list(TASKS)))


def task_from_env(
    make_env: str | Callable[[], Any], *, constraints: Sequence[str | Mapping[str, Any]], horizon: int | None,
    name: str | None,
) -> Task:  # fmt: skip
    """Task of a Gymnasium environment, for `Task.from_env`.

    Args:
        make_env: Environment id, or a function that makes the environment.
        constraints: Expressions or tables of what must hold.
        horizon: Longest episode in steps; None: the environment's own limit.
        name: Name of the task; None: the environment's.

    Returns:
        The task.

    Raises:
        ConfigError: The spaces are no numbers, or nothing says how long an episode is.
    """
    import gymnasium  # takes a while, which other tasks are spared

    try:
        env: Any = gymnasium.make(make_env) if isinstance(make_env, str) else make_env()
    except gymnasium.error.Error as error:
        found = " ".join(str(error).split()).rstrip(".").replace(". ", "; ")
        raise ConfigError(f"make_env: expected the id of a Gymnasium environment, found {found:.200}.") from error
    spec = env.spec
    try:
        spaces = FlatSpaces.of(env)
    except ConfigError as error:
        raise ConfigError(f"make_env: {error}.") from error
    finally:
        env.close()
    longest = horizon or getattr(spec, "max_episode_steps", None)
    if longest is None:
        raise ConfigError("horizon: expected the longest episode in steps, as the environment has none, found none.")
    named = name or _task_name(getattr(spec, "id", None) or getattr(make_env, "__name__", "environment"))
    values: dict[str, Any] = {
        "task": {"name": named, "horizon": int(longest)},
        "observation": {"columns": list(spaces.observation)},
        "action": {"columns": list(spaces.action), "low": spaces.low.tolist(), "high": spaces.high.tolist()},
        "reward": {"column": "reward"},
        "constraint": _constraints(constraints) or [{"name": "cost", "column": "cost", "kind": "cost"}],
        "episodes": {"terminated": "terminated", "truncated": "truncated"},
    }
    if (make := make_env if isinstance(make_env, str) else _import_path(make_env)) is not None:
        values["environment"] = {"make": make, **({} if constraints else {"cost": "info.cost"})}
    return _task_of_values(values, place="Task.from_env")


def task_from_minari(
    path: str | os.PathLike[str], *, constraints: Sequence[str | Mapping[str, Any]], name: str | None
) -> Task:
    """Task of a Minari dataset, for `Task.from_minari`.

    Args:
        path: Folder of the dataset.
        constraints: Expressions or tables of what must hold.
        name: Name of the task; None: the folder's.

    Returns:
        The task.

    Raises:
        DataError: There is no such dataset.
        ConfigError: Neither costs nor constraints say what must hold.
    """
    folder = Path(path)
    log = open_minari(str(folder), folder)
    values = tomllib.loads(infer_task_file(log, name=_task_name(name or folder.name), paths=[str(folder.resolve())]))
    found = _constraints(constraints)
    if not found and "column" not in values["constraint"][0]:
        raise ConfigError(f"{folder}: constraints: expected what must hold, as the data have no costs, found none.")
    return _task_of_values({**values, "constraint": found or values["constraint"]}, place="Task.from_minari")


def _task_of_values(values: Mapping[str, Any], *, place: str) -> Task:
    reader = TaskFileReader(Path(place), "")
    file = parse_task_file(values, reader)
    check_task_file(file, reader, taken=list(TASKS))
    return unfinished_task_of(file)


def _constraints(given: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Constraint tables of a task file from expressions or tables."""
    return [
        {"name": f"constraint_{number}", "expression": one} if isinstance(one, str) else dict(one)
        for number, one in enumerate(given, start=1)
    ]


def _import_path(function: Callable[[], Any]) -> str | None:
    """Import path by which another process finds a function; None where it does not."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    return f"{module}:{name}" if module and module != "__main__" and name.isidentifier() else None


def _task_name(name: str) -> str:
    """Name with the letters that names of tasks may have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-") or "environment"
