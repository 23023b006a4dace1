"""What a file's values must fulfil before anything is learnt from them. Every fault is one sentence."""

from pathlib import Path
from typing import NoReturn

import numpy as np

from surefoot.data.dataset import Dataset
from surefoot.errors import DataError
from surefoot.tasks import Task

ACTION_SLACK = 1e-3
"""How far an action may lie outside [-1, 1]: simulators' rounding, not another unit."""
FOLLOW_RELATIVE = 1e-4
"""Tolerated gap between a next observation and the observation that follows, relative to the column's spread."""
FOLLOW_ABSOLUTE = 1e-5
"""The same, absolute, in the observation's unit."""
BLOCK_ROWS = 16_384
"""Rows compared at a time, so that the check of a large file needs little memory."""


def refuse(path: Path, key: str, *, expected: str, found: str, cause: BaseException | None = None) -> NoReturn:
    """Raise the `DataError` that names file, key (empty: the whole file), expected and found."""
    place = f"{path}: {key}" if key else f"{path}"
    raise DataError(f"{place}: expected {expected}, found {found}.") from cause


def float32_values(path: Path, key: str, values: np.ndarray) -> np.ndarray:
    """`values` (any real dtype) as float32; refuses NaN, infinities and what float32 cannot hold."""
    if not np.isfinite(values).all():
        at = _first(~np.isfinite(values))
        refuse(path, key, expected="finite numbers", found=f"{values[at]} in {_position(at)}")
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(converted).all():
        at = _first(~np.isfinite(converted))
        refuse(path, key, expected="numbers that fit into float32", found=f"{values[at]:g} in {_position(at)}")
    return converted


def flag_values(path: Path, key: str, values: np.ndarray) -> np.ndarray:
    """`values` as booleans; refuses everything but 0 and 1."""
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        at = _first(wrong)
        refuse(path, key, expected="only 0 and 1", found=f"{values[at]:g} in {_position(at)}")
    return values.astype(np.bool_)


def check_dataset(path: Path, dataset: Dataset, task: Task) -> None:
    """Refuse data whose shapes are right but whose values cannot be `task`'s; see the specification of the format."""
    _check_ranges(path, dataset)
    _check_episodes(path, dataset, task)
    _check_following(path, dataset)
    for key, columns in (("observations", dataset.observations), ("actions", dataset.actions)):
        if (columns == columns[0]).all():
            found = f"the same {columns.shape[1]} numbers in every one of {len(columns)} rows"
            refuse(path, key, expected="at least one column that varies", found=found)


def _check_ranges(path: Path, dataset: Dataset) -> None:
    sizes = np.abs(dataset.actions)
    at = np.unravel_index(sizes.argmax(), sizes.shape)
    if sizes[at] > 1 + ACTION_SLACK:
        found = f"{dataset.actions[at]:g} in {_position(at)} (the largest); actions must be scaled to [-1, 1]"
        refuse(path, "actions", expected="numbers in [-1, 1]", found=found)
    if (dataset.costs < 0).any():
        at = _first(dataset.costs < 0)
        refuse(path, "costs", expected="numbers >= 0", found=f"{dataset.costs[at]:g} in {_position(at)}")


def _check_episodes(path: Path, dataset: Dataset, task: Task) -> None:
    ends = dataset.episode_ends
    if not len(ends):
        found = f"none in {len(dataset)} rows"
        refuse(path, "terminals and timeouts", expected="a 1 where an episode ends", found=found)
    # The unfinished tail counts too: an episode does not have to end to have run for too long.
    bounds = np.unique(np.concatenate([[0], ends, [len(dataset)]]))
    too_long = np.flatnonzero(np.diff(bounds) > task.horizon)
    if len(too_long):
        first, after = bounds[too_long[0]], bounds[too_long[0] + 1]
        expected = f"an episode end within {task.horizon} steps, the horizon of {task.name}"
        found = f"{after - first} steps in rows {first} to {after - 1}"
        refuse(path, "terminals and timeouts", expected=expected, found=found)


def _check_following(path: Path, dataset: Dataset) -> None:
    observations, entered = dataset.observations, dataset.next_observations
    # In float64, where neither a spread nor a difference of float32 numbers can overflow.
    spread = observations.max(0).astype(np.float64) - observations.min(0)
    tolerance = FOLLOW_RELATIVE * spread + FOLLOW_ABSOLUTE
    followed = ~(dataset.terminated | dataset.truncated)[:-1]
    for start in range(0, len(followed), BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, len(followed))
        gap = np.abs(entered[start:stop].astype(np.float64) - observations[start + 1 : stop + 1])
        wrong = (gap > tolerance) & followed[start:stop, None]
        if wrong.any():
            offset, column = _first(wrong)
            row = start + offset
            expected = (
                f"{observations[row + 1, column]:g} in row {row}, column {column} (the observation of row {row + 1})"
            )
            refuse(path, "next_observations", expected=expected, found=f"{entered[row, column]:g}")


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(wrong.argmax(), wrong.shape))


def _position(at: tuple[int, ...] | tuple[np.intp, ...]) -> str:
    return ", ".join(f"{name} {index}" for name, index in zip(("row", "column"), at, strict=False))
