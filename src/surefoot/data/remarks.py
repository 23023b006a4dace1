"""Remarks on logged data that are suspicious but plausible enough to learn from: sentences with numbers.

Nothing is printed here and nothing is refused: the command line prints the sentences as warnings, or makes them errors.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool

from surefoot.data.checks import REFERENCE_SLACK
from surefoot.data.dataset import Dataset
from surefoot.data.frames import FrameData
from surefoot.data.jumps import observation_jumps
from surefoot.data.mapping import read_rows
from surefoot.tasks import Task
from surefoot.tasks.task_file import FROM_DATA

Data = Dataset | FrameData

FEW_EPISODES = 20
"""Number of episodes below which a selection is called small."""
AT_LIMIT_SHARE, AT_LIMIT_LEAST = 0.9, 3
"""Share and number of episodes of one length that terminate from which on this looks like a time limit."""
COMMON_LENGTH_LEAST = 5
"""Number of episodes from which on a length that all have is called common where it is not the horizon."""
SPIKE = 1e4
"""Multiple of the usual size from which on a number is called out of scale."""
RARE_COSTS, COMMON_COSTS = 1e-4, 0.99
"""Share of steps with a cost below which costs are called rare, and above which they are called everywhere."""
WIDE_SLACK = 1.0
"""Share of a reference range that is not of published data by which returns and costs may leave it."""
COLUMN_ROWS = 1_000_000
"""Rows whose columns are compared."""
_QUANTILE_ROWS = 100_000
_NAMED = 6
"""Columns that a sentence lists."""


def remarks(data: Data, task: Task, *, place: str = "") -> list[str]:
    """Remarks on data.

    Args:
        data: Transitions or frames.
        task: Task of the data.
        place: File, which begins each sentence; empty for none.

    Returns:
        A sentence for each suspicion.
    """
    found = [*_jumps(data), *_ends(data, task), *_columns(data, task), *_rewards(data), *_costs(data, task)]
    found += [*_against_h(data), *_references(data, task)]
    return [f"{place}: {sentence}" if place else sentence for sentence in found]


def few_episodes(kept: int, total: int, *, what: str) -> list[str]:
    """Remark on a filter or share that leaves few episodes.

    Args:
        kept: Episodes that are left.
        total: Episodes in all.
        what: Filter or share, in words.

    Returns:
        One sentence, or none.
    """
    if kept >= min(FEW_EPISODES, total):
        return []
    return [f"{what} leaves {kept:,} of {total:,} episodes, which is little to learn from"]


def limit_terminals(data: Data, task: Task) -> int | None:
    """Length of the episodes whose terminations look like a time limit.

    An environment's wrapper reports `done` at its time limit. Stored as a termination it says that nothing follows,
    where the episode was only cut.

    Args:
        data: Transitions or frames.
        task: Task of the data, whose horizon is the usual limit.

    Returns:
        Steps of these episodes, or None where terminations do not look so.
    """
    ends = data.episode_ends
    lengths, terminated = data.lengths, data.terminated[ends - 1]
    count = int(terminated.sum())
    whole = lengths >= task.horizon
    if whole.sum() >= AT_LIMIT_LEAST and terminated[whole].mean() >= AT_LIMIT_SHARE:
        return task.horizon
    if count < COMMON_LENGTH_LEAST:
        return None
    ((length, common),) = Counter(lengths[terminated].tolist()).most_common(1)
    return int(length) if length > 1 and common >= AT_LIMIT_SHARE * count else None


# --- what is looked at -----------------------------------------------------------------------------------------------


def _jumps(data: Data) -> Iterator[str]:
    found = observation_jumps(data)
    if len(found.rows):
        row = int(found.rows[0])
        times = f"{len(found.rows):,} times, first" if len(found.rows) > 1 else "once,"
        yield (
            f"observations jump inside an episode {times} from row {row} to row {row + 1} "
            f"({found.lengths[0]:.3g} usual steps), where an episode's end may not be marked"
        )


def _ends(data: Data, task: Task) -> Iterator[str]:
    length = limit_terminals(data, task)
    if length is not None:
        there = data.lengths == length
        terminated = int((data.terminated[data.episode_ends - 1] & there).sum())
        limit = f"the horizon of {task.name}" if length == task.horizon else "one length for all"
        yield (
            f"terminals: {terminated:,} of {int(there.sum()):,} episodes of {length} steps, {limit}, terminate, "
            f"as if their time limit (a wrapper's done) were stored as one; such ends belong into timeouts"
        )
    if isinstance(data, FrameData):
        unmarked = int((~(data.terminated | data.truncated)[data.episode_ends[:-1] - 1]).sum())
        if unmarked:
            yield f"{unmarked:,} of {len(data.lengths):,} episodes have no end mark and count as cut"
        first = data.episode_starts
        earning = int(((data.rewards[first] != 0) | (data.costs[first] != 0)).sum())
        if earning:
            yield (
                f"rewards or costs of {earning:,} of {len(first):,} first frames are not 0, though those of a frame "
                f"are received on arriving at it, which no step does at an episode's first"
            )


def _columns(data: Data, task: Task) -> Iterator[str]:
    facts = ((data.observations, task.still_columns, task.equal_columns), (data.actions, (), ()))
    for key, (columns, may_be_still, may_be_equal) in zip(("observations", "actions"), facts, strict=True):
        if columns.ndim != 2 or len(columns) < 2:
            continue
        rows = read_rows(columns, 0, min(len(columns), COLUMN_ROWS))
        named = _names(task, key, rows.shape[1])
        still = np.flatnonzero((rows == rows[0]).all(0))
        odd = [] if may_be_still is None else [column for column in still.tolist() if column not in may_be_still]
        if odd:
            held = _listed([named[column] for column in odd])
            yield f"{key}: {held} the same number in every one of {len(rows):,} rows"
        pairs = [] if may_be_equal is None else [pair for pair in _duplicates(rows, still) if pair not in may_be_equal]
        if pairs:
            equal = ", ".join(f"{named[one]} and {named[other]}" for one, other in pairs[:_NAMED])
            yield f"{key}: columns {equal} hold the same numbers in every one of {len(rows):,} rows"
        if key == "observations":
            yield from _wild_columns(rows, named)


def _rewards(data: Data) -> Iterator[str]:
    costs = _whole(data.costs)
    if data.rewards is None:  # which is said where something needs them
        yield from _spikes("costs", costs)
        return
    rewards = _whole(data.rewards)
    if (rewards == rewards[0]).all():
        yield f"rewards: {rewards[0]:g} in every one of {len(rewards):,} rows, so that no return is better"
    elif np.array_equal(rewards, costs):
        yield (
            f"rewards and costs hold the same numbers in every one of {len(rewards):,} rows, as if one of them were "
            f"stored under both names"
        )
    yield from _spikes("rewards", rewards)
    yield from _spikes("costs", costs)


def _spikes(key: str, values: np.ndarray) -> Iterator[str]:
    sizes = np.abs(values)
    usual = float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 0.0
    if usual and sizes.max() > SPIKE * usual:
        row = int(sizes.argmax())
        times = sizes[row] / usual
        yield f"{key}: {values[row]:g} in row {row} is {times:,.0f} times the usual size of {usual:.3g}"


def _costs(data: Data, task: Task) -> Iterator[str]:
    costs = _whole(data.costs)
    # An episode's first frame is entered by no step.
    costly, steps = int(((costs if isinstance(data, Dataset) else costs[~data.is_first]) > 0).sum()), len(data)
    if costly < RARE_COSTS * steps or not costly:
        yield f"costs: {costly:,} of {steps:,} steps have a cost, too few to learn from what is unsafe"
    elif task.budget is None and costly > COMMON_COSTS * steps:
        yield f"costs: {costly:,} of {steps:,} steps have a cost, so that nothing in the data is safe"


def _against_h(data: Data) -> Iterator[str]:
    h = data.constraints if isinstance(data, Dataset) else None
    if h is None:
        return
    costly, h = _whole(data.costs) > 0, _whole(h)
    free, hidden = int((costly & (h <= 0)).sum()), int((~costly & (h > 0)).sum())
    if free or hidden:
        yield (
            f"costs contradict h: h <= 0 in {free:,} of {int(costly.sum()):,} rows with a cost, and h > 0 in "
            f"{hidden:,} of {int((~costly).sum()):,} rows without one"
        )


def _references(data: Data, task: Task) -> Iterator[str]:
    slack = REFERENCE_SLACK if task.dsrl_id is not None else WIDE_SLACK
    ranges = {"costs of episodes": (data.cost_returns, task.cost_return_min, task.cost_return_max)}
    waits = task.file is not None and task.file.task.reference_returns == FROM_DATA
    if data.rewards is not None and not waits:
        ranges = {"returns": (data.returns, task.return_min, task.return_max), **ranges}
    for key, (sums, low, high) in ranges.items():
        if not len(sums) or high <= low:
            continue
        least, most = low - slack * (high - low), high + slack * (high - low)
        wrong: Bool[np.ndarray, " E"] = (sums < least) | (sums > most)
        if wrong.any():
            far = sums[np.abs(sums - (low + high) / 2).argmax()]
            yield (
                f"{key}: those of {int(wrong.sum()):,} of {len(sums):,} episodes lie far outside of {task.name}'s "
                f"reference range of {low:.4g} to {high:.4g}, the farthest is {far:.4g}"
            )


def _whole(values: np.ndarray) -> np.ndarray:
    """Array of one number a row, in memory."""
    return read_rows(values, 0, len(values))


# --- columns ---------------------------------------------------------------------------------------------------------


def _duplicates(rows: np.ndarray, still: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of columns that are equal in every row; constant columns are left out."""
    moving = np.setdiff1d(np.arange(rows.shape[1]), still)
    # Equal columns have equal numbers in a few rows: all rows of those alone are compared.
    few = rows[:: max(1, len(rows) // 64)]
    seen: dict[bytes, int] = {}
    found = []
    for column in moving.tolist():
        first = seen.setdefault(few[:, column].tobytes(), column)
        if first != column and np.array_equal(rows[:, first], rows[:, column]):
            found.append((first, column))
    return found


def _wild_columns(rows: np.ndarray, named: Sequence[str]) -> Iterator[str]:
    sizes = np.abs(rows).max(0)
    usual = np.quantile(np.abs(rows[:: max(1, len(rows) // _QUANTILE_ROWS)]), 0.9, axis=0)
    wild = np.flatnonzero((usual > 0) & (sizes > SPIKE * usual))
    if len(wild):
        column = int(wild[0])
        row = int(np.abs(rows[:, column]).argmax())
        times = sizes[column] / usual[column]
        yield (
            f"observations: {rows[row, column]:g} in row {row}, column {named[column]} is {times:,.0f} times the usual "
            f"size of {usual[column]:.3g}"
        )


def _names(task: Task, key: str, count: int) -> Sequence[str]:
    """Names of the columns: by the task's file, else their numbers."""
    file = task.file
    named = () if file is None else (file.observation if key == "observations" else file.action).columns
    return named if len(named) == count else [str(column) for column in range(count)]


def _listed(columns: list[str]) -> str:
    more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
    named = ", ".join(columns[:_NAMED])
    return f"column {named} holds" if len(columns) == 1 else f"columns {named}{more} hold"
