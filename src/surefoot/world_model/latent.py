"""The records of the world model."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


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


class Frames(NamedTuple):
    """A batch of windows as the world model reads them; arrival-indexed.

    Step t holds the observation o_t, the action chosen at o_t, and reward and cost received on arriving at o_t. Steps
    with `is_first` begin an episode: nothing before them counts, and their reward and cost are 0.
    """

    observation: Array
    """uint8 [B, T, height, width, channels] or float32 [B, T, obs]."""
    action: Float[Array, "b t act"]
    """0 in an episode's last step, where none was chosen."""
    reward: Float[Array, "b t"]
    cost: Float[Array, "b t"]
    is_first: Bool[Array, "b t"]
    terminated: Bool[Array, "b t"]
    """Whether the episode ended on arriving here, so that nothing follows."""


def stop(tree: Latent) -> Latent:
    """The same numbers, without a gradient."""
    return jax.tree.map(jax.lax.stop_gradient, tree)


def flatten(latent: Latent) -> Latent:
    """[B, T, ...] -> [B * T, ...]."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), latent)
