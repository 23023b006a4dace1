"""Training data of CDT: windows of episodes with return and cost to go, drawn by the cost of their episode."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from surefoot.algorithms.cdt.augment import AugmentationConfig, relabeled_episodes
from surefoot.algorithms.standardize import ObservationScale, observation_scale, standardized_by
from surefoot.data import Dataset, gather
from surefoot.data.windows import steps_left, steps_taken, sums_to_go
from surefoot.errors import ConfigError, DataError, option
from surefoot.ranges import Range, Ranged
from surefoot.tasks import Task

TARGET_COSTS = 65
"""Costs, evenly spaced over those of the data, for which the best return is known."""


@dataclass(frozen=True)
class DrawConfig(Ranged, part="sampling"):
    """Sampling weight of an episode of cost C. Windows start anywhere in it."""

    draw: Literal["linear", "inverse", "uniform"] = "linear"
    """linear: in proportion to max(0, reference - C). inverse: to 1 / (C + 10). uniform: all alike."""
    draw_reference: Annotated[float | None, Range("(0, inf)")] = None
    """The reference of `linear`, a sum of costs over an episode; by default a tenth above the data's largest, so that
    every episode is drawn."""


class Seen(NamedTuple):
    """Statistics of the data, kept in the training state; all float32."""

    cost_range: Float[Array, " 2"]
    """Smallest and largest sum of costs of an episode."""
    return_range: Float[Array, " 2"]
    best_return: Float[Array, " costs"]
    """Largest return of episodes that cost at most each of `TARGET_COSTS` costs; at least that of the cheapest
    episode."""
    largest_limit: Float[Array, ""]
    """Largest cost limit of the task; the data's largest episode cost where it has none."""
    scale: ObservationScale | None = None
    """Scale by which observations were standardized."""

    @staticmethod
    def none(scale: ObservationScale | None = None) -> "Seen":
        """Statistics of no data: every scale is 1."""
        return Seen(jnp.array([0.0, 1.0]), jnp.array([0.0, 1.0]), jnp.ones(TARGET_COSTS), jnp.ones(()), scale)


class StepTable(NamedTuple):
    """Steps of the data, one row each, episode after episode."""

    observation: Float[Array, "*B obs"]
    action: Float[Array, "*B act"]
    return_to_go: Float[Array, "*B"]
    """Rewards from here to the end of the episode."""
    cost_to_go: Float[Array, "*B"]
    cost: Float[Array, "*B"]
    time: Int[Array, "*B"]
    """Steps taken before in the episode."""


class SequenceBatch(NamedTuple):
    """Windows [B, K]; zeros after an episode's end, where `valid` is False."""

    steps: StepTable
    valid: Bool[Array, "B K"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SequenceData:
    """The data as CDT reads them: windows that start at any step of an episode."""

    steps: StepTable
    left: Int[Array, " N"]
    """Steps from each row to the end of its episode, itself included."""
    starts: Int[Array, " M"]
    """Rows that a window may start at: of the logged episodes, then of the relabeled ones."""
    shifts: Float[Array, "M 2"]
    """Added to the return and the cost to go of a window; 0 for logged episodes."""
    weights: Float[Array, " M"]
    """Sampling weight of each start."""
    statistics: Seen
    window: int = field(metadata={"static": True})

    @property
    def num_rows(self) -> int:
        """Number of window starts."""
        return self.starts.shape[0]

    def take(self, rows: Int[Array, " B"]) -> SequenceBatch:
        """The windows at these starts [B], with shifted targets."""
        steps, valid = gather(self.steps, self.left, self.starts[rows], length=self.window)
        shift = self.shifts[rows][:, None]
        reward, cost = (jnp.where(valid, shift[..., place], 0.0) for place in (0, 1))
        shifted = {"return_to_go": steps.return_to_go + reward, "cost_to_go": steps.cost_to_go + cost}
        return SequenceBatch(steps._replace(**shifted), valid)


def prepare_sequences(
    dataset: Dataset, task: Task, *, window: int, sampling: DrawConfig, augmentation: AugmentationConfig,
    standardize: bool,
) -> SequenceData:  # fmt: skip
    """Windows of a task's logged and relabeled episodes.

    Args:
        dataset: Logged episodes with rewards.
        task: Task of the data, for its largest cost limit.
        window: Steps K of a window.
        sampling: Sampling weights of episodes.
        augmentation: Relabeled episodes.
        standardize: Whether observations are standardized.

    Returns:
        The windows with weights and statistics.

    Raises:
        DataError: No episode is complete, or none could be drawn.
    """
    starts, lengths = dataset.episode_starts, dataset.lengths
    if not len(lengths):
        raise DataError(f"dataset of {dataset.task}: expected at least one complete episode, found none.")
    rewards = dataset.required_rewards
    to_go = [sums_to_go(values, dataset, discount=1.0) for values in (rewards, dataset.costs)]
    returns, costs = dataset.returns, dataset.cost_returns
    added = relabeled_episodes(returns, costs, augmentation)
    chosen = np.concatenate([np.arange(len(lengths)), added.episode])
    target_costs = np.concatenate([costs, added.cost])
    shifts = np.stack([added.episode_return - returns[added.episode], added.cost - costs[added.episode]], -1)
    shifts = np.concatenate([np.zeros((len(lengths), 2)), shifts])
    of_episode = episode_weights(target_costs, sampling)
    counts = lengths[chosen]
    rows = np.concatenate(
        [np.arange(first, first + count) for first, count in zip(starts[chosen], counts, strict=True)]
    )
    observation = _float32(dataset.observations)
    scale = observation_scale(observation) if standardize else None
    return SequenceData(
        steps=StepTable(
            observation=standardized_by(scale, observation),
            action=_float32(dataset.actions),
            return_to_go=_float32(to_go[0]),
            cost_to_go=_float32(to_go[1]),
            cost=_float32(dataset.costs),
            time=jnp.asarray(steps_taken(dataset)),
        ),
        left=jnp.asarray(steps_left(dataset)),
        starts=jnp.asarray(rows.astype(np.int32)),
        shifts=_float32(np.repeat(shifts, counts, axis=0)),
        weights=_float32(np.repeat(of_episode / counts, counts)),
        statistics=seen_of(returns, costs, task)._replace(scale=scale),
        window=window,
    )


def episode_weights(costs: Float[np.ndarray, " E"], config: DrawConfig) -> Float[np.ndarray, " E"]:
    """Sampling weights of episodes by their cost.

    Args:
        costs: Undiscounted costs of E episodes, [E].
        config: The rule.

    Returns:
        Weights that sum to 1, [E].

    Raises:
        DataError: Every weight would be 0.
    """
    if config.draw == "uniform":
        weights = np.ones(len(costs))
    elif config.draw == "inverse":
        weights = 1.0 / (costs + 10.0)
    else:
        reference = max(1.0, 1.1 * costs.max()) if config.draw_reference is None else config.draw_reference
        weights = np.maximum(reference - costs, 0.0)
        if not weights.any():
            raise DataError(
                f"costs: expected an episode that costs less than {option('draw_reference')} {reference:g}, found "
                f"{costs.min():g} at least."
            )
    return weights / weights.sum()


def seen_of(returns: Float[np.ndarray, " E"], costs: Float[np.ndarray, " E"], task: Task) -> Seen:
    """Statistics of the episodes.

    Args:
        returns: Undiscounted returns, [E].
        costs: Undiscounted costs, [E].
        task: Task with its cost limits.

    Returns:
        The statistics.
    """
    order = np.argsort(costs, kind="stable")
    best = np.maximum.accumulate(returns[order])
    grid = np.linspace(costs.min(), costs.max(), TARGET_COSTS)
    place = np.searchsorted(costs[order], grid, side="right") - 1
    limits = [*task.dsrl_cost_limits, *([] if task.cost_limit is None else [task.cost_limit])]
    largest = max(limits, default=0.0)
    return Seen(
        cost_range=_float32(np.array([costs.min(), costs.max()])),
        return_range=_float32(np.array([returns.min(), returns.max()])),
        best_return=_float32(best[np.maximum(place, 0)]),
        largest_limit=_float32(np.asarray(largest if largest > 0 else max(costs.max(), 1.0))),
    )


def target_returns(seen: Seen, budget: Float[Array, " n"]) -> Float[Array, " n"]:
    """Best return of the data within each budget.

    Args:
        seen: Statistics of the data.
        budget: Undiscounted costs of an episode, [n].

    Returns:
        Returns, [n].
    """
    low, high = seen.cost_range
    share = jnp.clip((budget - low) / jnp.maximum(high - low, 1e-6), 0.0, 1.0)
    place = jnp.floor(share * (TARGET_COSTS - 1)).astype(jnp.int32)  # what costs no more than the budget
    return seen.best_return[place]


def target_remarks(seen: Any, budgets: list[float], target_return: float | None) -> list[str]:
    """Remarks on targets that no episode of the data had.

    Args:
        seen: Statistics of one seed, as NumPy arrays.
        budgets: Undiscounted costs of an episode; inf is no limit.
        target_return: Target return, or None.

    Returns:
        A sentence for each such budget, and for a target return below the smallest of the data.

    Raises:
        ConfigError: `target_return` is above the largest return of the data.
    """
    check_target_return(seen, target_return)
    (low, high), worst = seen.cost_range, seen.return_range[0]
    found = [
        f"cost limit {budget:g}: expected one that episodes of the data had, {low:g} to {high:g}, found "
        f"{'none so cheap' if budget < low else 'none that costs so much'}; the policy is asked for what it never saw"
        for budget in budgets
        if np.isfinite(budget) and not low <= budget <= high
    ]
    if target_return is not None and target_return < worst:
        found.append(
            f"{option('target_return')}: expected at least {worst:g}, the smallest return of the data, found "
            f"{target_return:g}; the policy is asked for what it never saw"
        )
    return found


def check_target_return(seen: Any, target_return: float | None) -> None:
    """Refuse a target return that is better than all episodes of the data.

    Args:
        seen: Statistics of the data, of one seed.
        target_return: Return of an episode; None: no target.

    Raises:
        ConfigError: The target is above the largest return.
    """
    if target_return is not None and target_return > (best := float(seen.return_range[1])):
        raise ConfigError(
            f"{option('target_return')}: expected at most {best:g}, the largest return of the data, "
            f"found {target_return:g}."
        )


def _float32(values: np.ndarray) -> Array:
    return jnp.asarray(np.asarray(values, np.float32))
