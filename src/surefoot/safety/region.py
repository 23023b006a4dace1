"""Agreement of a learned feasible set with the exact one, on the three slices of FISOR's published picture."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from surefoot.errors import ConfigError

SLICES = ((0.5, math.pi / 4), (1.0, math.pi / 2), (1.5, math.pi / 4))
"""Speed (m/s) and heading (rad) of each slice."""


class RegionScore(NamedTuple):
    """Agreement of two infeasible sets {V > 0} over the same points; every figure is a share of area."""

    iou: float
    """Infeasible in both / infeasible in either; 1 where both are empty."""
    false_safe_rate: float
    """Infeasible but predicted feasible / infeasible; 0 where nothing is infeasible."""
    false_alarm_rate: float
    """Feasible but predicted infeasible / feasible; 0 where nothing is feasible."""


def score_region(learned_value: ArrayLike, exact_value: ArrayLike) -> RegionScore:
    """Compare a learned V with the exact one, point by point; V > 0 is infeasible.

    Args:
        learned_value: Learned values in meters, of any shape.
        exact_value: Exact values in meters, of that shape.

    Returns:
        Agreement of the two infeasible sets.

    Raises:
        ConfigError: The shapes differ, there are no points, or a value is NaN, which would count as feasible.
    """
    learned, exact = np.asarray(learned_value), np.asarray(exact_value)
    if learned.shape != exact.shape or exact.size == 0:
        raise ConfigError(
            f"learned and exact values: expected one value for each of the same points, "
            f"found shapes {learned.shape} and {exact.shape}."
        )
    for name, values in (("learned", learned), ("exact", exact)):
        if np.isnan(values).any():
            raise ConfigError(f"{name} values: expected numbers, found {int(np.isnan(values).sum())} NaN.")
    called, infeasible = learned > 0, exact > 0
    return RegionScore(
        iou=_share(called & infeasible, called | infeasible, empty=1.0),
        false_safe_rate=_share(infeasible & ~called, infeasible, empty=0.0),
        false_alarm_rate=_share(called & ~infeasible, ~infeasible, empty=0.0),
    )


def score_seeds(
    learned: Float[np.ndarray, "slice seed n"], exact: Float[np.ndarray, "slice n"]
) -> dict[str, list[list[float]]]:
    """Scores of every seed on every slice.

    Args:
        learned: Learned values in meters [slice, seed, n].
        exact: Exact values in meters [slice, n].

    Returns:
        Name of a score -> its values, [seed][slice].
    """
    slices, seeds = learned.shape[:2]
    scored = [[score_region(learned[i, s], exact[i]) for i in range(slices)] for s in range(seeds)]
    return {name: [[getattr(one, name) for one in row] for row in scored] for name in RegionScore._fields}


def _share(part: Bool[np.ndarray, "*n"], whole: Bool[np.ndarray, "*n"], *, empty: float) -> float:
    total = int(whole.sum())
    return int(part.sum()) / total if total else empty
