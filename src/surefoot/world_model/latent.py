"""Records of the world model: states, posterior states of windows, imagined rollouts."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Latent(NamedTuple):
    """Latent state of the model."""

    deterministic: Float[Array, "*b deter"]
    """h, the recurrent state."""
    random: Float[Array, "*b random"]
    """s, one-hot categorical variables, flat."""

    @property
    def features(self) -> Float[Array, "*b features"]:
        """z = [h, s]."""
        return jnp.concatenate([self.deterministic, self.random], -1)


class Observed(NamedTuple):
    """Posterior states of windows, B rows of T steps."""

    latent: Latent
    """Posterior states, arrays [B, T, ...]."""
    posterior: Float[Array, "b t groups classes"]
    """log q(s_t | h_t, o_t)."""
    prior: Float[Array, "b t groups classes"]
    """log p(s_t | h_t)."""


class Imagined(NamedTuple):
    """Imagined rollouts of H steps from N states."""

    latent: Latent
    """States, arrays [H + 1, N, ...], the start first."""
    action: Float[Array, "h n act"]
    """Action in each state but the last."""
