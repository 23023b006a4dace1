"""DSRL's filters: pure functions from a dataset to another, seeded where they sample.

They work on complete episodes, which keep their order; the unfinished one at the end is left out. Each raises
`ConfigError` for meaningless settings and `DataError` where no episode is left.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from surefoot.data.dataset import Dataset
from surefoot.data.density import DensityGrid
from surefoot.data.frames import FrameData
from surefoot.errors import ConfigError
from surefoot.ranges import SEED, check_count, check_number
from surefoot.tasks import Task

Bounds = tuple[float, float, float, float]
"""Smallest and largest cost return, smallest and largest return."""
CostMode = Literal["safe", "risky", "boundary", "frontier", "pareto"]
OUTLIER_REWARD = 1.5
"""Factor of an outlier's rewards."""


def density(dataset: Dataset, grid: DensityGrid, *, bounds: Bounds, seed: int) -> Dataset:
    """At most `grid.most` episodes of each cell, chosen at random, from the cells that hold more than `grid.at_least`.

    Args:
        dataset: Episodes to filter.
        grid: Cells, and numbers of episodes in them.
        bounds: Range of the grid, outside of which episodes are left out.
        seed: Seed of the choice.

    Returns:
        The kept episodes.
    """
    check_count(seed, "seed", SEED)
    cells = grid_cells(dataset, grid.cost_bins, grid.return_bins, bounds=bounds)
    rng = np.random.default_rng(seed)
    kept = []
    for cell in np.unique(cells[cells >= 0]):
        inside = np.flatnonzero(cells == cell)
        if len(inside) > grid.at_least:
            kept.append(rng.permutation(inside)[: grid.most])
    return dataset.select(np.sort(np.concatenate(kept)) if kept else [])


def outliers(dataset: Dataset, *, share: float, cost_limit: float, seed: int) -> Dataset:
    """A share of the best but costly episodes, disguised as safe and better still.

    Candidates have at least half of the largest cost return and half of the largest return. Chosen ones get 1.5 times
    their rewards, and costs scaled to a sum drawn from [0, cost_limit).

    Args:
        dataset: Episodes to filter.
        share: Share of the candidates, in [0, 1].
        cost_limit: Undiscounted cost of an episode, > 0.
        seed: Seed of the choice.

    Returns:
        All complete episodes, the chosen ones changed.
    """
    check_number(share, "[0, 1]", "outliers: share")
    check_number(cost_limit, "(0, inf)", "outliers: cost limit")
    check_count(seed, "seed", SEED)
    whole = _complete(dataset)
    cost_returns, returns = whole.cost_returns, whole.returns
    eligible = np.flatnonzero((cost_returns >= cost_returns.max() / 2) & (returns >= returns.max() / 2))
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(eligible)[: round(share * len(eligible))]
    fake_sums = cost_limit * rng.random(len(chosen))
    rewards, costs = whole.required_rewards.copy(), whole.costs.copy()
    for episode, fake in zip(chosen, fake_sums, strict=True):
        rows = slice(whole.episode_starts[episode], whole.episode_ends[episode])
        rewards[rows] *= OUTLIER_REWARD
        # Rounded down, so that float32 sums stay below the limit.
        costs[rows] *= np.float32(fake / max(cost_returns[episode], 1e-12) * (1 - 1e-6))
    return replace(whole, rewards=rewards, costs=costs)


def noise(dataset: Dataset, *, scale: float, seed: int) -> Dataset:
    """Gaussian noise on the observations.

    Where a step enters the state that the next step leaves, both observations get equal noise.

    Args:
        dataset: Episodes to filter.
        scale: Standard deviation of the noise, in standard deviations of each column.
        seed: Seed of the noise.

    Returns:
        All complete episodes with noise.
    """
    check_number(scale, "[0, inf)", "noise: scale")
    check_count(seed, "seed", SEED)
    whole = _complete(dataset)
    rng = np.random.default_rng(seed)
    deviation = scale * whole.observations.std(0, dtype=np.float64)

    def noisy(clean: Float[np.ndarray, "n obs"]) -> Float[np.ndarray, "n obs"]:
        return (clean + deviation * rng.standard_normal(clean.shape)).astype(np.float32)

    observations, entered = noisy(whole.observations), noisy(whole.next_observations)
    follows = ~(whole.terminated | whole.truncated)[:-1]
    entered[:-1][follows] = observations[1:][follows]
    return replace(whole, observations=observations, next_observations=entered)


def inpaint(dataset: Dataset, boxes: Sequence[Bounds]) -> Dataset:
    """Remove the episodes in boxes of cost return and return.

    Args:
        dataset: Episodes to filter.
        boxes: Boxes relative to the range of the data's own episodes, from 0 to 1.

    Returns:
        The kept episodes.
    """
    removed = np.zeros(len(dataset.lengths), bool)
    cost_shares, return_shares = _relative(dataset.cost_returns), _relative(dataset.returns)
    for box in boxes:
        if not (0 <= box[0] <= box[1] <= 1 and 0 <= box[2] <= box[3] <= 1):
            raise ConfigError(f"inpaint: expected low <= high from 0 to 1, cost then return, found {list(box)}.")
        in_cost = (cost_shares >= box[0]) & (cost_shares <= box[1])
        removed |= in_cost & (return_shares >= box[2]) & (return_shares <= box[3])
    return dataset.select(np.flatnonzero(~removed))


def without_best(dataset: Dataset, *, epsilon: float, cost_limit: float) -> Dataset:
    """Remove the safe episodes whose return is near the best safe one's.

    A negative `epsilon` removes unsafe episodes instead. Nothing changes where there is no such episode.

    Args:
        dataset: Episodes to filter.
        epsilon: Largest distance from the best return, in the units of returns (DSRL's epsilon).
        cost_limit: Undiscounted cost up to which an episode is safe.

    Returns:
        The kept episodes.
    """
    check_number(epsilon, "(-inf, inf)", "epsilon")
    check_number(cost_limit, "(-inf, inf)", "cost limit")
    safe = dataset.cost_returns <= cost_limit
    meant = safe if epsilon >= 0 else ~safe
    returns = dataset.returns
    best = returns[meant].max(initial=-np.inf)
    return dataset.select(np.flatnonzero(~(meant & (returns > best - abs(epsilon)))))


def subset(dataset: Dataset, *, share: float, seed: int) -> Dataset:
    """A random share of the episodes, at least one. With one seed a smaller share is part of a larger one.

    Args:
        dataset: Episodes to filter.
        share: Share of the episodes, in [0, 1].
        seed: Seed of the choice.

    Returns:
        The kept episodes.
    """
    check_number(share, "[0, 1]", "subset: share")
    check_count(seed, "seed", SEED)
    count = len(dataset.lengths)
    order = np.random.default_rng(seed).permutation(count)
    return dataset.select(np.sort(order[: max(1, round(share * count))]) if count else [])


def imitation(dataset: Dataset, *, return_at_least: float, grid: DensityGrid, bounds: Bounds, seed: int) -> Dataset:
    """Episodes of high return, reduced on a density grid.

    Args:
        dataset: Episodes to filter.
        return_at_least: Smallest return.
        grid: Cells, and numbers of episodes in them.
        bounds: Range of the grid.
        seed: Seed of the choice.

    Returns:
        The kept episodes.
    """
    check_number(return_at_least, "(-inf, inf)", "return_at_least")
    good = dataset.select(np.flatnonzero(dataset.returns >= return_at_least))
    return density(good, grid, bounds=bounds, seed=seed)


def by_cost(
    dataset: Dataset, mode: CostMode, *, cost_limit: float = 0.0, cost_bins: int = 20, most: int = 1
) -> Dataset:
    """Episodes that a variant of behavior cloning imitates.

    - safe: cost return at most the limit (BC-Safe).
    - risky: at least twice the limit, and above it.
    - boundary: above half and at most 1.5 times the limit.
    - frontier: the `most` highest returns in each of `cost_bins` equal bins of the data's own cost range.
    - pareto: return near the best at the episode's cost (`_near_pareto`).

    Args:
        dataset: Episodes to filter.
        mode: Variant.
        cost_limit: Undiscounted cost of an episode.
        cost_bins: Bins of `frontier`.
        most: Episodes in a bin of `frontier`.

    Returns:
        The kept episodes.
    """
    check_number(cost_limit, "(-inf, inf)", "cost limit")
    costs = dataset.cost_returns
    chosen: Bool[np.ndarray, " E"] | Int[np.ndarray, " n"]
    if mode == "safe":
        chosen = costs <= cost_limit
    elif mode == "risky":
        chosen = (costs >= 2 * cost_limit) & (costs > cost_limit)
    elif mode == "boundary":
        chosen = (costs > 0.5 * cost_limit) & (costs <= 1.5 * cost_limit)
    elif mode == "frontier":
        chosen = _frontier(dataset, cost_bins, most)
    elif mode == "pareto":
        chosen = _near_pareto(costs, dataset.returns)
    else:
        raise ConfigError(f"by cost: expected safe, risky, boundary, frontier or pareto, found '{mode}'.")
    return dataset.select(np.flatnonzero(chosen))


def reference_bounds(dataset: Dataset | FrameData, task: Task) -> Bounds:
    """Bounds of cost return and return: the task's reference (DSRL's), else the range of the data's own episodes.

    Args:
        dataset: Complete episodes.
        task: Task of the data.

    Returns:
        Bounds.
    """
    if task.cost_return_max > task.cost_return_min:
        return task.cost_return_min, task.cost_return_max, task.return_min, task.return_max
    costs, returns = dataset.cost_returns, dataset.returns
    if not len(costs):
        return 0.0, 0.0, 0.0, 0.0
    return float(costs.min()), float(costs.max()), float(returns.min()), float(returns.max())


def grid_cells(
    dataset: Dataset | FrameData, cost_bins: int, return_bins: int, *, bounds: Bounds
) -> Int[np.ndarray, " E"]:
    """Cell of every complete episode: cost bin times `return_bins` plus return bin.

    Args:
        dataset: Complete episodes.
        cost_bins: Equal bins of the cost return.
        return_bins: Equal bins of the return.
        bounds: Range of the grid.

    Returns:
        Cells [E]; -1 outside of `bounds`.
    """
    low_cost, high_cost, low_return, high_return = bounds
    cost = _bins(dataset.cost_returns, low_cost, high_cost, cost_bins)
    reward = _bins(dataset.returns, low_return, high_return, return_bins)
    return np.where((cost < 0) | (reward < 0), -1, cost * return_bins + reward)


def _bins(values: Float[np.ndarray, " E"], low: float, high: float, count: int) -> Int[np.ndarray, " E"]:
    """Bin of each value among `count` equal bins of [low, high], the upper bound in the last; -1 outside.

    Infinite bounds are one bin.
    """
    # Sums of float32 steps end a little beside the published bounds, which are such sums themselves.
    if np.isinf(low) and np.isinf(high):
        return np.zeros(len(values), np.int64)
    slack = 1e-6 * max(abs(low), abs(high))
    width = (high - low) or 1.0
    index = np.clip(np.floor((values - low) / width * count), 0, count - 1).astype(np.int64)
    return np.where((values < low - slack) | (values > high + slack), -1, index)


def _relative(values: Float[np.ndarray, " E"]) -> Float[np.ndarray, " E"]:
    """Values scaled to [0, 1]: 0 for the smallest and 1 for the largest; all 0 where they are equal."""
    if not len(values):
        return values
    return (values - values.min()) / ((values.max() - values.min()) or 1.0)


def _frontier(dataset: Dataset, cost_bins: int, most: int) -> Bool[np.ndarray, " E"]:
    check_count(cost_bins, "frontier: cost_bins", "[1, 10000]")
    check_count(most, "frontier: most")
    costs, returns = dataset.cost_returns, dataset.returns
    chosen = np.zeros(len(costs), bool)
    bins = np.minimum((_relative(costs) * cost_bins).astype(np.int64), cost_bins - 1)
    for index in np.unique(bins):
        inside = np.flatnonzero(bins == index)
        # Stable: of equal returns the earlier episodes are taken.
        chosen[inside[np.argsort(-returns[inside], kind="stable")[:most]]] = True
    return chosen


def _near_pareto(costs: Float[np.ndarray, " E"], returns: Float[np.ndarray, " E"]) -> Bool[np.ndarray, " E"]:
    """Episodes whose return lies within a fifth of the returns' range of a polynomial of their cost, fitted to the
    episodes that no other beats in both: of degree 0, 1 or 2, the first with R^2 >= 0.9, else 2 (OSRL's BC-Frontier).
    """
    if not len(costs):
        return np.zeros(0, bool)
    order = np.lexsort((-returns, costs))  # cheapest first, of equal costs the largest return
    best_before = np.maximum.accumulate(np.concatenate([[-np.inf], returns[order][:-1]]))
    points = costs + 1j * returns
    front = np.isin(points, points[order][returns[order] > best_before])
    x, y = costs[front], returns[front]
    spread, fitted = ((y - y.mean()) ** 2).sum(), np.full_like(costs, y.mean())
    for degree in range(min(2, len(np.unique(x)) - 1) + 1):
        line = np.polynomial.Polynomial.fit(x, y, degree)
        fitted = line(costs)
        if ((y - line(x)) ** 2).sum() <= 0.1 * spread:
            break
    return np.abs(returns - fitted) <= (returns.max() - returns.min()) / 5


def _complete(dataset: Dataset) -> Dataset:
    return dataset.select(np.arange(len(dataset.lengths)))
