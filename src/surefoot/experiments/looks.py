"""The log of evaluations on held-out tasks: a Markdown table that stays in the repository."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from surefoot.errors import ConfigError
from surefoot.experiments.cell import Cell
from surefoot.files import write_text
from surefoot.json_files import read_content
from surefoot.text import printable

COLUMNS = ("look", "time (UTC)", "plan", "tasks", "methods", "cells", "reason")
HEAD = f"""# Looks at held-out tasks

One row for each time that methods were run on them; all are shown, the last counts. `surefoot benchmark` adds the rows.

| {" | ".join(COLUMNS)} |
|{" --- |" * len(COLUMNS)}
"""
_ROW = re.compile(r"\|\s*(\d+)\s*\|(.*)\|\s*")


class Look(NamedTuple):
    """A row of the log."""

    number: int
    plan: str
    cells: str
    """Number of the cells, and a hash of their keys."""


def read_looks(path: Path) -> list[Look]:
    """Rows of a log; none where there is no file. Raises `ConfigError` where it is no UTF-8 text, or a row has other
    columns."""
    if not path.exists():
        return []
    looks = []
    for place, line in enumerate(_text(path).splitlines(), 1):
        if (match := _ROW.fullmatch(line)) is None:
            continue
        parts = [part.strip() for part in re.split(r"(?<!\\)\|", match[2])]
        if len(parts) != len(COLUMNS) - 1:
            raise ConfigError(
                f"{path}: line {place}: expected a row of {len(COLUMNS)} columns, found {len(parts) + 1}."
            )
        looks.append(Look(int(match[1]), parts[1], parts[4]))
    return looks


def _text(path: Path) -> str:
    what = "the log of looks at held-out tasks"
    try:
        return read_content(path, what=what).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected {what} in UTF-8, found other bytes.") from error


def cells_named(cells: Sequence[Cell]) -> str:
    """Number of cells, and a hash of their keys: equal cells are the same look."""
    keys = sorted(cell.key for cell in cells)
    return f"{len(keys)}, {hashlib.sha256(' '.join(keys).encode()).hexdigest()[:12]}"


def is_noted(path: Path, plan: str, cells: Sequence[Cell]) -> bool:
    """Whether these cells are an earlier look, which goes on.

    Args:
        path: The log.
        plan: Name of the plan.
        cells: The cells.

    Returns:
        True where a row has this plan and these cells.
    """
    named = cells_named(cells)
    return any((look.plan, look.cells) == (plan, named) for look in read_looks(path))


def note_look(path: Path, *, plan: str, cells: Sequence[Cell], reason: str, most: int, now: datetime) -> int:
    """Append a row to the log.

    Args:
        path: The log.
        plan: Name of the plan.
        cells: Held-out cells to run.
        reason: Reason of the look.
        most: Most looks of the plan.
        now: Time in UTC.

    Returns:
        Number of the look.

    Raises:
        ConfigError: The plan has no look left.
    """
    looks = read_looks(path)
    if len(looks) >= most:
        raise ConfigError(f"{path}: expected fewer than {most} looks at held-out tasks, found {len(looks)}.")
    number = max((look.number for look in looks), default=0) + 1
    tasks = dict.fromkeys(cell.task for cell in cells)
    methods = dict.fromkeys(cell.method for cell in cells)
    words = (
        str(number), now.strftime("%Y-%m-%d %H:%M"), plan, ", ".join(tasks), ", ".join(methods), cells_named(cells),
        printable(reason).replace("|", "\\|"),
    )  # fmt: skip
    before = _text(path) if path.exists() else HEAD
    write_text(path, f"{before.rstrip()}\n| {' | '.join(words)} |\n")
    return number
