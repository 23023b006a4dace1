"""Remarks on imported data beyond those on every dataset: constraints, rates, units, leaks of the reward."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from surefoot.data.checks import float32_values
from surefoot.data.dataset import Dataset
from surefoot.data.logs.importing import SIGNALS_KEY
from surefoot.data.mapping import read_rows
from surefoot.data.storage import find, has_key, read_array, reading
from surefoot.tasks.task_file import ConstraintTable, TaskFile

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
FAR_FROM_0, SCALE_OFF = 0.9, 20.0
"""Share of a signal's mean size from 0 within which it never comes, and times by which a scale is off, from which on
another unit is suspected."""
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
    starts = np.zeros(len(checked.data), bool)
    starts[checked.data.episode_starts] = True
    yield from compare_all(checked.file.constraint, checked.constraints, starts)


def compare_all(
    tables: Sequence[ConstraintTable], values: Float[np.ndarray, "n c"], starts: Bool[np.ndarray, " n"]
) -> Iterator[str]:
    """What signals and logged costs say against each other, at most one sentence on each signal.

    A cost may be that of any signal: where a trusted one is above 0, the others are not held against it. A cost that no
    signal shows is held against the signal that is highest there, if one stands out.

    Args:
        tables: The constraints.
        values: Of each of them; signals relative to their scales, > 0 for a violation.
        starts: Where an episode begins.

    Returns:
        Sentences, as an iterator.
    """
    signals = {number: values[:, number] for number, one in enumerate(tables) if one.kind == "signal"}
    if not signals:
        return
    logged = [number for number, one in enumerate(tables) if one.kind == "cost"]
    costly = values[:, logged].sum(1) > 0 if logged else None
    if costly is None or (len(signals) == 1 and len(logged) == 1):
        for number, h in signals.items():
            yield from compare(tables[number].name, h, costly, starts) or _sizes(tables[number], h)
        return
    trusted = {n: h > 0 for n, h in signals.items() if (h > 0).any() and (~costly)[h > 0].mean() <= CONTRADICTING}
    blamed = {_blamed(signals, values[:, number] > 0, costly) for number in logged}
    for number, h in signals.items():
        others = np.zeros(len(h), bool)
        for other, violating in trusted.items():
            others |= violating & (other != number)
        found = compare(tables[number].name, h, costly, starts, others=others, shared=number not in blamed)
        yield from found or _sizes(tables[number], h)


def _blamed(signals: Mapping[int, np.ndarray], cost: np.ndarray, costly: np.ndarray) -> int | None:
    """The signal that stands out where there is a cost and no signal is above 0; None where these rows are few.
    `costly`: where there is any."""
    hidden = cost & ~np.any([h > 0 for h in signals.values()], axis=0)
    if hidden.sum() < FEWEST or costly.all():
        return None
    rows = hidden | ~costly
    chances = {number: _chance(h[rows], hidden[rows]) for number, h in signals.items()}
    best = max(chances, key=lambda number: chances[number])
    few = hidden.sum() < CONTRADICTING * (hidden.sum() + (signals[best] > 0).sum())
    return None if few or chances[best] < 1 - REVERSED_AUC else best


def compare(
    name: str,
    h: Float[np.ndarray, " n"],
    costly: Bool[np.ndarray, " n"] | None,
    starts: Bool[np.ndarray, " n"],
    *,
    others: Bool[np.ndarray, " n"] | None = None,
    shared: bool = False,
) -> list[str]:
    """What a signal and the logged costs say against each other: at most one sentence, the gravest.

    Args:
        name: Of the signal's constraint.
        h: The signal, > 0 for a violation.
        costly: Where there is a cost; None where none are logged.
        starts: Where an episode begins.
        others: Rows of which other signals tell, which are left out.
        shared: Whether costs may be those of others, so that a cost where h is at most 0 says nothing.

    Returns:
        The sentence, or none.
    """
    there = np.ones(len(h), bool) if others is None else ~others
    violating, own = h > 0, np.zeros(len(h), bool) if costly is None else costly & there
    if costly is None or own.sum() < FEWEST or (there & ~costly).sum() < FEWEST:
        if violating.mean() <= MOSTLY_VIOLATING:
            return []
        return [
            f"constraint {name} is above 0 in {violating.mean():.1%} of the rows, as where its sign is reversed: "
            f'nearly nothing would count as safe (safe = "above 0" turns it)'
        ]
    free, hidden = violating[~costly], float((~violating)[own].mean())
    reversing = free.mean() > max(0.5, 1 - hidden) and (h[~costly] < 0).mean() <= CONTRADICTING
    if reversing or (not shared and _chance(h[there], costly[there]) < REVERSED_AUC):
        return [
            f"constraint {name} looks reversed: it is above 0 in {free.mean():.1%} of the rows without a cost and in "
            f"{1 - hidden:.1%} of those with one, so that what is unsafe would be learnt as safe "
            f'(safe = "above 0" turns it)'
        ]
    apart = starts | ~there | ~np.append(False, there[:-1])  # what begins beside another signal says nothing
    by_rises = others is not None  # costs may begin with other signals, too: h's own beginnings are followed
    marks = [(violating, own)]
    if by_rises:
        marks = [(own, violating & there), (~own, ~(violating & there))]  # ends, too: a milder limit only begins later
    lag, share, now = _lag(marks, apart, starts)
    if lag:
        later = "after" if (lag > 0) != by_rises else "before"
        steps, key = f"{abs(lag)} step{'s' * (abs(lag) > 1)} {later}", '"step" or "state"'
        cases = f"in {share:.0%} of its cases costs begin" if by_rises else f"{share:.0%} of the costs begin"
        return [
            f"constraint {name} and the costs are shifted: {cases} {steps} it rises above 0, {now:.0%} with it, so "
            f"that the wrong states would be learnt as unsafe (at = {key} says which row a value belongs to)"
        ]
    wrong = float((~costly)[violating].mean()) if violating.any() else 0.0
    if wrong <= CONTRADICTING and (shared or hidden <= CONTRADICTING):
        return []
    return [
        f"constraint {name} contradicts the costs: it is at most 0 in {hidden:.1%} of {int(own.sum()):,} rows "
        f"with a cost, and {wrong:.1%} of the {int(violating.sum()):,} rows where it is above 0 have none"
    ]


def _sizes(table: ConstraintTable, h: np.ndarray) -> Iterator[str]:
    """A signal that never comes near 0, and a scale that is far from the signal's size, as in other units."""
    size = float(np.abs(h).mean())
    if h.max() < -FAR_FROM_0 * size:
        yield (
            f"constraint {table.name} never comes near 0: it is {h.max() / size:.3g} of its usual size at most, as "
            f"where the column and the limit have different units"
        )
    elif size and not 1 / SCALE_OFF < size < SCALE_OFF:
        yield (
            f"constraint {table.name} is {size:.3g} times its scale on average, as where the two have different units; "
            f'what counts as near a violation follows from the scale (scale = "from data" takes the mean size)'
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


def _lag(
    marks: Sequence[tuple[np.ndarray, np.ndarray]], apart: np.ndarray, starts: np.ndarray
) -> tuple[int, float, float]:
    """Steps by which the second of each pair of marks begins after the first, where that holds for many beginnings and
    not for a shift of 0; the share for which it holds, and that without a shift. 0 where there is none. `apart`: rows
    in which nothing begins."""
    episode = np.cumsum(starts)
    pairs = [(_beginnings(one, starts), np.flatnonzero(_beginnings(other, apart))) for one, other in marks]
    if min(len(begins) for _, begins in pairs) < FEWEST:
        return 0, 0.0, 0.0
    shares = {}
    for lag in range(-MOST_LAG, MOST_LAG + 1):
        agreeing = []
        for rises, begins in pairs:
            there = begins - lag
            inside = (there >= 0) & (there < len(rises))
            agrees = inside.copy()
            agrees[inside] = rises[there[inside]] & (episode[there[inside]] == episode[begins[inside]])
            agreeing.append(agrees)
        shares[lag] = float(np.concatenate(agreeing).mean())
    best = max(shares, key=lambda lag: shares[lag])
    if best and shares[best] >= LAGGING and shares[0] <= LAGGING * shares[best]:
        return best, shares[best], shares[0]
    return 0, 0.0, shares[0]


def _beginnings(flags: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Where a flag becomes true, except in the rows `apart`."""
    return flags & ~apart & ~np.append(False, flags[:-1])


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
