"""Checks of logged data before they are learned from or written. Every fault is one sentence.

Transitions (`check_dataset`) and frames (`check_frames`) go through one list of checks; readers call it before they
return, writers before they write. All checks read the rows in blocks, so that data that stay in their file are checked
with little memory.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float

from surefoot.data.dataset import Dataset
from surefoot.data.frames import FrameData, transition_rows
from surefoot.data.mapping import BLOCK_ROWS, Meter, blocks, read_rows
from surefoot.errors import DataError
from surefoot.tasks import Task

ACTION_SLACK = 1e-3
"""Largest distance of an action from [-1, 1]: rounding of simulators, not another unit."""
FOLLOW_RELATIVE = 1e-4
"""Largest gap between a next observation and the following observation, relative to the column's spread."""
FOLLOW_ABSOLUTE = 1e-5
"""Largest such gap in the observation's unit."""
NEAR_REWARDS = ("reward", "Rewards", "Reward", "r")
"""Names by which rewards are meant, so that a file with one of them does not count as one without rewards."""
REFERENCE_SLACK = 0.5
"""Largest distance of an episode's return from the task's reference range, as a share of that range, in a file without
a card."""


def refuse(path: Path, key: str, *, expected: str, found: str, cause: BaseException | None = None) -> NoReturn:
    """Raise the `DataError` that names file, key (empty: the whole file), expected and found."""
    place = f"{path}: {key}" if key else f"{path}"
    raise DataError(f"{place}: expected {expected}, found {found}.") from cause


def float32_values(path: Path, key: str, values: np.ndarray, *, first_row: int = 0) -> np.ndarray:
    """Real numbers as float32; NaN, infinities and numbers beyond float32 raise `DataError`.

    `first_row` is the file's row of the first of `values`.
    """
    if len(values) > BLOCK_ROWS or not np.isfinite(values).all():
        check_finite(path, key, values, first_row=first_row)
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(values, np.float32)
    if values.dtype.itemsize > 4 and not np.isfinite(converted).all():
        at = _first(~np.isfinite(converted))
        found = f"{values[at]:g} in {_position(at, first_row)}"
        refuse(path, key, expected="numbers that fit into float32", found=found)
    return converted


def check_finite(path: Path, key: str, values: np.ndarray, *, first_row: int = 0) -> None:
    """Check that numbers are neither NaN nor infinite. Raises `DataError`."""
    for start, (block,) in blocks(values):
        if not np.isfinite(block).all():
            at = _first(~np.isfinite(block))
            refuse(path, key, expected="finite numbers", found=f"{block[at]} in {_position(at, first_row + start)}")


def flag_values(path: Path, key: str, values: np.ndarray, *, first_row: int = 0) -> np.ndarray:
    """Numbers as booleans; anything but 0 and 1 raises `DataError`."""
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        at = _first(wrong)
        refuse(path, key, expected="only 0 and 1", found=f"{values[at]:g} in {_position(at, first_row)}")
    return values.astype(np.bool_)


def columns_of(key: str, task: Task) -> int | None:
    """Number of columns of the array of transitions under `key`.

    Args:
        key: Key of the array.
        task: Task of the data.

    Returns:
        Columns, or None where it holds one number a row.
    """
    return {"actions": task.action_dim, "observations": task.observation_dim}.get(key.removeprefix("next_"))


def check_shape(path: Path, key: str, shape: tuple[int, ...] | None, task: Task, *, also: int | None = None) -> None:
    """Refuse the array under `key` where its shape (None: no values) is not that of the task's transitions.

    `also`: another number of columns that observations may have. Raises `DataError`.
    """
    width, found = columns_of(key, task), "no values" if shape is None else f"shape {list(shape)}"
    if width is None and (not shape or shape[1:] not in ((), (1,))):
        refuse(path, key, expected="shape [N] or [N, 1]", found=found)
    allowed = (width, also if width == task.observation_dim else None)
    if width is not None and (shape is None or len(shape) != 2 or shape[1] not in allowed):
        refuse(path, key, expected=f"shape [N, {width}] for task {task.name}", found=found)


def check_dataset(
    path: Path, dataset: Dataset, task: Task | None, *, meter: Meter | None = None, finite: bool = False
) -> None:
    """Check that transitions can be a task's; see docs/file-formats.md.

    Args:
        path: File, for messages.
        dataset: Transitions.
        task: Task; None: a system that the table does not hold, whose widths and horizon are not known.
        meter: Counts the bytes read of observations (twice) and next observations; None: nothing does.
        finite: Whether NaN and infinities are looked for, too, which readers do as they convert.

    Raises:
        DataError: They cannot be.
    """
    _check_shapes(path, dataset, task)
    if finite:
        _check_all_finite(path, dict(dataset.arrays()))
    _check_ranges(path, dataset)
    check_episodes(path, dataset.terminated | dataset.truncated, task)
    _check_following(path, dataset, meter)
    _check_varies(path, dataset.observations, dataset.actions)


def check_episodes(path: Path, ended: np.ndarray, task: Task | None) -> None:
    """Check that an episode ends, and that none is longer than the task's horizon. Raises `DataError`."""
    ends = np.flatnonzero(ended) + 1
    _check_ends(path, ends, rows=len(ended))
    # The unfinished tail counts too: an episode does not have to end to have run for too long.
    bounds = np.unique(np.concatenate([[0], ends, [len(ended)]]))
    _check_lengths(path, bounds[:-1], np.diff(bounds), task)


def check_frames(path: Path, frames: FrameData, task: Task | None, *, whole: bool = True) -> None:
    """Check that frames can be a task's, by the checks of transitions.

    Args:
        path: File, for messages.
        frames: Frames.
        task: Task; None: not known.
        whole: Whether these are all frames of the data and not one episode of many, so that something must vary.

    Raises:
        DataError: They cannot be.
    """
    _check_shapes(path, frames, task)
    _check_all_finite(path, frames.arrays())
    _check_ranges(path, frames)
    _check_first(path, frames)
    ended = np.flatnonzero(frames.terminated | frames.truncated)
    if whole:
        _check_ends(path, ended, rows=len(frames.rewards))
    inside = ended[~np.isin(ended, frames.episode_ends - 1)]
    if len(inside):
        expected = "an episode's end before the next one's start only"
        refuse(path, "terminals and timeouts", expected=expected, found=f"one in row {inside[0]}")
    _check_lengths(path, frames.episode_starts, frames.lengths, task)
    if whole:
        _check_varies(path, frames.observations, frames.actions[transition_rows(frames)])


def check_reference(path: Path, dataset: Dataset, task: Task) -> None:
    """Check that a file without a card can be the DSRL task's and not another's. Raises `DataError`."""
    if task.dsrl_id is None:
        return
    ranges = {"costs": (dataset.cost_returns, task.cost_return_min, task.cost_return_max)}
    if dataset.rewards is not None:
        ranges = {"rewards": (dataset.returns, task.return_min, task.return_max), **ranges}
    for key, (sums, low, high) in ranges.items():
        slack = REFERENCE_SLACK * (high - low)
        wrong = (sums < low - slack) | (sums > high + slack)
        if wrong.any():
            expected = f"episode sums near {low:.4g} to {high:.4g} as in DSRL's data of {task.name}"
            found = f"{sums[wrong.argmax()]:.4g} in episode {wrong.argmax()}, so this may be another task's file"
            refuse(path, key, expected=expected, found=found + f' (a card {{"task": "{task.name}"}} says it is not)')


def _check_shapes(path: Path, data: Dataset | FrameData, task: Task | None) -> None:
    """Check rows, widths and columns, which a record built in memory may lack."""
    rows = len(data.costs)
    if not rows:
        refuse(path, "observations", expected="at least one row", found="0 rows")
    if task is None:
        return
    if data.task != task.name:
        refuse(path, "card", expected=f"data of task {task.name}", found=f"data of task {data.task!a:.80}")
    vectors = isinstance(data, Dataset) or task.image_shape is None
    seen = (task.observation_dim,) if vectors else task.image_shape or ()
    for key, array, shape in (("observations", data.observations, seen), ("actions", data.actions, (task.action_dim,))):
        if array.shape[1:] != shape:
            expected = f"shape {['N', *shape]} for task {task.name}".replace("'", "")
            refuse(path, key, expected=expected, found=f"shape {list(array.shape)}")
    if isinstance(data, FrameData) and not vectors and data.observations.dtype != np.uint8:
        refuse(path, "observations", expected="uint8", found=str(data.observations.dtype))
    if isinstance(data, Dataset) and task.has_signal and data.constraints is None:
        refuse(path, "constraints", expected=f"h of every step, as data of {task.name} have", found="none")


def _check_all_finite(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    for key, array in arrays.items():
        if array.dtype.kind == "f":
            check_finite(path, key, array)


def _check_ranges(path: Path, data: Dataset | FrameData) -> None:
    largest, at = 0.0, (0, 0)
    for start, (block,) in blocks(data.actions):
        sizes = np.abs(block)
        row, column = np.unravel_index(sizes.argmax(), sizes.shape)
        if sizes[row, column] > largest:
            largest, at = float(sizes[row, column]), (start + int(row), int(column))
    if largest > 1 + ACTION_SLACK:
        found = f"{data.actions[at]:g} in {_position(at)} (the largest); actions must be scaled to [-1, 1]"
        refuse(path, "actions", expected="numbers in [-1, 1]", found=found)
    swapped = "; rewards and costs look swapped" if rewards_look_like_costs(data) else ""
    for start, (block,) in blocks(data.costs):
        if (block < 0).any():
            at = _first(block < 0)
            found = f"{block[at]:g} in {_position(at, start)}{swapped}"
            refuse(path, "costs", expected="numbers >= 0", found=found)
    if swapped:
        found = "only 0 and 1, and fractions in costs" + swapped
        refuse(path, "rewards", expected="more than two different numbers", found=found)


def _check_ends(path: Path, ends: np.ndarray, *, rows: int) -> None:
    if not len(ends):
        found = f"none in {rows} rows"
        refuse(path, "terminals and timeouts", expected="a 1 where an episode ends", found=found)


def _check_lengths(path: Path, starts: np.ndarray, lengths: np.ndarray, task: Task | None) -> None:
    too_long = np.flatnonzero(lengths > (np.inf if task is None else task.horizon))
    if task is not None and len(too_long):
        first, steps = int(starts[too_long[0]]), int(lengths[too_long[0]])
        expected = f"an episode end within {task.horizon} steps, the horizon of {task.name}"
        found = f"{steps} steps in rows {first} to {first + steps - 1}"
        refuse(path, "terminals and timeouts", expected=expected, found=found)


def _check_first(path: Path, frames: FrameData) -> None:
    first = frames.is_first
    if not first[0]:
        refuse(path, "is_first", expected="an episode's start in row 0", found="none")
    alone = first & np.append(first[1:], True)
    if alone.any():
        found = f"one of a single frame in row {alone.argmax()}"
        refuse(path, "is_first", expected="episodes of at least two frames", found=found)


def _check_varies(path: Path, observations: np.ndarray, actions: np.ndarray) -> None:
    for key, columns in (("observations", observations), ("actions", actions)):
        first = np.array(read_rows(columns, 0, 1))
        if all((block == first).all() for _, (block,) in blocks(columns)):
            found = f"the same {first.size} numbers in every one of {len(columns)} rows"
            refuse(path, key, expected="at least one column that varies", found=found)


def _check_following(path: Path, dataset: Dataset, meter: Meter | None) -> None:
    observations, entered = dataset.observations, dataset.next_observations
    tolerance = FOLLOW_RELATIVE * _spread(observations, meter) + FOLLOW_ABSOLUTE
    followed = ~(dataset.terminated | dataset.truncated)[:-1]
    for start, (here, following, applies) in blocks(entered[:-1], observations[1:], followed, meter=meter):
        gap = np.abs(here.astype(np.float64) - following)
        wrong = (gap > tolerance) & applies[:, None]
        if wrong.any():
            offset, column = _first(wrong)
            row = start + offset
            expected = f"{following[offset, column]:g} in row {row}, column {column} (the observation of row {row + 1})"
            found = f"{here[offset, column]:g}{explain_gap(dataset, tolerance)}"
            refuse(path, "next_observations", expected=expected, found=found)


def _spread(columns: np.ndarray, meter: Meter | None) -> np.ndarray:
    """Largest less smallest number of each column; in float64, where no difference of float32 numbers overflows."""
    low, high = np.full(columns.shape[1], np.inf), np.full(columns.shape[1], -np.inf)
    for _, (block,) in blocks(columns, meter=meter):
        low, high = np.minimum(low, block.min(0)), np.maximum(high, block.max(0))
    return high - low


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(wrong.argmax(), wrong.shape))


def _position(at: tuple[int, ...], first_row: int = 0) -> str:
    return ", ".join(
        f"{name} {index}" for name, index in zip(("row", "column"), (at[0] + first_row, *at[1:]), strict=False)
    )


# --- guesses at what went wrong, such as keys or columns that were swapped: they only add words to a refusal ---

SAMPLE_ROWS = 4096
"""Rows that a guess at swapped columns looks at."""


def rewards_look_like_costs(dataset: Dataset | FrameData) -> bool:
    """Whether every reward is 0 or 1, with some of both, while costs hold fractions."""
    if dataset.rewards is None:
        return False
    seen: set[bool] = set()
    for _, (block,) in blocks(dataset.rewards):
        if ((block != 0) & (block != 1)).any():
            return False
        seen |= set(np.unique(block == 1).tolist())
    return len(seen) == 2 and any((block != np.round(block)).any() for _, (block,) in blocks(dataset.costs))


def explain_gap(dataset: Dataset, tolerance: Float[np.ndarray, " obs"]) -> str:
    """Why next observations may not be the observations that follow, as the end of a sentence; empty if unknown."""
    rows = slice(0, SAMPLE_ROWS)
    inside = ~(dataset.terminated | dataset.truncated)[rows][:-1]
    here, entered = dataset.observations[rows], dataset.next_observations[rows]
    if not inside.any():
        return ""
    # Exchanged keys: what is called next observation is left, and what is called observation entered.
    if (np.abs(here[:-1].astype(np.float64) - entered[1:])[inside] <= tolerance).all():
        return "; observations and next_observations look swapped"
    following, entered = here[1:][inside].astype(np.float64), entered[:-1][inside]
    for column in np.flatnonzero((np.abs(entered - following) > tolerance).any(0)):
        same = (np.abs(entered[:, [column]] - following) <= tolerance).all(0)
        if same.any():
            return f"; its column {column} looks like column {same.argmax()} of observations"
    return ""
