"""Budgets that change within an episode, read from a CSV file.

Either one column, a row for each step, or two, a row for each change:

    budget          step,budget
    30              0,30
    30              50,10
    10              120,inf

A budget is what the whole episode may cost, as known from that step on: costs so far count against it. `ratio` in
place of `budget` gives ratios of the task's maximum.
"""

import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from surefoot.constraints.budgets import cost_of_ratio
from surefoot.errors import ConfigError, DataError, option
from surefoot.tasks import Task
from surefoot.text import decimal

HEADERS = (("budget",), ("ratio",), ("step", "budget"), ("step", "ratio"))


class Schedule(NamedTuple):
    """The budget of an episode at each of its steps."""

    totals: Float[np.ndarray, " t"]
    """Undiscounted cost of the whole episode that is allowed, as known at each step of the horizon."""
    name: str
    """Name of its file."""


def read_schedule(path: str | os.PathLike[str], task: Task) -> Schedule:
    """Read the schedule in a CSV file for episodes of a task.

    Args:
        path: CSV file with one of the headers `HEADERS`.
        task: Task whose horizon and maximum budget apply.

    Returns:
        Budgets [horizon] and the file's name.

    Raises:
        DataError: Wrong header; a budget that is no number, NaN or negative; steps that do not rise from 0 or lie
            beyond the episode; a row for each step that ends before the episode. The sentence names file and line.
        ConfigError: Ratios are given and the task has no maximum, or the file cannot be read.
    """
    path = Path(path)
    header, rows = _rows(path)
    budgets = np.array([_number(cells[-1], path, line, header[-1]) for line, cells in rows])
    if header[-1] == "ratio":
        budgets = np.array([cost_of_ratio(ratio, task) for ratio in budgets])
    if len(header) == 1:
        if len(budgets) < task.horizon:
            raise DataError(
                f"{path}: expected a budget for each of the {task.horizon} steps of an episode of {task.name}, "
                f"found {len(budgets)}."
            )
        return Schedule(budgets[: task.horizon], path.name)
    steps = [_step(cells[0], path, line) for line, cells in rows]
    for (line, _), step, before in zip(rows, steps, [-1, *steps], strict=False):
        if step <= before or (before == -1 and step != 0):
            expected = "0 first" if before == -1 else f"more than {before}"
            raise DataError(f"{path}: line {line}: step: expected {expected}, found {step}.")
        if step >= task.horizon:
            raise DataError(
                f"{path}: line {line}: step: expected at most {task.horizon - 1}, the last of an episode of "
                f"{task.name}, found {step}."
            )
    place = np.searchsorted(steps, np.arange(task.horizon), side="right") - 1
    return Schedule(budgets[place], path.name)


def _rows(path: Path) -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    """The header, and the numbers of lines with their cells; empty lines are passed over."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"{option('budget_schedule')} {path}: the file cannot be read ({reason}).") from error
    try:
        found = list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise DataError(f"{path}: expected rows of CSV, found a fault ({error}).") from error
    lines = [(number, [cell.strip() for cell in cells]) for number, cells in enumerate(found, 1)]
    lines = [(number, cells) for number, cells in lines if any(cells)]
    header = tuple(lines[0][1]) if lines else ()
    if header not in HEADERS:
        known = ", ".join(f"'{','.join(one)}'" for one in HEADERS)
        raise DataError(f"{path}: line 1: expected one of the headers {known}, found '{','.join(header)}'.")
    rows = lines[1:]
    if not rows:
        raise DataError(f"{path}: expected at least one row below the header, found none.")
    for number, cells in rows:
        if len(cells) != len(header):
            raise DataError(f"{path}: line {number}: expected {len(header)} values, found {len(cells)}.")
    return header, rows


def _number(text: str, path: Path, line: int, column: str) -> float:
    value = decimal(text)
    if value is None or not value >= 0:
        raise DataError(f"{path}: line {line}: {column}: expected at least 0 (inf for no limit), found '{text}'.")
    return value


def _step(text: str, path: Path, line: int) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise DataError(f"{path}: line {line}: step: expected a whole number from 0, found '{text}'.")
    return int(text)
