"""Numbers as distributions over fixed bins: two-hot labels in symlog space (DreamerV3, 2023, equations 9 and 10).

The loss has gradients of one size whether the number is 0.01 or 1,000, so one learning rate serves all tasks.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SYMLOG_LIMIT = 20.0
"""The bins lie evenly between minus and plus this, in symlog space."""


def symlog(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """sign(x) log(1 + |x|)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """sign(x) (exp|x| - 1), the inverse of `symlog`."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def bins(count: int) -> Float[np.ndarray, " count"]:
    """Positions of the bins in symlog space [count]. `count` is odd, so that one bin is at 0."""
    return np.linspace(-SYMLOG_LIMIT, SYMLOG_LIMIT, count, dtype=np.float32)


def two_hot(value: Float[Array, "*n"], count: int) -> Float[Array, "*n count"]:
    """Two-hot label: weights of the two bins nearest to symlog(value), which add up to 1.

    Args:
        value: Numbers [*n].
        count: Number of bins.

    Returns:
        Weights [*n, count].
    """
    step = 2.0 * SYMLOG_LIMIT / (count - 1)
    place = (jnp.clip(symlog(value), -SYMLOG_LIMIT, SYMLOG_LIMIT) + SYMLOG_LIMIT) / step
    # A tent over the bins: 1 - distance in bins, 0 from the next but one on. No gather, so no scatter in a gradient.
    distance = jnp.abs(place[..., None] - jnp.arange(count, dtype=jnp.float32).reshape((1,) * value.ndim + (count,)))
    return jnp.maximum(0.0, 1.0 - distance)


def two_hot_mean(logits: Float[Array, "*n count"]) -> Float[Array, "*n"]:
    """Number that logits [*n, count] predict: symexp of the mean bin."""
    probabilities = jax.nn.softmax(logits.astype(jnp.float32))
    return symexp(probabilities @ jnp.asarray(bins(logits.shape[-1])))


def two_hot_loss(logits: Float[Array, "*n count"], value: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Cross-entropy of logits with the label `two_hot(value)`.

    Args:
        logits: Unnormalized log-probabilities of the bins [*n, count].
        value: Numbers to predict [*n].

    Returns:
        Losses [*n] in nats.
    """
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -(two_hot(value, logits.shape[-1]) * log_probabilities).sum(-1)
