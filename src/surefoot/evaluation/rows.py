"""The row of an episode: its columns, how it is made, and how files of rows are read and appended to.

Every evaluation keeps rows of this kind; the optional columns depend on what was measured.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from surefoot.errors import ConfigError
from surefoot.evaluation.protocol import normalised_cost, normalised_return
from surefoot.file_sets import Naming
from surefoot.files import json_rows
from surefoot.json_files import read_rows
from surefoot.runs.evaluation_files import kept
from surefoot.tasks import Task

EpisodeRow = TypedDict(
    "EpisodeRow",
    {
        "task": NotRequired[str],
        "algorithm": NotRequired[str],
        "data": NotRequired[str],
        "extraction": NotRequired[str],
        "level": NotRequired[float | None],
        "overrides": NotRequired[dict[str, Any]],
        "step": NotRequired[int],
        "setting": NotRequired[str],
        "protocol": NotRequired[str],
        "limit": NotRequired[float],
        "told": NotRequired[float],
        "asked": NotRequired[str],
        "ratio": NotRequired[float | None],
        "budget": NotRequired[float | None],
        "planner_budget": NotRequired[float | None],
        "seed": int,
        "start": NotRequired[str],
        "episode": int,
        "simulator_seed": NotRequired[int],
        "pose": NotRequired[list[float]],
        "return": float,
        "normalised_return": NotRequired[float],
        "cost": float,
        "discounted_cost": NotRequired[float],
        "normalised_cost": NotRequired[float | None],
        "exceeded": NotRequired[bool],
        "length": int,
        "violating_steps": NotRequired[float],
        "max_constraint": NotRequired[float],
        "reached_goal": NotRequired[bool],
        "terminated": NotRequired[bool],
        "restarts": NotRequired[int],
        "lanes": NotRequired[int],
        "step_seconds": NotRequired[float],
    },
)
"""Columns of an episode in the order of the files. Files may have more."""
COLUMNS = tuple(EpisodeRow.__annotations__)
UNDER_BUDGET = ("setting", "asked", "ratio", "budget", "discounted_cost", "exceeded", "lanes", "step_seconds")
"""Columns of every row of an evaluation under budgets."""


def episode_row(
    method: Mapping[str, Any],
    *,
    episode_return: float,
    normalised_by: Task | None = None,
    limit: float | None = None,
    **columns: Any,
) -> dict[str, Any]:
    """A row of JSON values in the order of `COLUMNS`.

    Args:
        method: Columns that all rows of an evaluation share: the task, the algorithm, the setting.
        episode_return: Undiscounted return, column "return".
        normalised_by: Task whose reference returns normalize the return; None: no such column.
        limit: Limit that normalizes the cost; None: no such column.
        columns: Further columns.

    Returns:
        The row.
    """
    found = {**method, **columns, "return": episode_return}
    if normalised_by is not None:
        found["normalised_return"] = normalised_return(episode_return, normalised_by)
    if limit is not None:
        found["normalised_cost"] = normalised_cost(found["cost"], limit)
    return _ordered(found)


def against_limits(rows: Sequence[Mapping[str, Any]], limits: Sequence[float], protocol: str) -> list[dict[str, Any]]:
    """Rows scored against each cost limit of a protocol; a row whose policy was given a limit against that one only.

    Args:
        rows: Rows of episodes.
        limits: Limits on the undiscounted cost of an episode.
        protocol: Name of the protocol.

    Returns:
        Rows with "protocol", "limit" and "normalised_cost".
    """
    return [
        _ordered({**row, "protocol": protocol, "limit": limit, "normalised_cost": normalised_cost(row["cost"], limit)})
        for limit in limits
        for row in rows
        if row.get("told", limit) == limit
    ]


def _ordered(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: columns[name] for name in COLUMNS if name in columns} | dict(columns)  # others at the end


def read_episodes(
    path: Path,
    *,
    what: str = "rows of an evaluation",
    advice: str = "evaluate again",
    needs: Sequence[str] = (),
    cut_end: bool = False,
    size: int | None = None,
) -> list[dict[str, Any]]:
    """Read the rows of a file.

    Args:
        path: The file.
        what: What it is expected to hold, for errors.
        advice: Advice at the end of errors.
        needs: Columns that every row must have.
        cut_end: Skip a half-written last line.
        size: Bytes to read; None: all.

    Returns:
        The rows.

    Raises:
        ConfigError: The file does not hold such rows.
    """
    rows: list[dict[str, Any]] = read_rows(path, EpisodeRow, what=what, advice=advice, cut_end=cut_end, size=size)
    for number, row in enumerate(rows, 1):
        if absent := [name for name in needs if name not in row]:
            raise ConfigError(f"{path}: row {number}: {absent[0]}: expected {what}, found none; {advice}.")
    return rows


def evaluation_rows_of(run: Path) -> list[dict[str, Any]]:
    """Rows of a run's evaluation; empty where there was none. Raises `ConfigError` where they cannot be read."""
    file = kept(run, "evaluation", "episodes.jsonl")
    return [] if file is None else read_episodes(file)


def read_budget_rows(path: Path, *, size: int | None = None) -> list[dict[str, Any]]:
    """Read rows of evaluations under budgets; a half-written last line is skipped.

    Args:
        path: The file.
        size: Bytes to read; None: all.

    Returns:
        The rows; empty where there is no file.

    Raises:
        ConfigError: A line is not such a row.
    """
    if not path.exists():
        return []
    return read_episodes(
        path, what="a row of an evaluation under budgets", advice="remove the file to begin again", needs=UNDER_BUDGET,
        cut_end=True, size=size,
    )  # fmt: skip


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to a file, all or none, and wait until they lie on the disk; a half-written last line is removed
    first.

    Args:
        path: The file.
        rows: Rows of JSON values.

    Raises:
        OSError: They could not be written; it names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with Naming(path, path), path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        whole = file.read(end).rfind(b"\n") + 1
        file.truncate(whole)
        content = json_rows(rows)
        try:
            while content:
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(whole)
            raise
