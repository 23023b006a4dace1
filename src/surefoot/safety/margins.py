"""Margins between a planner's predicted cost and the cost that followed, from held-out outcomes.

A planner under a budget b keeps the plans whose predicted cost C is at most b. With a margin m it asks C + m <= b,
which is the same as planning under b - m, so that a margin needs nothing of the planner. Split-conformal prediction
(Vovk et al., 2005; Lei et al., 2018) takes for m the ceil((n + 1)(1 - level))-th smallest of n held-out residuals
"realised less predicted": a further residual that is exchangeable with them exceeds it with a probability of at most
`level`.

The planner's own plans are not exchangeable with segments of the data: it picks, among many, plans that promise a high
return at a low cost, and errors of the prediction with them. `selection_margins` imitates that choice on the data, and
`episode_margin` takes whole episodes of the planner itself, which cost simulation; `kept_budgets` does so for each
budget apart, since by how much a planner exceeds a budget may depend on the budget.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from surefoot.errors import ConfigError, option
from surefoot.ranges import check_number

_TRIED_MARGINS = 64
_DRAWS = 2000


class HeldOut(NamedTuple):
    """Held-out segments and their outcomes; costs in the planner's units."""

    predicted_return: Float[np.ndarray, " n"]
    """Predicted reward from the segment's start to the episode's end."""
    predicted_cost: Float[np.ndarray, " n"]
    """Predicted cost from the segment's start to the episode's end."""
    realised_cost: Float[np.ndarray, " n"]
    """Logged cost from the segment's start to the episode's end."""
    step: Int[np.ndarray, " n"]
    """Environment steps before the segment."""


def conformal_quantile(residuals: Float[np.ndarray, " n"], level: float) -> float:
    """Split-conformal quantile: the ceil((n + 1)(1 - level))-th smallest residual (Lei et al., 2018).

    Args:
        residuals: Residuals of held-out outcomes [n].
        level: Largest probability that a further residual exceeds the quantile, in (0, 1).

    Returns:
        The quantile, in the units of the residuals.

    Raises:
        ConfigError: The level is out of range, or n is too small for it: (n + 1) level < 1.
    """
    check_number(level, "(0, 1)", "level")
    count = len(residuals)
    # A thousandth of a rank for (n + 1)(1 - level) that is whole but for rounding.
    rank = math.ceil((count + 1) * (1 - level) - 1e-3)
    if rank > count:
        raise ConfigError(
            f"{option('level')} {level:g}: expected at least {math.ceil(1 / level - 1e-9) - 1} held-out outcomes for "
            f"each margin, found {count}; give more data or episodes, longer stretches or a higher level."
        )
    return float(np.sort(residuals)[rank - 1])


def segment_margins(held_out: HeldOut, level: float, *, horizon: int, stretch: int) -> list[float]:
    """Split-conformal margin of each stretch of steps, by the stretch's own residuals (Mondrian).

    Args:
        held_out: Held-out segments.
        level: Largest probability of exceeding a budget, in (0, 1).
        horizon: Environment steps of an episode.
        stretch: Number of consecutive steps that share a margin.

    Returns:
        Margins, at least 0, in the planner's units.

    Raises:
        ConfigError: A stretch has too few segments for the level.
    """
    residuals = held_out.realised_cost - held_out.predicted_cost
    return [
        max(0.0, conformal_quantile(residuals[rows], level)) for rows in _stretches(held_out.step, horizon, stretch)
    ]


def selection_margins(
    held_out: HeldOut, level: float, *, horizon: int, stretch: int, candidates: int, seed: int = 0
) -> list[float]:
    """Margin of each stretch of steps against the planner's selection of promising plans.

    For each stretch, many times: `candidates` of its segments and one of its realised costs, the budget b, are drawn;
    of the segments with C + m <= b the one of the largest predicted return is chosen. m is the smallest of a grid from
    which on the realised cost exceeds b in at most a share `level` of the choices. The draws share segments, so this is
    an estimate without a guarantee in finite samples.

    Args:
        held_out: Held-out segments.
        level: Largest probability of exceeding a budget, in (0, 1).
        horizon: Environment steps of an episode.
        stretch: Number of consecutive steps that share a margin.
        candidates: Plans that the planner chooses from.
        seed: Seed of the draws.

    Returns:
        Margins, at least 0, in the planner's units.

    Raises:
        ConfigError: A stretch has too few segments for the level.
    """
    check_number(level, "(0, 1)", "level")
    random = np.random.default_rng(seed)
    return [
        _selection_margin(HeldOut(*(column[rows] for column in held_out)), level, candidates, random)
        for rows in _stretches(held_out.step, horizon, stretch)
    ]


def _selection_margin(held_out: HeldOut, level: float, candidates: int, random: np.random.Generator) -> float:
    count = len(held_out.step)
    conformal_quantile(held_out.realised_cost, level)  # refuses too few
    drawn = random.integers(count, size=(_DRAWS, min(candidates, count)))
    budget = held_out.realised_cost[random.integers(count, size=_DRAWS)]
    predicted, promised = held_out.predicted_cost[drawn], held_out.predicted_return[drawn]
    largest = float((held_out.realised_cost - held_out.predicted_cost).max())
    tried = np.linspace(0.0, max(largest, 0.0), _TRIED_MARGINS)
    best = tried[-1]
    for margin in tried[::-1]:
        feasible = predicted + margin <= budget[:, None]
        chosen = np.where(feasible, promised, -np.inf).argmax(1)
        there = feasible.any(1)
        realised = held_out.realised_cost[drawn[np.arange(_DRAWS), chosen]]
        if ((realised > budget) & there).sum() + 1 > level * (there.sum() + 1):
            break
        best = margin
    return float(best)


def episode_margin(costs: Float[np.ndarray, " n"], budgets: Float[np.ndarray, " n"], level: float) -> float:
    """Margin on b_0 from whole episodes of the planner: the conformal quantile of cost minus budget, at least 0.

    It holds as far as the excess of an episode over its budget does not depend on the budget.

    Args:
        costs: Cost of each episode [n], in the planner's units.
        budgets: Budget b_0 of each episode [n].
        level: Largest probability of exceeding a budget, in (0, 1).

    Returns:
        The margin.

    Raises:
        ConfigError: There are too few episodes for the level.
    """
    return max(0.0, conformal_quantile(np.asarray(costs) - np.asarray(budgets), level))


def kept_budgets(
    costs: Float[np.ndarray, " n"], budgets: Float[np.ndarray, " n"], level: float
) -> tuple[list[float], list[float]]:
    """Budgets, and the costs that the planner kept to under each: the conformal quantile of costs, made monotone.

    A further episode under one of these budgets costs more than its quantile with a probability of at most `level`,
    whatever the budget.

    Args:
        costs: Cost of each episode [n], in the planner's units.
        budgets: Budget b_0 of each episode [n].
        level: Largest probability of exceeding the quantile, in (0, 1).

    Returns:
        (ascending budgets [k], kept costs [k]).

    Raises:
        ConfigError: A budget has too few episodes for the level.
    """
    given = np.unique(budgets)
    quantiles = [conformal_quantile(costs[budgets == budget], level) for budget in given]
    return given.tolist(), np.maximum.accumulate(quantiles).tolist()


def _stretches(step: Int[np.ndarray, " n"], horizon: int, stretch: int) -> list[np.ndarray]:
    """Rows of each stretch of steps; the last stretch extends to the horizon where no segment starts so late."""
    last = int(step.max(initial=0)) // stretch
    groups = np.minimum(step // stretch, last)
    return [np.flatnonzero(groups == group) for group in range(min(last, (horizon - 1) // stretch) + 1)]
