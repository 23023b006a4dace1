"""Statistics of evaluation episodes in NumPy: rates with Wilson intervals, means with bootstrap intervals, tails."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from surefoot import ranges
from surefoot.errors import ConfigError, DataError

CVAR_LEVEL = 0.9


def wilson_interval(successes: float, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share; it stays inside [0, 1] and has a width even where every trial
    succeeded.

    Args:
        successes: Successes, in [0, trials]; a trial may succeed in part.
        trials: Independent trials, at least 1.
        level: Confidence, in (0, 1).

    Returns:
        (low, high).

    Raises:
        ConfigError: An argument is out of range.
    """
    ranges.check_number(level, "(0, 1)", "level")
    if trials < 1 or not 0 <= successes <= trials:
        raise ConfigError(
            f"wilson_interval: expected 0 <= successes <= trials and trials >= 1, found {successes} of {trials}."
        )
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = successes / trials
    shrink = 1 + z * z / trials
    center = (share + z * z / (2 * trials)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # Exactly 0 and 1 at the ends, where rounding would leave 1e-17 or push the bound past the share itself.
    low = 0.0 if successes == 0 else center - half
    high = 1.0 if successes == trials else center + half
    return low, high


def bootstrap_interval(
    values: Sequence[ArrayLike],
    statistic: Callable[[Float[np.ndarray, " n"]], Any] = np.mean,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic over pooled values.

    Every seed is resampled within itself (stratified), so the interval says how much further episodes would move the
    figure, not how much further seeds would.

    Args:
        values: One array of episodes for each training seed.
        statistic: From values [n] to a number.
        level: Confidence, in (0, 1).
        resamples: Number of resamples.
        seed: Seed of the resampling.

    Returns:
        (low, high).

    Raises:
        ConfigError: A stratum is empty, or an option is out of range.
        DataError: A value is not finite.
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
    """95 % bootstrap interval over the episodes of each seed.

    Args:
        by_seed: One array of episodes for each training seed.
        statistic: From values [n] to a number.

    Returns:
        [low, high]; None where a seed has a single episode, which does not show how episodes differ.
    """
    if any(np.size(episodes) < 2 for episodes in by_seed):
        return None
    return list(bootstrap_interval(by_seed, statistic))


def conditional_value_at_risk(costs: ArrayLike, *, level: float = CVAR_LEVEL) -> float:
    """Conditional value at risk: mean of the largest 1 - level share of costs (Rockafellar and Uryasev, 2000).

    Args:
        costs: Costs of episodes.
        level: In [0, 1); 0 gives the mean. The value at the edge of the tail counts in part.

    Returns:
        The mean of the tail.

    Raises:
        ConfigError: `level` is out of range, or there are no costs.
        DataError: A cost is not finite.
    """
    ranges.check_number(level, "[0, 1)", "level")
    worst_first = np.sort(_finite(costs, "conditional_value_at_risk: costs"))[::-1]
    mass = (1 - level) * len(worst_first)
    # How much of each value lies in the tail: 1 for whole ones, a part for the last, 0 after.
    parts = np.clip(mass - np.arange(len(worst_first)), 0, 1)
    return float(parts @ worst_first / parts.sum())


def interquartile_mean(values: ArrayLike) -> float:
    """Mean without floor(n / 4) values at each end (Agarwal et al., 2021). Raises `ConfigError` without values,
    `DataError` where one is not finite."""
    ordered = np.sort(_finite(values, "interquartile_mean: values"))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def area_under_curve(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """Area under the ROC curve: the probability that a positive scores above a negative (Hanley and McNeil, 1982).

    Args:
        scores: Scores; ties count half.
        positive: Whether each is positive.

    Returns:
        A number in [0, 1]; None where all or none are positive.
    """
    values, labels = _finite(scores, "area_under_curve: scores"), np.asarray(positive, bool).ravel()
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle_rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    wins, losses = int(labels.sum()), int((~labels).sum())
    if not wins or not losses:
        return None
    return float((middle_rank[labels].sum() - wins * (wins + 1) / 2) / (wins * losses))


def _finite(values: ArrayLike, name: str) -> Float[np.ndarray, " n"]:
    array = np.asarray(values, float).ravel()
    if not len(array):
        raise ConfigError(f"{name}: expected at least one, found none.")
    if not np.isfinite(array).all():
        raise DataError(f"{name}: expected finite numbers, found {array[~np.isfinite(array)][0]}.")
    return array
