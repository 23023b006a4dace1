"""Conversion of logged data to transitions for algorithms: scales, clips, and the constraint signal h."""

from typing import cast

import numpy as np
from jaxtyping import Array, Float

from surefoot.data.dataset import Dataset
from surefoot.tasks import Task
from surefoot.types import UNKNOWN_AHEAD, Transition

ACTION_MARGIN = 1e-5
"""Actions are clipped to [-1 + margin, 1 - margin], so that inverse squashing stays finite."""
SAFE_SIGNAL = -1.0
"""h of a step without cost where the data do not log h."""


def reward_scale_of(task: Task) -> float:
    """Reward scale horizon / (return_max - return_min): reference returns then span 1 per step (FISOR, section 6)."""
    return task.horizon / (task.return_max - task.return_min)


def to_transitions(
    dataset: Dataset, *, reward_scale: float, violation_scale: float = 25.0, constraint_discount: float = 1.0
) -> Transition:
    """Transitions of a dataset as algorithms learn from them, in NumPy.

    h is the logged constraint signal. Where none is logged, it is `violation_scale` for a step with cost and -1 for one
    without.

    Args:
        dataset: N logged transitions.
        reward_scale: Factor of the rewards. Missing rewards are 0, which nothing may read.
        violation_scale: h of a step with cost where no signal is logged; > 0.
        constraint_discount: Discount of `constraint_ahead` in cut episodes without a logged signal, where h is at most
            `violation_scale`; 1: unknown there.

    Returns:
        float32 arrays [N, ...]; rows of an unfinished episode have `UNKNOWN_AHEAD` in place of sums over the episode.
    """
    h, worst = dataset.constraints, UNKNOWN_AHEAD
    if h is None:
        worst = violation_scale if constraint_discount < 1.0 else UNKNOWN_AHEAD
        h = np.where(dataset.costs > 0, violation_scale, SAFE_SIGNAL)
    # h of a reset state is not logged. An episode's first row takes its own h instead, which is neutral in a maximum
    # of `constraint_before` and `constraint`; taking the previous episode's last would blame the wrong state.
    ended = dataset.terminated | dataset.truncated
    is_first = np.concatenate([[True], ended[:-1]])[: len(ended)]
    before = np.where(is_first, h, np.roll(h, 1))
    return Transition(
        **vectors(dataset.observations, dataset.actions, dataset.next_observations),
        reward=_float32(0.0 * dataset.costs if dataset.rewards is None else dataset.rewards * reward_scale),
        cost=_float32(dataset.costs),
        terminated=_float32(dataset.terminated),
        truncated=_float32(dataset.truncated),
        constraint=_float32(h),
        constraint_before=_float32(before),
        constraint_ahead=_float32(_logged_way_on(h, dataset, worst=worst, discount=constraint_discount)),
        episode_violations=_float32(_of_each_row(dataset, dataset.violating_steps)),
        episode_cost=_float32(_of_each_row(dataset, dataset.cost_returns)),
    )


def vectors(
    observations: Float[np.ndarray, "N obs"], actions: Float[np.ndarray, "N act"],
    next_observations: Float[np.ndarray, "N obs"],
) -> dict[str, Array]:  # fmt: skip
    """Vector fields of a `Transition`, float32.

    Args:
        observations: [N, obs].
        actions: [N, act], which are clipped by `ACTION_MARGIN`.
        next_observations: [N, obs].

    Returns:
        Arrays by field name.
    """
    limit = 1.0 - ACTION_MARGIN
    return {
        "observation": _float32(observations),
        "action": _float32(np.clip(actions, -limit, limit)),
        "next_observation": _float32(next_observations),
    }


def _of_each_row(dataset: Dataset, episodes: np.ndarray) -> Float[np.ndarray, " N"]:
    """Value of each row's episode among `episodes` [E]; `UNKNOWN_AHEAD` for rows of an unfinished one."""
    values = np.full(len(dataset), UNKNOWN_AHEAD)
    complete = np.repeat(episodes, dataset.lengths)
    values[: len(complete)] = complete
    return values


def _logged_way_on(
    h: Float[np.ndarray, " N"], dataset: Dataset, *, worst: float, discount: float
) -> Float[np.ndarray, " N"]:
    """Upper bound of the worst h to come: the largest h of the episode from each row on, where it terminated.

    Where it was cut, it is the discounted value (1 - gamma) h + gamma max(h, v') along the logged steps, with `worst`
    after the cut; `UNKNOWN_AHEAD` where no worst is known.
    """
    ahead = np.full(len(dataset), UNKNOWN_AHEAD, np.float32)
    for first, after in zip(dataset.episode_starts, dataset.episode_ends, strict=True):
        if dataset.terminated[after - 1]:
            ahead[first:after] = np.maximum.accumulate(h[first:after][::-1])[::-1]
        elif worst < UNKNOWN_AHEAD:
            value = worst
            for row in range(after - 1, first - 1, -1):
                value = (1.0 - discount) * h[row] + discount * max(h[row], value)
                ahead[row] = value
    return ahead


def _float32(values: np.ndarray) -> Array:
    # The record is declared with JAX arrays; NumPy ones serve as its leaves until the caller moves them to a device.
    return cast(Array, np.asarray(values, np.float32))
