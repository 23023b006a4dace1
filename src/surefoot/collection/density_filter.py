"""Thinning on the grid of cost return and return, as DSRL's files were made (arXiv 2306.09303, appendix)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

COST_BINS, RETURN_BINS = 60, 50
"""Of the grid, over the task's reference ranges of cost return and return."""


@dataclass(frozen=True)
class Grid:
    """What the bins span. What lies outside counts to the outermost bins: it is rarely what one collects for."""

    cost_range: tuple[float, float]
    return_range: tuple[float, float]

    def bins(self, cost_returns: Float[np.ndarray, " E"], returns: Float[np.ndarray, " E"]) -> Int[np.ndarray, " E"]:
        """The number of each episode's bin."""
        cost_bin, return_bin = (
            _bin(cost_returns, self.cost_range, COST_BINS), _bin(returns, self.return_range, RETURN_BINS)
        )  # fmt: skip
        return cost_bin * RETURN_BINS + return_bin


@dataclass(frozen=True)
class Thinned:
    """What was kept."""

    kept: Int[np.ndarray, " K"]
    """Indices of the episodes, rising."""
    most_per_bin: int
    """Episodes that a bin of the grid was allowed to keep."""


def filtered_by_density(
    cost_returns: Float[np.ndarray, " E"],
    returns: Float[np.ndarray, " E"],
    lengths: Int[np.ndarray, " E"],
    *,
    grid: Grid,
    transitions: int,
    seed: int,
) -> Thinned:
    """The fewest episodes per bin that still keep `transitions` steps; all of them where that is not to be had.

    Bins that hold more lose at random, seeded; every bin that holds an episode keeps one. So frequent behaviour is cut
    down to the frequency of rare behaviour, and the file covers evenly what the training went through.
    """
    rank = _rank_in_bin(grid.bins(cost_returns, returns), np.random.default_rng(seed))
    # Steps kept where every bin may keep 1, 2, ... episodes.
    kept_steps = np.cumsum(np.bincount(rank, weights=lengths)) if len(rank) else np.zeros(1)
    most = min(int(np.searchsorted(kept_steps, transitions)), len(kept_steps) - 1) + 1
    return Thinned(np.flatnonzero(rank < most), most)


def reached(values: Float[np.ndarray, " E"], *, low: float, high: float, bins: int) -> Bool[np.ndarray, " bins"]:
    """Which of `bins` equal parts of [low, high] some value lies in; values outside count nowhere."""
    counts, _ = np.histogram(values, bins=bins, range=(low, high))
    return counts > 0


def _bin(values: np.ndarray, span: tuple[float, float], bins: int) -> np.ndarray:
    low, high = span
    return np.clip((values - low) // ((high - low) / bins), 0, bins - 1).astype(int)


def _rank_in_bin(bins: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each episode's place, from 0, in a random order of the episodes of its bin."""
    order = generator.permutation(len(bins))
    order = order[np.argsort(bins[order], kind="stable")]
    ordered = bins[order]
    starts = np.searchsorted(ordered, ordered)  # where the bin of each begins
    rank = np.empty(len(bins), int)
    rank[order] = np.arange(len(bins)) - starts
    return rank
