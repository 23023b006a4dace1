"""The records of the world model."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Latent(NamedTuple):
    """A state of the model."""

    deterministic: Float[Array, "*b deter"]
    """h, the recurrent state."""
    random: Float[Array, "*b random"]
    """s, one-hot categorical variables, flat."""

    @property
    def features(self) -> Float[Array, "*b features"]:
        """z = [h, s]."""
        return jnp.concatenate([self.deterministic, self.random], -1)


class Observed(NamedTuple):
    """What `observe` makes of a window of B rows and T steps."""

    latent: Latent
    """Posterior states [B, T, ...]."""
    posterior: Float[Array, "b t groups classes"]
    """log q(s_t | h_t, o_t)."""
    prior: Float[Array, "b t groups classes"]
    """log p(s_t | h_t)."""


class Imagined(NamedTuple):
    """What `imagine` makes from N states: H actions, and the H + 1 states before and after them."""

    latent: Latent
    """States [H + 1, N, ...], the first the one started from."""
    action: Float[Array, "h n act"]
    """Action chosen in each state but the last."""
