"""Layer normalization whose gradient is fast on a CPU."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def _normalize(x: Float[Array, "*b n"], epsilon: float) -> tuple[Float[Array, "*b n"], Float[Array, "*b 1"]]:
    """(x - mean) / deviation over the last axis, and 1 / deviation."""
    centered = x - x.mean(-1, keepdims=True)
    inverse = jax.lax.rsqrt((centered * centered).mean(-1, keepdims=True) + epsilon)
    return centered * inverse, inverse


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(
    x: Float[Array, "rows n"], scale: Float[Array, " n"], bias: Float[Array, " n"], epsilon: float
) -> Float[Array, "rows n"]:
    """Rows with mean 0 and variance 1, then scaled and shifted.

    Args:
        x: Rows [rows, n].
        scale: Scale of each column [n].
        bias: Shift of each column [n].
        epsilon: Number added to the variance.

    Returns:
        Normalized rows [rows, n].
    """
    return _layer_norm_forward(x, scale, bias, epsilon)[0]


def _layer_norm_forward(x, scale, bias, epsilon):
    normal, inverse = _normalize(x, epsilon)
    return normal * scale[None] + bias[None], (normal, inverse, scale)


def _layer_norm_backward(epsilon, saved, g):
    """Gradient with sums of products as matrix products, because XLA's CPU reductions of a product of two arrays are
    slow."""
    del epsilon
    normal, inverse, scale = saved
    product = g * normal
    d_scale = (jnp.ones((1, g.shape[0]), g.dtype) @ product)[0]
    mean_g, mean_product = (part @ scale[:, None] / g.shape[-1] for part in (g, product))
    d_x = inverse * (g * scale[None] - mean_g - normal * mean_product)
    return d_x, d_scale, g.sum(0)


layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)
