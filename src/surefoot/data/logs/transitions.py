"""Conversion of the rows of whole episodes to transitions: observations, scaled actions, h and costs.

A row holds the observation before a step, the action, and its results. Where a row holds no next observation, it is
that of the row below, so that an episode of T + 1 rows has T transitions: its last row only marks the end. That row
counts as a step of its own, into a state like its own, where something would be lost otherwise: where the episode
terminated in it, or where it has a cost.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from surefoot.data.checks import ACTION_SLACK
from surefoot.data.logs.columns import Columns
from surefoot.data.logs.episodes import Rows, check_length
from surefoot.data.logs.table import refuse_at


class Steps(NamedTuple):
    """Transitions of whole episodes in float64, before division by scales."""

    observations: Float[np.ndarray, "n obs"]
    actions: Float[np.ndarray, "n act"]
    rewards: Float[np.ndarray, " n"] | None
    next_observations: Float[np.ndarray, "n obs"]
    terminated: Bool[np.ndarray, " n"]
    truncated: Bool[np.ndarray, " n"]
    constraints: Float[np.ndarray, "n c"]
    """Value of each constraint in the state that a step enters, or of the step: signals with > 0 for a violation,
    costs."""
    dropped: int
    """Episodes left out because numbers are missing."""
    single: int
    """Episodes of one row, which hold no step."""
    repeated: int
    """Last rows that count as steps."""


def steps_of(rows: Rows, columns: Columns) -> Steps:
    """Transitions of whole episodes.

    Args:
        rows: Rows of whole episodes.
        columns: Columns and expressions of the task file.

    Returns:
        The transitions.

    Raises:
        DataError: A number is missing or out of bounds; the sentence names file, row, column, expected and found.
    """
    check_length(rows, columns)
    rows, dropped = _without_missing(rows, columns)
    if not len(rows):
        return _nothing(columns, dropped)
    terminal = _terminal(rows, columns)
    kept = rows.last & _counts_as_step(rows, columns, terminal)
    entered = _with_entered(rows, columns, kept)
    _check_steps(entered, columns)
    final = entered.last
    before, after = np.flatnonzero(~final), np.flatnonzero(~final) + 1
    observed = np.stack([entered.columns[name] for name in columns.file.observation.columns], 1)
    last = final[after]
    episode = np.cumsum(entered.starts) - 1
    ended = terminal[rows.last][episode[before]]
    repeated = 0 if columns.next_columns else int(kept.sum())
    single = int((rows.starts & rows.last & ~kept).sum())
    return Steps(
        observations=observed[before],
        actions=_actions(entered, columns, before),
        rewards=_rewards(entered, columns, before, after),
        next_observations=_following(entered, columns, before, observed[after]),
        terminated=last & ended,
        truncated=last & ~ended,
        constraints=_constraints(entered, columns, before, after),
        dropped=dropped,
        single=single,
        repeated=repeated,
    )


# --- rows ------------------------------------------------------------------------------------------------------------


def _without_missing(rows: Rows, columns: Columns) -> tuple[Rows, int]:
    """The rows of episodes without missing numbers, and how many episodes were left out; or a refusal."""
    missing = np.zeros(len(rows), bool)
    may_lack = set() if columns.next_columns else set(columns.step_columns)
    for name in columns.numeric:
        bad = ~np.isfinite(rows.columns[name])
        if name in may_lack:
            bad &= ~rows.last  # the last row is only where the episode ended
        if bad.any() and (columns.file.episodes.missing == "refuse" or np.isinf(rows.columns[name][bad]).any()):
            row = int(bad.argmax())
            found = "none" if np.isnan(rows.columns[name][row]) else str(rows.columns[name][row])
            hint = ' (missing = "drop episode" leaves its episode out)' if found == "none" else ""
            refuse_at(rows.place(row), name, expected="a number", found=found + hint)
        missing |= bad
    if not missing.any():
        return rows, 0
    episode = np.cumsum(rows.starts) - 1
    bad_episodes = np.unique(episode[missing])
    return rows.take(~np.isin(episode, bad_episodes)), len(bad_episodes)


def _terminal(rows: Rows, columns: Columns) -> np.ndarray:
    """Whether an episode that ends in a row terminated there."""
    name = columns.file.episodes.terminated
    return rows.columns[name] == 1 if name else np.zeros(len(rows), bool)


def _counts_as_step(rows: Rows, columns: Columns, terminal: np.ndarray) -> np.ndarray:
    """Whether a last row is a step of its own."""
    if columns.next_columns:
        return np.ones(len(rows), bool)
    whole = np.ones(len(rows), bool)
    for name in columns.step_columns:
        whole &= np.isfinite(rows.columns[name])
    costly = np.zeros(len(rows), bool)
    for one, expression in zip(columns.file.constraint, columns.constraints, strict=True):
        if one.kind == "cost" and not one.of_state:
            with np.errstate(invalid="ignore"):
                costly |= expression.evaluate(rows.columns, rows.starts) > 0
    return whole & (terminal | costly)


def _with_entered(rows: Rows, columns: Columns, kept: np.ndarray) -> Rows:
    """The rows, and behind each episode whose last row is a step the state that it enters: the logged one, or its own
    again."""
    order = np.repeat(np.arange(len(rows)), 1 + kept)
    added = np.append(False, order[1:] == order[:-1])
    entered = rows.take(order)
    starts = entered.starts & ~added
    values = dict(entered.columns)
    for name, following in zip(columns.file.observation.columns, columns.next_columns, strict=False):
        values[name] = np.where(added, entered.columns[following], entered.columns[name])
    return replace(entered, columns=values, starts=starts)


def _check_steps(entered: Rows, columns: Columns) -> None:
    """Refuse an episode of more steps than the horizon, where its last row counts as one."""
    starts = np.flatnonzero(entered.starts)
    steps = np.diff(np.append(starts, len(entered))) - 1
    horizon = columns.file.task.horizon
    if (steps > horizon).any():
        first = int(starts[(steps > horizon).argmax()])
        expected = f"an episode's end within {horizon} steps, the horizon of {columns.file.task.name}"
        found = f"{steps.max()} steps from {entered.counted} {entered.numbers[first]} on"
        refuse_at(entered.place(first + horizon), "", expected=expected, found=found)


# --- values ----------------------------------------------------------------------------------------------------------


def _actions(entered: Rows, columns: Columns, before: np.ndarray) -> np.ndarray:
    """Actions in [-1, 1]. Refuses one outside of the task file's bounds."""
    table = columns.file.action
    chosen = np.stack([entered.columns[name] for name in table.columns], 1)[before]
    low, high = (np.array(bounds) for bounds in table.bounds)
    actions = 2 * (chosen - low) / (high - low) - 1
    wrong = np.abs(actions) > 1 + ACTION_SLACK
    if wrong.any():
        step, column = np.unravel_index(wrong.argmax(), wrong.shape)
        bounds = f"a number in [{low[column]:g}, {high[column]:g}], the bounds in [action]"
        place = entered.place(int(before[step]))
        refuse_at(place, table.columns[column], expected=bounds, found=f"{chosen[step, column]:g}")
    return np.clip(actions, -1, 1)


def _following(entered: Rows, columns: Columns, before: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The observation after each step: the logged one, or that of the row below."""
    if not columns.next_columns:
        return observed
    return np.stack([entered.columns[name] for name in columns.next_columns], 1)[before]


def _rewards(entered: Rows, columns: Columns, before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    if columns.reward is None or columns.file.reward is None:
        return None
    rows = after if columns.file.reward.at == "state" else before
    return _finite(columns.reward.evaluate(entered.columns, entered.starts), entered, rows, "reward")


def _constraints(entered: Rows, columns: Columns, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    found = []
    for one, expression in zip(columns.file.constraint, columns.constraints, strict=True):
        rows = after if one.of_state else before
        name = f"constraint {one.name}"
        values = _finite(expression.evaluate(entered.columns, entered.starts), entered, rows, name)
        if one.kind == "cost" and (values < 0).any():
            row = int((values < 0).argmax())
            found_text = f"{values[row]:g}"
            refuse_at(entered.place(int(rows[row])), name, expected="a cost of at least 0", found=found_text)
        found.append(-values if one.kind == "signal" and one.safe == "above 0" else values)
    return np.stack(found, 1)


def _finite(values: np.ndarray, entered: Rows, rows: np.ndarray, name: str) -> np.ndarray:
    values = values[rows]
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values)).argmax())
        refuse_at(entered.place(int(rows[row])), name, expected="a finite value", found=str(values[row]))
    return values


def _nothing(columns: Columns, dropped: int) -> Steps:
    observed = np.zeros((0, len(columns.file.observation.columns)))
    actions, none = np.zeros((0, len(columns.file.action.columns))), np.zeros(0)
    flags, values = np.zeros(0, bool), np.zeros((0, len(columns.file.constraint)))
    rewards = None if columns.reward is None else none
    return Steps(observed, actions, rewards, observed, flags, flags, values, dropped, 0, 0)
