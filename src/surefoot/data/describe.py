"""Description of a dataset in numbers: episodes, lengths, returns, costs, and gaps in their coverage."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from surefoot.data.dataset import Dataset
from surefoot.data.filters import Bounds, grid_cells, reference_bounds
from surefoot.data.frames import FrameData
from surefoot.data.mapping import blocks
from surefoot.data.remarks import limit_terminals
from surefoot.tasks import Task

COST_BINS, RETURN_BINS = 10, 10
"""Equal bins of the reference ranges in which coverage is counted."""
_IMAGES = 2048
"""Frames of images that are read at a time."""
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Spread:
    """Mean and quantiles of a number of each episode."""

    mean: float
    quantiles: tuple[float, ...]
    """Smallest, lower quartile, median, upper quartile, largest."""


@dataclass(frozen=True)
class Limit:
    """Share and best return of the episodes within a cost limit."""

    cost_limit: float
    """Undiscounted cost of an episode."""
    safe_share: float
    """Share of the episodes whose cost return is at most the limit."""
    best_return: float | None
    """Highest return among the safe episodes; None where there is none."""


@dataclass(frozen=True)
class Description:
    """Result of `describe`."""

    transitions: int
    episodes: int
    """Number of complete episodes."""
    unfinished_rows: int
    """Transitions after the last episode's end."""
    terminated: int
    """Episodes that the task ended; the others were cut."""
    limit_length: int | None
    """Steps of the episodes whose terminations look like a time limit's; None where none do."""
    lengths: Spread
    """Steps of episodes."""
    returns: Spread | None
    """Returns in the task's units; None without rewards."""
    cost_returns: Spread
    """Undiscounted costs in the task's units."""
    costly_steps: float
    """Share of all transitions with a cost above 0."""
    limits: tuple[Limit, ...]
    """Entry for each cost limit of the task."""
    bounds: Bounds
    """Bounds of the bins: smallest and largest cost return, smallest and largest return."""
    cost_counts: tuple[int, ...]
    """Episodes in each bin of the cost return; episodes outside of the bounds are in none."""
    cells: Int[np.ndarray, "cost return"]
    """Episodes in each cell of cost return and return."""
    outside: int
    """Episodes outside of the bounds."""

    @property
    def gaps(self) -> tuple[int, ...]:
        """Bins of the cost return without an episode."""
        return tuple(index for index, count in enumerate(self.cost_counts) if count == 0)

    @property
    def cost_edges(self) -> Float[np.ndarray, " edges"]:
        """Edges of the bins of the cost return."""
        return np.linspace(self.bounds[0], self.bounds[1], len(self.cost_counts) + 1)


def describe(dataset: Dataset | FrameData, task: Task) -> Description:
    """Describe transitions or frames in numbers.

    Where there are no rewards all returns count as 0 in the cells.

    Args:
        dataset: Transitions or frames.
        task: Task with reference bounds and cost limits.

    Returns:
        The numbers.
    """
    rewarded = not isinstance(dataset, Dataset) or dataset.rewards is not None
    counted = dataset if rewarded else replace(dataset, rewards=np.zeros(len(dataset), np.float32))
    bounds = reference_bounds(counted, task)
    cells = grid_cells(counted, COST_BINS, RETURN_BINS, bounds=bounds)
    # An episode may lie beside the reference range of the return and still cover its cost.
    costs = grid_cells(counted, COST_BINS, 1, bounds=(*bounds[:2], -np.inf, np.inf))
    cells = cells if rewarded else costs * RETURN_BINS
    counts = np.bincount(cells[cells >= 0], minlength=COST_BINS * RETURN_BINS)
    ends = dataset.episode_ends
    costly = sum(int((block > 0).sum()) for _, (block,) in blocks(dataset.costs))
    return Description(
        transitions=len(dataset),
        episodes=len(ends),
        unfinished_rows=len(dataset) - int(dataset.lengths.sum()),
        terminated=int(dataset.terminated[ends - 1].sum()),
        limit_length=limit_terminals(dataset, task),
        lengths=_spread(dataset.lengths),
        returns=_spread(dataset.returns) if rewarded else None,
        cost_returns=_spread(dataset.cost_returns),
        costly_steps=costly / max(1, len(dataset)),
        limits=tuple(_limit(dataset, limit) for limit in sorted({task.cost_limit, *task.dsrl_cost_limits})),
        bounds=bounds,
        cost_counts=tuple(np.bincount(costs[costs >= 0], minlength=COST_BINS).tolist()),
        cells=counts.reshape(COST_BINS, RETURN_BINS),
        outside=int((cells < 0).sum()),
    )


def image_range(frames: FrameData) -> tuple[int, int]:
    """Smallest and largest value of all images."""
    ends = [(int(block.min()), int(block.max())) for _, (block,) in blocks(frames.observations, rows=_IMAGES)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _limit(dataset: Dataset | FrameData, limit: float) -> Limit:
    safe = dataset.cost_returns <= limit
    best = float(dataset.returns[safe].max()) if safe.any() and dataset.rewards is not None else None
    return Limit(limit, float(safe.mean()) if len(safe) else 0.0, best)


def _spread(values: np.ndarray) -> Spread:
    if not len(values):
        return Spread(float("nan"), (float("nan"),) * len(QUANTILES))
    return Spread(float(values.mean()), tuple(np.quantile(values, QUANTILES).tolist()))


def coverage(dataset: Dataset | FrameData) -> dict[str, Any]:
    """Numbers on the complete episodes of a dataset, as JSON values."""
    free = dataset.violating_steps == 0
    return {
        "transitions": len(dataset),
        "episodes": len(free),
        "violation_free_rate": float(free.mean()) if len(free) else None,
        "return_mean": float(dataset.returns.mean()) if len(free) and dataset.rewards is not None else None,
        "violating_steps_mean": float(dataset.violating_steps.mean()) if len(free) else None,
    }


def gaps_sentence(found: Description) -> str:
    """Sentence on bins without episodes."""
    empty = int((found.cells == 0).sum())
    notes = [f"{len(found.gaps)} of {len(found.cost_counts)} bins of the cost are empty"]
    notes.append(f"{empty} of {found.cells.size} cells of cost and return")
    if found.outside:
        notes.append(f"{found.outside:,} episodes lie outside of the reference ranges")
    return "; ".join(notes) + "."
