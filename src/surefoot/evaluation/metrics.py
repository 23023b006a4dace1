"""Statistics of evaluation episodes: rates with Wilson intervals, means with bootstrap intervals, tails.

Pure NumPy, from per-episode rows as they lie in a run directory. A row holds the columns of `NUMBERS`, "reached_goal"
(bool) and "start", the name of its start set; "task", "algorithm" and "extraction" say whose episode it is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from surefoot import ranges
from surefoot.errors import ConfigError, DataError

NUMBERS = ("seed", "episode", "return", "cost", "length", "violating_steps")
"""Columns that `summarise` reads as numbers: return in task units, cost summed over the episode, length and violating
steps in environment steps."""
METHOD = ("task", "algorithm", "extraction")
"""Columns that tell methods apart; `summarise` never pools two."""
CVAR_LEVEL = 0.9


def wilson_interval(successes: float, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share, from independent trials: it stays inside [0, 1] and has a width even
    where every trial succeeded. A trial may succeed in part. Raises `ConfigError` on no trials, successes outside
    0..trials, a level outside (0, 1).
    """
    ranges.check_number(level, "(0, 1)", "level")
    if trials < 1 or not 0 <= successes <= trials:
        raise ConfigError(
            f"wilson_interval: expected 0 <= successes <= trials and trials >= 1, found {successes} of {trials}."
        )
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = successes / trials
    shrink = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # Exactly 0 and 1 at the ends, where rounding would leave 1e-17 or push the bound past the share itself.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


def bootstrap_interval(
    values: Sequence[ArrayLike],
    statistic: Callable[[Float[np.ndarray, " n"]], Any] = np.mean,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `statistic` over the pooled values.

    `values` holds one array of episodes for each training seed. Every seed is resampled within itself (stratified), so
    the interval says how much more episodes would move the figure, not how much more seeds would. Raises `ConfigError`
    on an empty stratum or a bad option, `DataError` on NaN or infinity.
    """
    ranges.check_number(level, "(0, 1)", "level")
    ranges.check_count(resamples, "resamples")
    strata = [_finite(stratum, f"bootstrap_interval: values of stratum {i}") for i, stratum in enumerate(values)]
    if not strata:
        raise ConfigError("bootstrap_interval: expected values of at least one seed, found none.")
    random = np.random.default_rng(seed)
    estimates = np.empty(resamples)
    for index in range(resamples):
        drawn = [stratum[random.integers(len(stratum), size=len(stratum))] for stratum in strata]
        estimates[index] = statistic(np.concatenate(drawn))
    low, high = np.quantile(estimates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(
    by_seed: Sequence[ArrayLike], statistic: Callable[[Float[np.ndarray, " n"]], float] = np.mean
) -> list[float] | None:
    """The 95 % bootstrap interval over the episodes of each seed; None where a seed has a single one, which does not
    say how episodes differ."""
    if any(np.size(episodes) < 2 for episodes in by_seed):
        return None
    return list(bootstrap_interval(by_seed, statistic))


def conditional_value_at_risk(costs: ArrayLike, *, level: float = CVAR_LEVEL) -> float:
    """Mean of the worst (largest) 1 - level share of the costs, the value on the share's edge counted in part
    (Rockafellar and Uryasev, 2000); level 0 is the mean. Raises `ConfigError` on a level outside [0, 1) or no costs,
    `DataError` on NaN or infinity.
    """
    ranges.check_number(level, "[0, 1)", "level")
    worst_first = np.sort(_finite(costs, "conditional_value_at_risk: costs"))[::-1]
    mass = (1 - level) * len(worst_first)
    # How much of each value lies in the tail: 1 for whole ones, a part for the last, 0 after.
    parts = np.clip(mass - np.arange(len(worst_first)), 0, 1)
    return float(parts @ worst_first / parts.sum())


def interquartile_mean(values: ArrayLike) -> float:
    """Mean after dropping floor(n / 4) values at each end (Agarwal et al., 2021). Raises `ConfigError` on no values,
    `DataError` on NaN or infinity."""
    ordered = np.sort(_finite(values, "interquartile_mean: values"))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def area_under_curve(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """The chance that a positive scores above a negative, ties counting half (Hanley and McNeil, 1982): the area under
    the ROC curve. None where there are only positives or only negatives."""
    values, labels = _finite(scores, "area_under_curve: scores"), np.asarray(positive, bool).ravel()
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle_rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    wins, losses = int(labels.sum()), int((~labels).sum())
    if not wins or not losses:
        return None
    return float((middle_rank[labels].sum() - wins * (wins + 1) / 2) / (wins * losses))


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Figures of each start set from per-episode rows of one method, as JSON values: {start: figures}.

    Shares and means are over all episodes, their intervals (95 %) beside them; "per_seed" holds the same figures for
    each seed, in the order of "seeds". `DataError` on no rows, a missing or non-finite value, the same episode twice,
    or rows of several methods.
    """
    if not rows:
        raise DataError("evaluation rows: expected at least one episode, found none.")
    for index, row in enumerate(rows):
        _check_row(row, index)
    for column in METHOD:
        if len(found := sorted({str(row[column]) for row in rows if column in row})) > 1:
            raise DataError(f"evaluation rows: key '{column}': expected a single one, found {', '.join(found)}.")
    names = dict.fromkeys(row["start"] for row in rows)
    return {name: _summarise_start(name, [row for row in rows if row["start"] == name]) for name in names}


def summarise_fixed(
    rows: Sequence[Mapping[str, Any]], poses: Sequence[Sequence[float]], *, start: str = "fixed"
) -> list[dict[str, Any]]:
    """One record for each fixed start, with a list over seeds of what happened there, as JSON values.

    Episode k of each seed began at `poses[k]` (x, y, v, theta). "max_violation_m" is how deep the robot went into a
    hazard, metres, 0 where it did not. `DataError` where an episode of a pose is missing.
    """
    records = []
    for index, pose in enumerate(poses):
        mine = [(i, row) for i, row in enumerate(rows) if row.get("start") == start and row.get("episode") == index]
        if not mine:
            raise DataError(f"evaluation rows: expected an episode {index} of start set '{start}', found none.")
        for i, row in mine:
            _check_row(row, i)
            check_number(row, "max_constraint", i)
        ordered = sorted((row for _, row in mine), key=lambda row: row["seed"])
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


def _summarise_start(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    seen = set()
    for row in rows:
        if (key := (row["seed"], row["episode"])) in seen:
            raise DataError(
                f"evaluation rows: expected episode {key[1]} of seed {key[0]} ('{name}') once, found it twice."
            )
        seen.add(key)
    seeds = sorted({int(row["seed"]) for row in rows})
    by_seed = [[row for row in rows if row["seed"] == seed] for seed in seeds]
    per_seed = [_figures(group) for group in by_seed]
    figures = _figures(rows)
    free = sum(row["violating_steps"] == 0 for row in rows)
    return {
        "episodes": len(rows),
        "seeds": seeds,
        **figures,
        "violation_free_interval": list(wilson_interval(free, len(rows))),
        "return_interval": mean_interval([[row["return"] for row in group] for group in by_seed]),
        "per_seed": {key: [group[key] for group in per_seed] for key in figures},
    }


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    violating = np.array([row["violating_steps"] for row in rows], float)
    returns = [row["return"] for row in rows]
    return {
        "violation_free_rate": float(np.mean(violating == 0)),
        "return_mean": float(np.mean(returns)),
        "return_iqm": interquartile_mean(returns),
        "violating_steps_mean": float(violating.mean()),
        "goal_rate": float(np.mean([row["reached_goal"] for row in rows])),
        "length_mean": float(np.mean([row["length"] for row in rows])),
        "cost_mean": float(np.mean([row["cost"] for row in rows])),
        "cost_cvar": conditional_value_at_risk([row["cost"] for row in rows]),
    }


def _check_row(row: Mapping[str, Any], index: int) -> None:
    for column in NUMBERS:
        check_number(row, column, index)
    if not isinstance(row.get("start"), str):
        raise DataError(f"evaluation rows: key 'start' of row {index}: expected a name, found {row.get('start')!r}.")
    if not isinstance(row.get("reached_goal"), bool | np.bool_):
        found = repr(row.get("reached_goal"))
        raise DataError(f"evaluation rows: key 'reached_goal' of row {index}: expected true or false, found {found}.")


def check_number(row: Mapping[str, Any], column: str, index: int) -> None:
    """`DataError` where a column of a row is missing, or no finite number."""
    value = row.get(column)
    if not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise DataError(f"evaluation rows: key '{column}' of row {index}: expected a finite number, found {value!r}.")


def _finite(values: ArrayLike, name: str) -> Float[np.ndarray, " n"]:
    array = np.asarray(values, float).ravel()
    if not len(array):
        raise ConfigError(f"{name}: expected at least one, found none.")
    if not np.isfinite(array).all():
        raise DataError(f"{name}: expected finite numbers, found {array[~np.isfinite(array)][0]}.")
    return array
