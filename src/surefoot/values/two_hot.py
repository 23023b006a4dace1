"""Regression of two-hot critics: cross-entropy, and its expectile form."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.nn.two_hot import two_hot_loss, two_hot_mean


def asymmetric_loss(
    logits: Float[Array, "*b bins"], target: Float[Array, "*b"], *, expectile: float, lower: bool
) -> Float[Array, "*b"]:
    """Cross-entropy with weight `expectile` where the target lies above the prediction and 1 - `expectile` elsewhere;
    with `lower` the weights swap. Near 1 the prediction becomes a soft maximum (minimum) of the targets.

    The two-hot form of `expectile_loss` (FOSP, arXiv 2407.04942).
    """
    above = target > jax.lax.stop_gradient(two_hot_mean(logits))
    heavy = ~above if lower else above
    return jnp.where(heavy, expectile, 1.0 - expectile) * two_hot_loss(logits, target)


def masked_mean(values: Float[Array, "*b"], mask: Float[Array, "*b"]) -> Float[Array, ""]:
    """Mean where the mask is 1; 0 where it is 0 everywhere."""
    return (values * mask).sum() / jnp.maximum(mask.sum(), 1.0)
