"""Find the task that a name means beside its data (data that were imported with a task file carry it on their card), or
make one of a task file, of an environment or of a Minari dataset.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot.data import library
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

TASK_FILE = library.TASK_FILE


def find_task(name: str, *, data: Path | None = None) -> Task:
    """The task called `name`, as `get_task` finds it. What a task file leaves to the log, and a name that is not in the
    table, is taken from the card of the data at `data`.

    Raises `UnknownNameError`, or `ConfigError` where the data were imported with another task file.
    """
    file = find_task_file(name, data=data)
    return get_task(name) if file is None else task_of(file)


def find_task_file(name: str, *, data: Path | None = None) -> TaskFile | None:
    """The task file that a task's name means, filled in from the card of the data; None for a task of the table."""
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
    """The task file on the card of data; None where there are none, or it has none."""
    try:
        card: dict[str, Any] = library.card_of(data) if data.exists() else {}
    except SurefootError:  # what is wrong with the data is said where they are read
        return None
    if TASK_FILE not in card:
        return None
    return kept_task_file(card[TASK_FILE], place=f"{data}: card: {TASK_FILE}")


# --- tasks made in Python --------------------------------------------------------------------------------------------


def task_from_file(path: str | os.PathLike[str]) -> Task:
    """As `Task.from_file`."""
    return unfinished_task_of(read_task_file(path, taken=list(TASKS)))


def task_from_env(
    make_env: str | Callable[[], Any], *, constraints: Sequence[str | Mapping[str, Any]], horizon: int | None,
    name: str | None,
) -> Task:  # fmt: skip
    """As `Task.from_env`."""
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
    """As `Task.from_minari`."""
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
    """Tables of a task file, of expressions or tables."""
    return [
        {"name": f"constraint_{number}", "expression": one} if isinstance(one, str) else dict(one)
        for number, one in enumerate(given, start=1)
    ]


def _import_path(function: Callable[[], Any]) -> str | None:
    """Where another process finds a function; None where it does not."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    return f"{module}:{name}" if module and module != "__main__" and name.isidentifier() else None


def _task_name(name: str) -> str:
    """A name as tasks have it."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-") or "environment"
