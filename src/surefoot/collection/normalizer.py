"""Running mean and variance of observations, merged batch by batch (Chan, Golub and LeVeque, 1979)."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

_LARGEST = 10.0
"""Standard deviations at which a normalized number is clipped, because a column may hardly have varied so far."""


class Normalizer(NamedTuple):
    """Number of observations, their means and summed squared deviations."""

    seen: Float[Array, ""]
    mean: Float[Array, " obs"]
    squares: Float[Array, " obs"]


def normalizer_init(observation_dim: int) -> Normalizer:
    """Normalizer before the first observation: the identity."""
    return Normalizer(jnp.zeros(()), jnp.zeros(observation_dim), jnp.zeros(observation_dim))


def normalizer_update(
    state: Normalizer, observation: Float[Array, "T n obs"], alive: Float[Array, "T n"]
) -> Normalizer:
    """Add observations to the statistics.

    Args:
        state: Statistics so far.
        observation: Observations, [T, n, obs].
        alive: 1 where a step counts, else 0, [T, n].

    Returns:
        The statistics.
    """
    rows = observation.reshape(-1, observation.shape[-1])
    weights = alive.reshape(-1)[:, None]
    count = weights.sum()
    mean = (rows * weights).sum(0) / jnp.maximum(count, 1.0)
    squares = (weights * (rows - mean[None]) ** 2).sum(0)
    total = state.seen + count
    change = mean - state.mean
    share = count / jnp.maximum(total, 1.0)
    return Normalizer(total, state.mean + change * share, state.squares + squares + change**2 * state.seen * share)


def normalize(state: Normalizer, observation: Float[Array, "*b obs"]) -> Float[Array, "*b obs"]:
    """Observations with zero mean and unit variance, clipped at ten standard deviations.

    Args:
        state: Statistics.
        observation: Observations, [*b, obs].

    Returns:
        Normalized observations, [*b, obs].
    """
    variance = jnp.where(state.seen > 0, state.squares / jnp.maximum(state.seen, 1.0), 1.0)
    # 1e-6: a constant of the simulator keeps its distance from its mean, 0, and is not divided by nothing.
    scaled = (observation - jnp.broadcast_to(state.mean, observation.shape)) / jnp.sqrt(
        jnp.broadcast_to(variance + 1e-6, observation.shape)
    )
    return jnp.clip(scaled, -_LARGEST, _LARGEST)
