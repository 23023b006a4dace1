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
from surefoot.errors import ConfigError
from surefoot.types import UNKNOWN_AHEAD, DataSpec, Transition

CONSTANT = 1e-7
"""A column whose standard deviation is at most this share of its largest size is constant but for rounding."""
ENOUGH_SAFE, FEWEST_VIOLATIONS = 0.005, 0.05
"""Share of the transitions in episodes without violation that suffices; share of the transitions, those of the episodes
with the fewest violations, that stand in for them elsewhere."""
LEVELS = 101
"""Of the quantiles that are kept."""
BLOCK = 8192
"""Rows that are computed at once: bounds memory, changes no number."""
BEYOND = 0.5
"""Widths of the data's range that an observation may lie beyond it before it is clipped."""


class ObservationScale(NamedTuple):
    """Mean and standard deviation of observations, each [obs]."""

    mean: Float[Array, " obs"]
    inverse: Float[Array, " obs"]
    """1 / standard deviation; 0 for a constant column."""
    low: Float[Array, " obs"]
    """Smallest standardized number."""
    high: Float[Array, " obs"]


class Scales(NamedTuple):
    """Everything measured on the data; None where the configuration asks for none of it."""

    observation: ObservationScale | None
    constraint: Float[Array, ""] | None
    """h is divided by it."""
    reward: Float[Array, ""] | None
    """Rewards are divided by it."""
    safe_quantiles: Float[Array, " levels"] | None
    """Of V_h (units of scaled h) over the logged states of episodes without violation, at levels 0, 0.01, ..., 1."""
    allowed_quantiles: Float[Array, " levels"] | None
    """The same over the calm states of episodes within the cost limit; None where margin_over is `safe`."""


def init_scales(spec: DataSpec, config: ScalingConfig, *, allowed: bool = False) -> Scales | None:
    """Scales that change nothing, with the shapes of measured ones."""
    if not config.before_training and not config.before_policy:
        return None
    zeros, ones = jnp.zeros(spec.observation_dim), jnp.ones(spec.observation_dim)
    return Scales(
        ObservationScale(zeros, ones, zeros - 1e6, zeros + 1e6) if config.observations else None,
        jnp.ones(()) if config.constraint else None,
        jnp.ones(()) if config.reward else None,
        jnp.zeros(LEVELS) if config.before_policy else None,
        jnp.zeros(LEVELS) if config.before_policy and allowed else None,
    )


def measure(scales: Scales, data: Transition) -> Scales:
    """Scales of observations, h and rewards over `data`, where `scales` has such parts."""
    return scales._replace(
        observation=None if scales.observation is None else observation_scale(data.observation),
        constraint=None if scales.constraint is None else constraint_scale(data.constraint),
        reward=None if scales.reward is None else reward_scale(data.reward),
    )


def observation_scale(observation: Float[Array, "n obs"]) -> ObservationScale:
    """Mean, standard deviation and range of every column."""
    first = observation[0]
    shifted = observation - first[None]  # a mean far from 0 takes no digits of what varies
    offset = shifted.mean(0)
    deviation = (shifted - offset[None]).std(0)
    varies = deviation > CONSTANT * jnp.abs(observation).max(0)
    inverse = jnp.where(varies, 1.0 / jnp.where(varies, deviation, 1.0), 0.0)
    low, high = (shifted.min(0) - offset) * inverse, (shifted.max(0) - offset) * inverse
    room = BEYOND * (high - low)
    return ObservationScale(first + offset, inverse, low - room, high + room)


def constraint_scale(h: Float[Array, " n"]) -> Float[Array, ""]:
    """The median size of h, its usual distance from the border; the mean size where half of it is 0."""
    size = jnp.abs(h)
    median, mean = jnp.median(size), size.mean()
    scale = jnp.where(median > 0, median, mean)
    return jnp.where(scale > 0, scale, 1.0)


def reward_scale(reward: Float[Array, " n"]) -> Float[Array, ""]:
    """The standard deviation; 1 where rewards are constant."""
    deviation = reward.std()
    return jnp.where(deviation > CONSTANT * jnp.abs(reward).max(), deviation, 1.0)


def standardized(scales: Scales | None, observation: Float[Array, "n obs"]) -> Float[Array, "n obs"]:
    """Observations as the networks see them."""
    if scales is None or scales.observation is None:
        return observation
    mean, inverse, low, high = (values[None] for values in scales.observation)
    return jnp.clip((observation - mean) * inverse, low, high)


def scaled_batch(scales: Scales | None, batch: Transition) -> Transition:
    """A batch as the losses see it: observations standardized, h and rewards divided by their scales."""
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
    """The factor from scaled values to the units of h."""
    return 1.0 if scales is None or scales.constraint is None else scales.constraint


def region_quantiles(
    v_h: Float[Array, " n"], data: Transition, *, cost_limit: float
) -> tuple[Float[Array, " levels"], Float[Array, " levels"]]:
    """Quantiles of V_h over the states of episodes without violation, and over the calm states of those within the
    cost limit.

    Where fewer than `ENOUGH_SAFE` of the transitions are of such episodes, those without violation of the
    `FEWEST_VIOLATIONS` with the fewest stand for them.
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
    """The margin that this share of the states of `quantiles` keeps in V_h, but at least `least`; that where the share
    is 0. Raises `ConfigError` where no quantiles were measured."""
    if share == 0:
        return least
    if quantiles is None:
        raise ConfigError(
            f"quantile: expected 0 for values whose quantiles over safe episodes were not measured in training, "
            f"found {share:g}."
        )
    return jnp.maximum(-quantiles[math.ceil(share * (LEVELS - 1) - 1e-9)], least)


def mean_and_spread(values: Float[Array, " b"], rows: Bool[Array, " b"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and standard deviation over the marked rows; 0 and 1 where fewer than two are marked, or all are equal."""
    marked = rows.astype(jnp.float32)
    count = marked.sum()
    mean = (marked * values).sum() / jnp.maximum(count, 1.0)
    variance = (marked * (values - mean) ** 2).sum() / jnp.maximum(count, 1.0)
    some = (count > 1) & (variance > 0)
    return jnp.where(some, mean, 0.0), jnp.where(some, jnp.sqrt(variance), 1.0)


def in_blocks(function: Any, rows: Transition) -> Any:
    """`function` over equal blocks of rows, the last one padded with copies of the first row; results [N]."""
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
    """Standard deviations of the reward advantage inside the region and of the constraint's outside it.

    Temperatures divided by them mean the same on every task: with rewards in metres exp(5 A) is nearly 1 everywhere.
    """
    q_r, v_r, q_h, v_h = estimates
    inside = v_h <= -margin
    _, reward_spread = mean_and_spread(q_r - v_r, inside & (q_h <= -margin))
    _, constraint_spread = mean_and_spread(v_h - q_h if relief is None else relief, ~inside)
    return reward_spread, constraint_spread
