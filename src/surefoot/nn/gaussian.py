"""Actors that give a normal distribution over actions (DreamerV3, 2023)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.nn.normed import NormedMLP

LEAST_DEVIATION, MOST_DEVIATION = 0.1, 1.0
"""Bounds of the standard deviation, in units of the action."""


class Gaussian(NamedTuple):
    """Independent normal distributions of the numbers of an action; not clipped at the action's bounds."""

    mean: Float[Array, "*b act"]
    deviation: Float[Array, "*b act"]

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*b act"]:
        """Reparametrized sample: its gradient passes through mean and deviation."""
        return self.mean + self.deviation * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def log_probability(self, action: Float[Array, "*b act"]) -> Float[Array, "*b"]:
        """Log-density [*b] of actions [*b, act], summed over the numbers of an action."""
        scaled = (action - self.mean) / self.deviation
        return (-0.5 * jnp.square(scaled) - jnp.log(self.deviation) - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Float[Array, "*b"]:
        """Entropy [*b] in nats, summed over the numbers of an action."""
        return (jnp.log(self.deviation) + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)


class GaussianActor(eqx.Module):
    """Actor Normal(tanh(mu), 0.1 + 0.9 sigmoid(x + 2)) on features."""

    network: NormedMLP

    @staticmethod
    def create(key: Key[Array, ""], size_in: int, hidden: Sequence[int], action_dim: int) -> "GaussianActor":
        """Actor with a network of layer-normalized hidden layers.

        Args:
            key: Random key.
            size_in: Numbers of a feature vector.
            hidden: Units of each hidden layer.
            action_dim: Numbers of an action.

        Returns:
            The actor.
        """
        return GaussianActor(NormedMLP.create(key, size_in, hidden, 2 * action_dim))

    def __call__(self, features: Float[Array, "*b in"]) -> Gaussian:
        mean, spread = jnp.split(self.network(features).astype(jnp.float32), 2, axis=-1)
        deviation = LEAST_DEVIATION + (MOST_DEVIATION - LEAST_DEVIATION) * jax.nn.sigmoid(spread + 2.0)
        return Gaussian(jnp.tanh(mean), deviation)
