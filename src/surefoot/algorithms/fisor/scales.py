"""Scales of observations, h and rewards, and quantiles of V_h over safe episodes: measured on the data, so that no
hyper-parameter depends on units.

Pure functions; the results are kept in the state.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from surefoot.algorithms.fisor.groups import ScalingConfig
from surefoot.algorithms.standardize import (
    ObservationScale,
    observation_scale,
    reward_scale,
    standardized_by,
    unit_observation_scale,
)
from surefoot.errors import ConfigError
from surefoot.types import UNKNOWN_AHEAD, DataSpec, Transition

ENOUGH_SAFE, FEWEST_VIOLATIONS = 0.005, 0.05
"""Share of the transitions in episodes without violation that suffices; share of the transitions, those of the episodes
with the fewest violations, that stand in for them elsewhere."""
LEVELS = 101
"""Of the quantiles that are kept."""
BLOCK = 8192
"""Rows that are computed at once: bounds memory, changes no number."""


class Scales(NamedTuple):
    """Scales measured on the data; a part is None where the configuration does not ask for it."""

    observation: ObservationScale | None
    constraint: Float[Array, ""] | None
    """h is divided by it."""
    reward: Float[Array, ""] | None
    """Rewards are divided by it."""
    safe_quantiles: Float[Array, " levels"] | None
    """Quantiles of V_h (units of scaled h) over logged states of episodes without violation, at levels 0, 0.01,
    ..., 1."""
    allowed_quantiles: Float[Array, " levels"] | None
    """Quantiles of V_h over non-violating states of episodes within the cost limit; None where margin_over is
    `safe`."""


def init_scales(spec: DataSpec, config: ScalingConfig, *, allowed: bool = False) -> Scales | None:
    """Scales that change nothing, with the shapes of measured ones.

    Args:
        spec: Shapes of the data.
        config: What is to be measured.
        allowed: Also keep quantiles over episodes within the cost limit.

    Returns:
        Scales, or None where nothing is to be measured.
    """
    if not config.before_training and not config.before_policy:
        return None
    return Scales(
        unit_observation_scale(spec.observation_dim) if config.observations else None,
        jnp.ones(()) if config.constraint else None,
        jnp.ones(()) if config.reward else None,
        jnp.zeros(LEVELS) if config.before_policy else None,
        jnp.zeros(LEVELS) if config.before_policy and allowed else None,
    )


def measure(scales: Scales, data: Transition) -> Scales:
    """Measure the scales of observations, h and rewards.

    Args:
        scales: Earlier scales; only parts that are not None are measured.
        data: N transitions, unscaled.

    Returns:
        The measured scales.
    """
    return scales._replace(
        observation=None if scales.observation is None else observation_scale(data.observation),
        constraint=None if scales.constraint is None else constraint_scale(data.constraint),
        reward=None if scales.reward is None else reward_scale(data.reward),
    )


def constraint_scale(h: Float[Array, " n"]) -> Float[Array, ""]:
    """Unit of h: the median of |h|, its usual distance from the border.

    Args:
        h: Constraint signals, [n].

    Returns:
        A positive scalar; the mean of |h| where the median is 0, and 1 where h is 0 everywhere.
    """
    size = jnp.abs(h)
    median, mean = jnp.median(size), size.mean()
    scale = jnp.where(median > 0, median, mean)
    return jnp.where(scale > 0, scale, 1.0)


def standardized(scales: Scales | None, observation: Float[Array, "n obs"]) -> Float[Array, "n obs"]:
    """Observations as the networks read them: standardized and clipped to the widened range of the data.

    Args:
        scales: Measured scales, or None for the identity.
        observation: Raw observations, [n, obs].

    Returns:
        Standardized observations, [n, obs].
    """
    return standardized_by(None if scales is None else scales.observation, observation)


def scaled_batch(scales: Scales | None, batch: Transition) -> Transition:
    """A batch as the losses read it: observations standardized, h and rewards divided by their scales.

    Args:
        scales: Measured scales, or None for the identity.
        batch: Transitions, unscaled.

    Returns:
        Scaled transitions.
    """
    if scales is None:
        return batch
    batch = batch._replace(
        observation=standardized(scales, batch.observation),
        next_observation=standardized(scales, batch.next_observation),
    )
    if scales.reward is not None:
        batch = batch._replace(reward=batch.reward / scales.reward)
    if scales.constraint is None:
        return batch
    ahead = batch.constraint_ahead
    return batch._replace(
        constraint=batch.constraint / scales.constraint,
        constraint_before=batch.constraint_before / scales.constraint,
        constraint_ahead=jnp.where(ahead < UNKNOWN_AHEAD, ahead / scales.constraint, ahead),
    )


def constraint_unit(scales: Scales | None) -> float | Float[Array, ""]:
    """Factor from scaled values to units of h; 1 without scales."""
    return 1.0 if scales is None or scales.constraint is None else scales.constraint


def region_quantiles(
    v_h: Float[Array, " n"], data: Transition, *, cost_limit: float
) -> tuple[Float[Array, " levels"], Float[Array, " levels"]]:
    """Quantiles of V_h over logged states of safe and of allowed episodes.

    Where fewer than `ENOUGH_SAFE` of the transitions belong to such episodes, the non-violating states of the
    `FEWEST_VIOLATIONS` with the fewest violations stand in for them.

    Args:
        v_h: V_h of the states that the transitions leave, [n], in units of scaled h.
        data: n transitions.
        cost_limit: Largest undiscounted cost of an allowed episode.

    Returns:
        (over episodes without violation, over non-violating states of episodes within the limit), each [levels].
    """
    violations, calm = data.episode_violations, jnp.maximum(data.constraint, data.constraint_before) <= 0
    safe = violations == 0
    few = (violations <= jnp.quantile(violations, FEWEST_VIOLATIONS)) & (data.constraint <= 0)
    instead = few | ~few.any()
    allowed = (safe | (data.episode_cost <= cost_limit)) & calm

    def among(rows: Bool[Array, " n"]) -> Float[Array, " levels"]:
        return _quantiles(v_h, jnp.where(rows.mean() >= ENOUGH_SAFE, rows, instead))

    return among(safe), among(allowed)


def _quantiles(v_h: Float[Array, " n"], rows: Bool[Array, " n"]) -> Float[Array, " levels"]:
    """Quantiles over the marked rows."""
    places = jnp.ceil(jnp.linspace(0.0, 1.0, LEVELS) * rows.sum()).astype(jnp.int32) - 1
    return jnp.sort(jnp.where(rows, v_h, jnp.inf))[jnp.maximum(places, 0)]


def margin_of(quantiles: Float[Array, " levels"] | None, *, share: float, least: float) -> float | Float[Array, ""]:
    """The margin in V_h that a share of the states of `quantiles` keeps.

    Args:
        quantiles: Quantiles of V_h at levels 0, 0.01, ..., 1, or None where they were not measured.
        share: Share in [0, 1]; 0 returns `least`.
        least: Smallest margin.

    Returns:
        A scalar, in units of the quantiles.

    Raises:
        ConfigError: `share` is above 0 and there are no quantiles.
    """
    if share == 0:
        return least
    if quantiles is None:
        raise ConfigError(
            f"quantile: expected 0 for values whose quantiles over safe episodes were not measured in training, "
            f"found {share:g}."
        )
    return jnp.maximum(-quantiles[math.ceil(share * (LEVELS - 1) - 1e-9)], least)


def mean_and_spread(values: Float[Array, " b"], rows: Bool[Array, " b"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and standard deviation over marked rows.

    Args:
        values: Numbers, [b].
        rows: Mask, [b].

    Returns:
        Two scalars; 0 and 1 where fewer than two rows are marked, or where all are equal.
    """
    marked = rows.astype(jnp.float32)
    count = marked.sum()
    mean = (marked * values).sum() / jnp.maximum(count, 1.0)
    variance = (marked * (values - mean) ** 2).sum() / jnp.maximum(count, 1.0)
    some = (count > 1) & (variance > 0)
    return jnp.where(some, mean, 0.0), jnp.where(some, jnp.sqrt(variance), 1.0)


def in_blocks(function: Any, rows: Transition) -> Any:
    """Apply a function to equal blocks of rows, which bounds memory.

    Args:
        function: From a block of transitions to a tree of arrays with an entry a row.
        rows: N transitions; copies of the first fill the last block.

    Returns:
        The function's results for all rows, [N].
    """
    count = rows.reward.shape[0]
    block = min(BLOCK, count)
    index = np.arange(-(-count // block) * block)
    index = np.where(index < count, index, 0).reshape(-1, block)
    results = jax.lax.map(lambda i: function(jax.tree.map(lambda values: values[i], rows)), jnp.asarray(index))
    return jax.tree.map(lambda values: values.reshape(-1)[:count], results)


def advantage_spreads(
    estimates: Sequence[Float[Array, " b"]],
    *,
    margin: float | Float[Array, ""] = 0.0,
    relief: Float[Array, " b"] | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Standard deviations of reward advantages inside the region and of constraint advantages outside it.

    Temperatures divided by them mean the same on every task: with rewards in meters exp(5 A) is nearly 1 everywhere.

    Args:
        estimates: (Q_r, V_r, Q_h, V_h), each [b].
        margin: Depth of the region V_h <= -margin.
        relief: Reliefs V_c - Q_c in place of V_h - Q_h, [b].

    Returns:
        Two positive scalars.
    """
    q_r, v_r, q_h, v_h = estimates
    inside = v_h <= -margin
    _, reward_spread = mean_and_spread(q_r - v_r, inside & (q_h <= -margin))
    _, constraint_spread = mean_and_spread(v_h - q_h if relief is None else relief, ~inside)
    return reward_spread, constraint_spread
