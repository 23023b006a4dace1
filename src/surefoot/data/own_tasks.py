"""Find the task that a name means beside its data: data that were imported with a task file carry it on their card."""

from pathlib import Path
from typing import Any

from surefoot.data import library
from surefoot.data.logs.sources import CSV, PARQUET
from surefoot.errors import ConfigError, SurefootError
from surefoot.tasks import TASKS, Task, get_task
from surefoot.tasks.own_task import difference_of, is_task_file, kept_task_file, task_of
from surefoot.tasks.read_task_file import read_task_file
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
