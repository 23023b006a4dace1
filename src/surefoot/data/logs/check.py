"""Remarks on imported data beyond those on every dataset: constraints, rates, units, leaks of the reward."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from surefoot.data.checks import float32_values
from surefoot.data.dataset import Dataset
from surefoot.data.logs.importing import SIGNALS_KEY
from surefoot.data.mapping import read_rows
from surefoot.data.storage import find, has_key, read_array, reading
from surefoot.tasks.task_file import TaskFile

MOST_LAG = 5
"""Largest number of steps by which constraint and costs are shifted against each other."""
FEWEST = 5
"""Rows with a cost, and beginnings of one, from which on they are compared."""
REVERSED_AUC = 0.3
"""Chance that h is larger in a row with a cost than in one without, below which its sign counts as reversed."""
MOSTLY_VIOLATING = 0.75
"""Share of rows above 0 from which on a signal without costs to compare it with looks reversed."""
CONTRADICTING = 0.05
"""Share of rows that contradict each other from which on there is a remark."""
LAGGING = 0.5
"""Share of the beginnings of costs that agree with a shifted h from which on there is a remark."""
_COMPARED_ROWS = 200_000
_SCALE_FACTOR, _CALM_FACTOR, _SCALE_EPISODES = 30.0, 3.0, 3
_RATE_SLACK = 1e-3


@dataclass(frozen=True)
class Checked:
    """Imported data with each of their constraints."""

    data: Dataset
    file: TaskFile
    constraints: Float[np.ndarray, "n c"]
    """Value of each constraint."""


def read_checked(path: Path, data: Dataset, file: TaskFile) -> Checked:
    """Imported data with each of their constraints.

    Args:
        path: Data file.
        data: Transitions of the file.
        file: Task file.

    Returns:
        The data.

    Raises:
        DataError: The file lacks the constraints.
    """
    with reading(path) as hdf5:
        if has_key(path, hdf5, SIGNALS_KEY):
            node = find(path, hdf5, SIGNALS_KEY)
            values = read_array(path, SIGNALS_KEY, node, float32_values, columns=len(file.constraint))  # pyright: ignore[reportArgumentType]
        else:
            only = data.costs if data.constraints is None else data.constraints
            values = read_rows(only, 0, len(only))[:, None]
    return Checked(data, file, values)


def log_remarks(checked: Checked) -> list[str]:
    """Remarks on imported data, a sentence each."""
    return [*_constraints(checked), *_rates(checked), *_scales(checked), *_leaks(checked)]


def coverage_lines(checked: Checked) -> list[tuple[str, str]]:
    """Names and numbers of the data's coverage: safe episodes, states near a violation, use of the actions' range."""
    data, lines = checked.data, []
    safe = data.violating_steps == 0
    lines.append(("episodes without a violation", f"{int(safe.sum()):,} of {len(safe):,}"))
    for number, one in enumerate(checked.file.constraint):
        values = checked.constraints[:, number]
        if one.kind == "signal":
            near = float(((values <= 0) & (values > -0.1)).mean())
            lines.append((f"{one.name}: states in violation", f"{float((values > 0).mean()):.2%}"))
            lines.append((f"{one.name}: states within a tenth of its scale", f"{near:.2%}"))
        else:
            lines.append((f"{one.name}: steps with a cost", f"{float((values > 0).mean()):.2%}"))
    low, high = data.actions.min(0), data.actions.max(0)
    for number, name in enumerate(checked.file.action.columns):
        lines.append((f"{name}: share of its range that is used", f"{float(high[number] - low[number]) / 2:.0%}"))
    return lines


# --- constraints against costs ---------------------------------------------------------------------------------------


def _constraints(checked: Checked) -> Iterator[str]:
    kinds = [one.kind for one in checked.file.constraint]
    logged = [number for number, kind in enumerate(kinds) if kind == "cost"]
    costly = checked.constraints[:, logged].sum(1) > 0 if logged else None
    starts = np.zeros(len(checked.data), bool)
    starts[checked.data.episode_starts] = True
    for number, one in enumerate(checked.file.constraint):
        if one.kind == "signal":
            yield from compare(one.name, checked.constraints[:, number], costly, starts)


def compare(
    name: str, h: Float[np.ndarray, " n"], costly: Bool[np.ndarray, " n"] | None, starts: Bool[np.ndarray, " n"]
) -> Iterator[str]:
    """Remark on a signal that contradicts the logged costs: at most one sentence, the gravest.

    Args:
        name: Name of the constraint.
        h: Signal of each row [n].
        costly: Whether each row has a cost [n]; None: no costs are logged.
        starts: Whether an episode begins with each row [n].

    Yields:
        A sentence.
    """
    violating = h > 0
    if costly is None or costly.sum() < FEWEST or (~costly).sum() < FEWEST:
        if violating.mean() > MOSTLY_VIOLATING:
            yield (
                f"constraint {name} is above 0 in {violating.mean():.1%} of the rows, as where its sign is reversed: "
                f'nearly nothing would count as safe (safe = "above 0" turns it)'
            )
        return
    free, hidden = float(violating[~costly].mean()), float((~violating)[costly].mean())
    if _chance(h, costly) < REVERSED_AUC:
        yield (
            f"constraint {name} looks reversed: it is above 0 in {free:.1%} of the rows without a cost and in "
            f"{1 - hidden:.1%} of those with one, so that what is unsafe would be learnt as safe "
            f'(safe = "above 0" turns it)'
        )
        return
    lag, share, now = _lag(violating, costly, starts)
    if lag:
        later = "after" if lag > 0 else "before"
        key = '"step" or "state"'
        yield (
            f"constraint {name} and the costs are shifted: {share:.0%} of the costs begin {abs(lag)} "
            f"step{'s' * (abs(lag) > 1)} {later} it rises above 0, {now:.0%} with it, so that the wrong states would "
            f"be learnt as unsafe (at = {key} says which row a value belongs to)"
        )
        return
    wrong = float((~costly)[violating].mean()) if violating.any() else 0.0
    if hidden > CONTRADICTING or wrong > CONTRADICTING:
        yield (
            f"constraint {name} contradicts the costs: it is at most 0 in {hidden:.1%} of {int(costly.sum()):,} rows "
            f"with a cost, and {wrong:.1%} of the {int(violating.sum()):,} rows where it is above 0 have none"
        )


def _chance(h: np.ndarray, costly: np.ndarray) -> float:
    """Probability that h is larger in a row with a cost than in one without; ties count half."""
    step = max(1, len(h) // _COMPARED_ROWS)
    values, marks = h[::step], costly[::step]
    if marks.sum() < FEWEST:  # rare costs: all of them against a part of the rest
        values, marks = (
            np.concatenate([h[costly], values[~marks]]),
            np.append(np.ones(costly.sum(), bool), marks[~marks]),
        )
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    many, few = float((~marks).sum()), float(marks.sum())
    return float((ranks[marks].sum() - few * (few + 1) / 2) / (few * many))


def _lag(violating: np.ndarray, costly: np.ndarray, starts: np.ndarray) -> tuple[int, float, float]:
    """Steps by which costs begin after h rises above 0, where that holds for many of them and not for a shift of 0; the
    share for which it holds, and that without a shift. 0 where there is none."""
    episode = np.cumsum(starts)
    rises, begins = _beginnings(violating, starts), np.flatnonzero(_beginnings(costly, starts))
    if len(begins) < FEWEST:
        return 0, 0.0, 0.0
    shares = {}
    for lag in range(-MOST_LAG, MOST_LAG + 1):
        there = begins - lag
        inside = (there >= 0) & (there < len(rises))
        agrees = inside.copy()
        agrees[inside] = rises[there[inside]] & (episode[there[inside]] == episode[begins[inside]])
        shares[lag] = float(agrees.mean())
    best = max(shares, key=lambda lag: shares[lag])
    if best and shares[best] >= LAGGING and shares[0] <= LAGGING * shares[best]:
        return best, shares[best], shares[0]
    return 0, 0.0, shares[0]


def _beginnings(flags: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Whether a flag becomes true within an episode."""
    return flags & ~starts & ~np.append(False, flags[:-1])


# --- other -----------------------------------------------------------------------------------------------------------


def _rates(checked: Checked) -> Iterator[str]:
    """Remarks on actions that change faster than the task file allows."""
    table, actions = checked.file.action, checked.data.actions
    if not table.rate_limit or len(actions) < 2:
        return
    low, high = (np.array(bounds) for bounds in table.bounds)
    inside = np.ones(len(actions) - 1, bool)
    inside[checked.data.episode_starts[1:] - 1] = False
    changes = np.abs(np.diff(read_rows(actions, 0, len(actions)), axis=0))[inside] * (high - low) / 2
    for number, limit in enumerate(table.rate_limit):
        over = changes[:, number] > limit * (1 + _RATE_SLACK) + 1e-6 * (high - low)[number]
        if over.any():
            yield (
                f"action {table.columns[number]} changes by more than its rate_limit of {limit:g} in {over.mean():.2%} "
                f"of the steps, by {changes[:, number].max():.4g} at most; a policy that is held to it cannot do what "
                f"was logged"
            )


def _scales(checked: Checked) -> Iterator[str]:
    """Remarks on columns whose numbers are many times larger in some episodes than in others."""
    starts, lengths = checked.data.episode_starts, checked.data.lengths
    if len(starts) < 2 * _SCALE_EPISODES:
        return
    for number, name in enumerate(checked.file.observation.columns):
        column = checked.data.observations[:, number].astype(np.float64)
        sizes = np.sqrt(np.add.reduceat(column**2, starts) / np.maximum(lengths, 1))
        usual = float(np.median(sizes))
        if usual <= 0:
            continue
        relative = np.maximum(sizes, 1e-12) / usual
        far = (relative > _SCALE_FACTOR) | (relative < 1 / _SCALE_FACTOR)
        calm = (relative < _CALM_FACTOR) & (relative > 1 / _CALM_FACTOR)
        if far.sum() >= _SCALE_EPISODES and (far | calm).all():
            factor = float(np.median(relative[far]))
            yield (
                f"column {name} is {max(factor, 1 / factor):.3g} times {'larger' if factor > 1 else 'smaller'} in "
                f"{int(far.sum()):,} of {len(far):,} episodes than in the others, as where they have another unit"
            )


def _leaks(checked: Checked) -> Iterator[str]:
    """Columns of the observation that hold what the step is yet to bring."""
    data = checked.data
    for name in checked.file.action.columns:
        if name in checked.file.observation.columns:
            yield f"column {name} is action and observation of the same step, so that what is to be chosen is told"
    rewards = None if data.rewards is None else read_rows(data.rewards, 0, len(data))
    for number, name in enumerate(checked.file.observation.columns):
        column = data.observations[:, number]
        if rewards is not None and np.ptp(rewards) > 0 and np.allclose(column, rewards, rtol=1e-5, atol=0):
            yield f"column {name} of the observation is the reward of the same step, which is not known when it acts"
