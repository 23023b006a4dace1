"""Groups of categorical variables: a share of uniform probability, samples with straight-through gradients, KL."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def mixed_log_probabilities(
    logits: Float[Array, "*b groups classes"], *, uniform: float
) -> Float[Array, "*b groups classes"]:
    """Log-probabilities of the mixture (1 - uniform) softmax(logits) + uniform / classes, in float32.

    No class is impossible, so that the KL divergence is bounded (DreamerV3, 2023, "unimix").

    Args:
        logits: Unnormalized log-probabilities [*b, groups, classes].
        uniform: Share of the uniform distribution, in [0, 1).

    Returns:
        Log-probabilities [*b, groups, classes].
    """
    probabilities = jax.nn.softmax(logits.astype(jnp.float32))
    return jnp.log((1.0 - uniform) * probabilities + uniform / logits.shape[-1])


def sample(
    log_probabilities: Float[Array, "*b groups classes"], gumbel: Float[Array, "*b groups classes"] | None
) -> Float[Array, "*b groups classes"]:
    """One-hot sample of each group with the straight-through gradient of the probabilities.

    Args:
        log_probabilities: Log-probabilities [*b, groups, classes].
        gumbel: Gumbel noise of the shape of `log_probabilities`; None: the most likely class.

    Returns:
        One-hot vectors [*b, groups, classes].
    """
    scores = log_probabilities if gumbel is None else log_probabilities + gumbel
    one_hot = jax.nn.one_hot(scores.argmax(-1), scores.shape[-1], dtype=jnp.float32)
    probabilities = jnp.exp(log_probabilities)
    return jax.lax.stop_gradient(one_hot - probabilities) + probabilities


def kl_divergence(
    left: Float[Array, "*b groups classes"], right: Float[Array, "*b groups classes"]
) -> Float[Array, "*b"]:
    """KL(left || right), summed over the groups, in nats.

    Args:
        left: Log-probabilities [*b, groups, classes].
        right: Log-probabilities [*b, groups, classes].

    Returns:
        Divergences [*b].
    """
    return (jnp.exp(left) * (left - right)).sum((-2, -1))
