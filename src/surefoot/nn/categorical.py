"""Groups of categorical variables: a share of uniform probability, samples with straight-through gradients, KL."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def mixed_log_probabilities(
    logits: Float[Array, "*b groups classes"], *, uniform: float
) -> Float[Array, "*b groups classes"]:
    """log((1 - uniform) softmax(logits) + uniform / classes), in float32: no class is ever impossible, so the KL is
    bounded."""
    probabilities = jax.nn.softmax(logits.astype(jnp.float32))
    return jnp.log((1.0 - uniform) * probabilities + uniform / logits.shape[-1])


def sample(
    log_probabilities: Float[Array, "*b groups classes"], gumbel: Float[Array, "*b groups classes"] | None
) -> Float[Array, "*b groups classes"]:
    """A one-hot draw from each group by Gumbel noise of the same shape; without noise the most likely class.

    The gradient is that of the probabilities (straight-through).
    """
    scores = log_probabilities if gumbel is None else log_probabilities + gumbel
    one_hot = jax.nn.one_hot(scores.argmax(-1), scores.shape[-1], dtype=jnp.float32)
    probabilities = jnp.exp(log_probabilities)
    return jax.lax.stop_gradient(one_hot - probabilities) + probabilities


def kl_divergence(
    left: Float[Array, "*b groups classes"], right: Float[Array, "*b groups classes"]
) -> Float[Array, "*b"]:
    """KL(left || right) of log-probabilities, summed over the groups, in nats."""
    return (jnp.exp(left) * (left - right)).sum((-2, -1))
