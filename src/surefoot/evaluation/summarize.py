"""One summarizer for the rows of every evaluation: figures of groups of rows, as JSON values.

A figure is a statistic of a quantity, and its key names both: "return_mean", "exceeded_interval". Means and shares are
over all episodes of a group; "..._per_seed" holds them for each seed. Intervals are of 95 %: Wilson's for shares, a
bootstrap over the episodes of each seed for means, which is None where a seed has one episode.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from surefoot.errors import DataError
from surefoot.evaluation.metrics import conditional_value_at_risk, interquartile_mean, mean_interval, wilson_interval

Row = Mapping[str, Any]
Figures = dict[str, Any]
TOLERATED = 1.1
"""Share of the budget up to which an episode counts as nearly within it."""
METHOD = ("task", "algorithm", "data", "extraction", "protocol", "setting")
"""Columns that identify a method; rows of two methods are never pooled."""
SHARES: Mapping[str, Callable[[Row], bool]] = {
    "violation_free": lambda row: row["violating_steps"] == 0,
    "goal": lambda row: bool(row["reached_goal"]),
    "zero_cost": lambda row: row["cost"] == 0,
    "episode_safe": lambda row: row["normalised_cost"] <= 1,
    "exceeded": lambda row: bool(row["exceeded"]),
    "nearly_within": lambda row: row["cost"] <= TOLERATED * row["budget"],
}
"""Quantities that are true or false of an episode; all others are columns."""
_EPISODE = ("seed", "episode", "return", "cost", "length")
NUMBERS: Mapping[str, tuple[str, ...]] = {
    "start": (*_EPISODE, "violating_steps"),
    "limit": (*_EPISODE, "limit", "normalised_return", "normalised_cost"),
    "asked": (*_EPISODE, "discounted_cost"),
}
"""Grouping column -> columns that each row has as numbers."""
_START = {
    "violation_free": "rate", "return": "mean iqm", "violating_steps": "mean", "goal": "rate", "length": "mean",
    "cost": "mean cvar",
}  # fmt: skip
_ONCE = {
    "return": "mean", "normalised_return": "mean interval iqm iqm_interval per_seed", "cost": "mean cvar",
    "length": "mean", "zero_cost": "rate interval",
}  # fmt: skip
_LIMIT = {
    "normalised_cost": "mean interval iqm iqm_interval per_seed", "episode_safe": "rate interval rate_per_seed",
}  # fmt: skip
_BUDGET = {
    "return": "mean interval per_seed", "cost": "mean interval per_seed", "discounted_cost": "mean", "length": "mean",
    "step_seconds": "median",
}  # fmt: skip
_LIMITED = {
    "normalised_cost": "mean interval per_seed", "exceeded": "rate interval per_seed", "nearly_within": "rate interval",
}  # fmt: skip
_WANTED: Mapping[str, Mapping[str, str]] = {"start": _START, "limit": _LIMIT, "asked": _BUDGET}


class _Sample(NamedTuple):
    """A quantity of a group's episodes, in the order of the rows, and seed after seed."""

    values: list[float]
    by_seed: list[list[float]]

    def per_seed(self) -> list[float]:
        return [float(np.mean(part)) for part in self.by_seed]

    def mean(self) -> float:
        return float(np.mean(self.values))


_OF_NUMBERS: Mapping[str, Callable[[_Sample], Any]] = {
    "mean": _Sample.mean,
    "median": lambda sample: float(np.median(sample.values)),
    "interval": lambda sample: mean_interval(sample.by_seed),
    "iqm": lambda sample: interquartile_mean(sample.values),
    "iqm_interval": lambda sample: mean_interval(sample.by_seed, interquartile_mean),
    "cvar": lambda sample: conditional_value_at_risk(sample.values),
    "per_seed": _Sample.per_seed,
}
_OF_SHARES: Mapping[str, Callable[[_Sample], Any]] = {
    "rate": _Sample.mean,
    "interval": lambda sample: list(wilson_interval(sum(sample.values), len(sample.values))),
    "per_seed": _Sample.per_seed,
    "rate_per_seed": _Sample.per_seed,
}


def summarize(rows: Sequence[Row], *, by: str) -> dict[Any, Figures]:
    """Figures of each group of rows of one method.

    Args:
        rows: Rows of episodes.
        by: Grouping column: "start" (start sets), "limit" (cost limits), "asked" (budgets).

    Returns:
        Value of the column -> figures.

    Raises:
        DataError: There are no rows, a missing or non-finite value, an episode twice, or rows of several methods.
    """
    check_rows(rows, by=by)
    return {value: figures_of(group, _WANTED[by]) for value, group in groups(rows, by=by).items()}


def groups(rows: Sequence[Row], *, by: str) -> dict[Any, list[Row]]:
    """Rows grouped by the values of a column.

    Args:
        rows: Rows of episodes.
        by: Name of the column.

    Returns:
        Value -> its rows, in the order in which the values occur.
    """
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[by], []).append(row)
    return found


def seeds_of(rows: Sequence[Row]) -> list[int]:
    """Training seeds of rows, in ascending order."""
    return sorted({int(row["seed"]) for row in rows})


def figures_of(rows: Sequence[Row], wanted: Mapping[str, str]) -> Figures:
    """Figures of rows.

    Args:
        rows: Rows of episodes.
        wanted: Quantity -> names of its statistics, separated by spaces.

    Returns:
        "QUANTITY_STATISTIC" -> figure.
    """
    by_seed = [[row for row in rows if row["seed"] == seed] for seed in seeds_of(rows)]
    found: Figures = {}
    for quantity, statistics in wanted.items():
        of: Callable[[Row], float] = SHARES.get(quantity, lambda row, column=quantity: row[column])
        sample = _Sample([of(row) for row in rows], [[of(row) for row in part] for part in by_seed])
        known = _OF_SHARES if quantity in SHARES else _OF_NUMBERS
        found |= {f"{quantity}_{name}": known[name](sample) for name in statistics.split()}
    return found


def check_rows(rows: Sequence[Row], *, by: str) -> None:
    """Refuse rows that `summarize` cannot group by a column.

    Args:
        rows: Rows of episodes.
        by: Name of the column.

    Raises:
        DataError: Rows are missing or incomplete, an episode occurs twice, or methods differ.
    """
    if not rows:
        raise DataError("evaluation rows: expected at least one episode, found none.")
    seen = set()
    for index, row in enumerate(rows):
        for column in NUMBERS[by]:
            check_number(row, column, index)
        if by == "start":
            _check_start(row, index)
        if (key := (row[by], row["seed"], row["episode"])) in seen:
            raise DataError(
                f"evaluation rows: expected episode {key[2]} of seed {key[1]} ({by} {key[0]}) once, found it twice."
            )
        seen.add(key)
    for column in METHOD:
        if len(found := sorted({str(row[column]) for row in rows if column in row})) > 1:
            raise DataError(f"evaluation rows: key '{column}': expected a single one, found {', '.join(found)}.")


def check_number(row: Row, column: str, index: int) -> None:
    """Refuse a row whose value in a column is missing, or no finite number.

    Args:
        row: Row of an episode.
        column: Name of the column.
        index: Number of the row, for the message.

    Raises:
        DataError: The value is no finite number.
    """
    value = row.get(column)
    if not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise DataError(f"evaluation rows: key '{column}' of row {index}: expected a finite number, found {value!r}.")


def _check_start(row: Row, index: int) -> None:
    for column, kind, what in (("start", str, "a name"), ("reached_goal", bool | np.bool_, "true or false")):
        if not isinstance(row.get(column), kind):
            found = repr(row.get(column))
            raise DataError(f"evaluation rows: key '{column}' of row {index}: expected {what}, found {found}.")


# --- what summary.json holds of each kind of evaluation --------------------------------------------------------------


def start_figures(rows: Sequence[Row]) -> dict[str, Figures]:
    """Figures of each start set; those of "per_seed" are in the order of "seeds"."""
    return {start: _start(group, summary) for (start, summary), group in zip(
        summarize(rows, by="start").items(), groups(rows, by="start").values(), strict=True)}  # fmt: skip


def _start(rows: Sequence[Row], figures: Figures) -> Figures:
    seeds = seeds_of(rows)
    per_seed = [figures_of([row for row in rows if row["seed"] == seed], _START) for seed in seeds]
    return {
        "episodes": len(rows),
        "seeds": seeds,
        **figures,
        **figures_of(rows, {"violation_free": "interval", "return": "interval"}),
        "per_seed": {key: [one[key] for one in per_seed] for key in figures},
    }


def fixed_start_figures(
    rows: Sequence[Row], poses: Sequence[Sequence[float]], *, start: str = "fixed"
) -> list[dict[str, Any]]:
    """A record for each fixed start, with lists over seeds.

    Args:
        rows: Rows of episodes; episode k of each seed began at `poses[k]`.
        poses: Fixed starts, (x, y, v, theta).
        start: Name of the start set.

    Returns:
        Records; "max_violation_m" is how deep the robot went into a hazard, in meters, 0 where it did not.

    Raises:
        DataError: A pose has no episode.
    """
    records = []
    for index, pose in enumerate(poses):
        mine = [row for row in rows if row.get("start") == start and row.get("episode") == index]
        if not mine:
            raise DataError(f"evaluation rows: expected an episode {index} of start set '{start}', found none.")
        check_rows(mine, by="start")
        for place, row in enumerate(mine):
            check_number(row, "max_constraint", place)
        ordered = sorted(mine, key=lambda row: row["seed"])
        records.append(
            {
                "pose": [float(number) for number in pose],
                "seeds": [int(row["seed"]) for row in ordered],
                "reached_goal": [bool(row["reached_goal"]) for row in ordered],
                "max_violation_m": [max(0.0, float(row["max_constraint"])) for row in ordered],
                "return": [float(row["return"]) for row in ordered],
            }
        )
    return records


def protocol_figures(rows: Sequence[Row]) -> Figures:
    """Figures of an evaluation by a protocol of cost limits.

    "normalised_cost_mean" and "episode_safe_rate" are means over the limits, each of which has its own record in
    "limits". An episode is safe where its normalized cost is at most 1, a seed where the mean over its episodes is.
    """
    summaries = summarize(rows, by="limit")
    # What an episode is like does not depend on the limit that it is scored against, but on one that it was told.
    once = groups(rows, by="limit")[next(iter(summaries))]
    seeds, each = seeds_of(once), rows if "told" in rows[0] else once
    records = [{"limit": limit, **figures, **_safe_seeds(figures)} for limit, figures in summaries.items()]
    averaged = {
        name: float(np.mean([record[name] for record in records]))
        for name in ("normalised_cost_mean", "normalised_cost_iqm", "episode_safe_rate", "seed_safe_rate")
    }
    return {
        "protocol": rows[0]["protocol"],
        "episodes": len(once),
        "seeds": seeds,
        **figures_of(each, _ONCE),
        **averaged,
        "safe": averaged["normalised_cost_mean"] <= 1.0,
        "limits": records,
        "restarts": int(sum(row.get("restarts", 0) for row in each)),
    }


def _safe_seeds(figures: Figures) -> Figures:
    means = figures["normalised_cost_per_seed"]
    safe = sum(mean <= 1 for mean in means)
    return {"seed_safe_rate": safe / len(means), "seed_safe_interval": list(wilson_interval(safe, len(means)))}


def budget_figures(rows: Sequence[Row]) -> Figures:
    """Figures of an evaluation under budgets: a record for each budget, smallest first, and figures over all
    budgets."""
    try:
        summaries = summarize(rows, by="asked")
        records = sorted(
            (_budget(group, summaries[asked]) for asked, group in groups(rows, by="asked").items()), key=_size
        )
    except (KeyError, TypeError) as error:  # a budget without its columns
        raise DataError(f"evaluation rows: expected the columns of a budget, found others ({error}).") from error
    free = [record for record in records if record["budget"] is None]
    limited = [record for record in records if record["budget"] is not None]
    returns = [record["return_mean"] for record in limited]
    found: Figures = {
        "seeds": seeds_of(rows),
        "episodes": len(rows),
        "level": rows[0].get("level"),
        "budgets": records,
        "within_budget": all(record["normalised_cost_mean"] <= 1 for record in limited),
        "return_rises": _rises(returns),
    }
    if free and limited:
        found["share_of_unconstrained_return"] = _share(returns[-1], free[0]["return_mean"])
    return found


def _budget(rows: Sequence[Row], figures: Figures) -> Figures:
    first = rows[0]
    record = {**{name: first[name] for name in ("asked", "ratio", "budget")}, "episodes": len(rows), **figures}
    record["lanes"] = int(max(row["lanes"] for row in rows))
    return record if first["budget"] is None else record | figures_of(rows, _LIMITED)


def _size(record: Row) -> float:
    return math.inf if record["budget"] is None else record["budget"]


def _rises(returns: Sequence[float]) -> bool | None:
    """Whether the return never falls as budgets grow; None where it is the same under all of them, as that of an agent
    which stands still."""
    if len(returns) > 1 and min(returns) == max(returns):
        return None
    return all(low <= high for low, high in itertools.pairwise(returns))


def _share(value: float, whole: float) -> float | None:
    """value / whole; for negative returns, where more is nearer to 0, whole / value."""
    if value > 0 and whole > 0:
        return value / whole
    return whole / value if value < 0 and whole < 0 else None
