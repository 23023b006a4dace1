"""Density filter on the grid of cost return and return, as DSRL's files were made (arXiv 2306.09303, appendix)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

COST_BINS, RETURN_BINS = 60, 50
"""Bins of the grid over the task's reference ranges of cost return and return."""


@dataclass(frozen=True)
class Grid:
    """Ranges of the grid. Values outside count to the outermost bins."""

    cost_range: tuple[float, float]
    return_range: tuple[float, float]

    def bins(self, cost_returns: Float[np.ndarray, " E"], returns: Float[np.ndarray, " E"]) -> Int[np.ndarray, " E"]:
        """Bin of each episode.

        Args:
            cost_returns: Undiscounted costs, [E].
            returns: Undiscounted returns, [E].

        Returns:
            Numbers of bins, [E].
        """
        cost_bin, return_bin = (
            _bin(cost_returns, self.cost_range, COST_BINS), _bin(returns, self.return_range, RETURN_BINS)
        )  # fmt: skip
        return cost_bin * RETURN_BINS + return_bin


@dataclass(frozen=True)
class Thinned:
    """Result of the density filter."""

    kept: Int[np.ndarray, " K"]
    """Indices of the kept episodes, ascending."""
    most_per_bin: int
    """Most episodes of a bin."""


def filtered_by_density(
    cost_returns: Float[np.ndarray, " E"],
    returns: Float[np.ndarray, " E"],
    lengths: Int[np.ndarray, " E"],
    *,
    grid: Grid,
    transitions: int,
    seed: int,
) -> Thinned:
    """Keep the fewest episodes per bin that still hold the wanted number of steps.

    Bins that hold more lose episodes at random; every bin that holds an episode keeps one. So frequent behavior is
    reduced to the frequency of rare behavior, and the file covers the training evenly.

    Args:
        cost_returns: Undiscounted costs, [E].
        returns: Undiscounted returns, [E].
        lengths: Steps of the episodes, [E].
        grid: Ranges of the grid.
        transitions: Wanted steps; all episodes are kept where there are fewer.
        seed: Seed of the choice.

    Returns:
        Kept episodes.
    """
    rank = _rank_in_bin(grid.bins(cost_returns, returns), np.random.default_rng(seed))
    # Steps kept where every bin may keep 1, 2, ... episodes.
    kept_steps = np.cumsum(np.bincount(rank, weights=lengths)) if len(rank) else np.zeros(1)
    most = min(int(np.searchsorted(kept_steps, transitions)), len(kept_steps) - 1) + 1
    return Thinned(np.flatnonzero(rank < most), most)


def reached(values: Float[np.ndarray, " E"], *, low: float, high: float, bins: int) -> Bool[np.ndarray, " bins"]:
    """Whether some value lies in each of `bins` equal parts of [low, high].

    Args:
        values: Numbers, [E]; those outside count nowhere.
        low: Lower bound.
        high: Upper bound.
        bins: Number of parts.

    Returns:
        Flags, [bins].
    """
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
