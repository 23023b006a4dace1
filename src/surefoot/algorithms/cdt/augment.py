"""CDT's augmentation (Liu et al., ICML 2023, section 4.2): episodes relabeled with returns that none had at their cost.

A polynomial R(C) is fitted to the Pareto set of the episodes. Each target above it is given to the nearest episode that
costs no more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from surefoot.errors import DataError
from surefoot.ranges import NUMBER, Range, Ranged

COST_BINS, RETURN_BINS, MOST_IN_BIN = 10, 50, 10
_SEED = 24_04_2023


@dataclass(frozen=True)
class AugmentationConfig(Ranged, part="augmentation"):
    """Which relabeled episodes are added."""

    augment_share: Annotated[float, Range("[0, 1]")] = 0.0
    """Of the episodes' number, how many are added; 0: none."""
    frontier_degree: Annotated[int, Range("[0, 8]")] = 1
    """Of the polynomial through the Pareto set of costs and returns."""
    target_rise: Annotated[float, Range("(0, 1]")] = 0.2
    """Target returns lie at most this share of the largest return above the polynomial."""
    most_return: Annotated[float | None, Range("(-inf, inf)")] = None
    """They lie between the polynomial and this instead, in units of the return."""
    least_rise: Annotated[float, Range("[0, inf)")] = 0.0
    """Target returns lie at least this far above the polynomial, in units of the return."""
    largest_decrease: Annotated[float, Range("[0, inf)")] = 1.0
    """Where an episode is nearest to several targets, the others take one whose return is at most this far below."""
    fewest_in_bin: Annotated[int, Range(NUMBER)] = 0
    """Bins of costs and returns with at most so many episodes are left out of the fit and of the choice."""
    in_order: bool = True
    """Give each target the episode that was chosen for it (False: OSRL's, which mixes them up)."""


class Relabeled(NamedTuple):
    """Episodes to add, with the targets that they are given."""

    episode: Int[np.ndarray, " A"]
    """Numbers of the episodes whose steps they have."""
    cost: Float[np.ndarray, " A"]
    """Target costs."""
    episode_return: Float[np.ndarray, " A"]


Choose = Callable[[Float[np.ndarray, " k"]], int]
"""From probabilities [k] to an index."""


def relabeled_episodes(
    returns: Float[np.ndarray, " E"], costs: Float[np.ndarray, " E"], config: AugmentationConfig
) -> Relabeled:
    """Relabel episodes with targets above the Pareto front; the choice is the same for every seed.

    Args:
        returns: Undiscounted returns of the E episodes, [E].
        costs: Undiscounted costs of the episodes, [E].
        config: How many, and how far above the front.

    Returns:
        A relabeled episodes; none where `augment_share` is 0.

    Raises:
        DataError: Fewer than two episodes are left for the fit.
    """
    if config.augment_share == 0.0:
        return Relabeled(np.zeros(0, int), np.zeros(0), np.zeros(0))
    rng = np.random.default_rng(_SEED)
    order = kept_order(returns, costs, config, rng)
    if len(order) < 2:
        raise DataError(f"augmentation: expected at least two episodes, found {len(order)} in bins of enough others.")
    points = np.stack([costs[order], returns[order]], -1)
    frontier = fitted_frontier(points, config.frontier_degree)
    count = int(config.augment_share * len(order))
    target_cost = np.linspace(costs.min(), costs.max(), count)
    low, high = target_bounds(np.polyval(frontier, target_cost), returns, config)
    targets = np.stack([target_cost, low + rng.random(count) * (high - low)], -1)
    nearest = assigned(points, targets, config, lambda weights: int(rng.choice(len(weights), p=weights)))
    return Relabeled(order[nearest], targets[:, 0], targets[:, 1])


def target_bounds(
    frontier: Float[np.ndarray, " A"], returns: Float[np.ndarray, " E"], config: AugmentationConfig
) -> tuple[Float[np.ndarray, " A"], Float[np.ndarray, " A"]]:
    """Smallest and largest target return at each target cost.

    Args:
        frontier: R(C) at the target costs, [A].
        returns: Returns of the episodes, [E].
        config: Bounds above the front.

    Returns:
        (smallest, largest), each [A]; the smallest never exceeds the largest.
    """
    low = frontier + config.least_rise
    if config.most_return is None:
        return low, low + config.target_rise * np.abs(returns).max()
    return low, np.maximum(low, config.most_return)


def kept_order(
    returns: Float[np.ndarray, " E"],
    costs: Float[np.ndarray, " E"],
    config: AugmentationConfig,
    rng: np.random.Generator,
) -> Int[np.ndarray, " k"]:
    """Episodes of well-filled bins of cost and return, bin after bin in the order of their first episodes.

    Args:
        returns: Returns of the E episodes, [E].
        costs: Costs of the episodes, [E].
        config: `fewest_in_bin` is the number up to which a bin is left out.
        rng: Draws `MOST_IN_BIN` episodes of a fuller bin.

    Returns:
        Numbers of the kept episodes, [k].
    """
    edges = [
        np.linspace(values.min(), values.max(), bins + 1)
        for values, bins in ((costs, COST_BINS), (returns, RETURN_BINS))
    ]
    places = zip(np.digitize(costs, edges[0]), np.digitize(returns, edges[1]), strict=True)
    bins: dict[tuple[int, int], list[int]] = {}
    for episode, place in enumerate(places):
        bins.setdefault((int(place[0]), int(place[1])), []).append(episode)
    kept: list[int] = []
    for episodes in bins.values():
        if len(episodes) > config.fewest_in_bin:
            few = len(episodes) <= MOST_IN_BIN
            kept += episodes if few else sorted(rng.choice(episodes, MOST_IN_BIN, replace=False).tolist())
    return np.asarray(kept, int)


def fitted_frontier(points: Float[np.ndarray, "k 2"], degree: int) -> Float[np.ndarray, " d"]:
    """Polynomial R(C) through the Pareto set of costs and returns.

    Args:
        points: (cost, return) of episodes, [k, 2].
        degree: Degree of the polynomial; lowered where the Pareto set has fewer costs.

    Returns:
        Coefficients, the highest power first, [d].
    """
    costs, returns = points.T
    dominated = [
        bool(((costs <= cost) & (returns >= value) & ((costs < cost) | (returns > value))).any())
        for cost, value in points
    ]
    pareto = points[~np.asarray(dominated)]
    return np.polyfit(pareto[:, 0], pareto[:, 1], min(degree, len(np.unique(pareto[:, 0])) - 1))


def assigned(
    points: Float[np.ndarray, "k 2"], targets: Float[np.ndarray, "A 2"], config: AugmentationConfig, choose: Choose
) -> Int[np.ndarray, " A"]:
    """An episode for each target: the nearest that costs no more.

    Where the nearest is already taken, one is drawn among those whose return is at most `largest_decrease` below it,
    near ones with higher probability.

    Args:
        points: (cost, return) of k episodes, [k, 2].
        targets: Target (cost, return), [A, 2].
        config: `largest_decrease` and `in_order`.
        choose: Draws an index by probabilities.

    Returns:
        Numbers of the episodes, [A].
    """
    taken: list[int] = []
    found, groups = [], []
    for target in targets:
        distance = np.sqrt(((points - target) ** 2).sum(-1))
        allowed = points[:, 0] <= target[0]
        nearest = int(np.where(allowed, distance, np.inf).argmin())
        if nearest in taken:
            near = np.flatnonzero(allowed & (points[:, 1] >= points[nearest, 1] - config.largest_decrease))
            weights = 1.0 / (distance[near] + 1.0)
            found.append(int(near[choose(weights / weights.sum())]))
        else:
            found.append(nearest)
            taken.append(nearest)
        groups.append(taken.index(nearest))
    order = range(len(found)) if config.in_order else np.argsort(groups, kind="stable")
    return np.asarray(found, int)[list(order)]
