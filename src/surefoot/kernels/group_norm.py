"""Group normalization over time and the channels of a group, with its own gradient."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_EPSILON = 1e-5


def _group_mean(x: Float[Array, "B L c"], groups: int) -> Float[Array, "B 1 c"]:
    """The mean over time and the channels of a group, at every channel. The sum over channels is a matrix product:
    XLA's CPU reductions over a part of the last axis are slow."""
    size = x.shape[-1] // groups
    share = np.kron(np.eye(groups), np.full((size, size), 1.0 / (size * x.shape[1])))
    return (x.sum(1) @ jnp.asarray(share, x.dtype))[:, None]


def normalized(x: Array, mean: Callable[[Array], Array]) -> tuple[Array, Array]:
    """x with mean 0 and variance 1, and the inverse of its standard deviation.

    Args:
        x: Numbers.
        mean: Mean over each group, in a shape that broadcasts to x.

    Returns:
        (normalized x, 1 / standard deviation).
    """
    centered = x - mean(x)
    inverse = jax.lax.rsqrt(mean(centered * centered) + _EPSILON)
    return centered * inverse, inverse


def norm_gradient(g: Array, normal: Array, inverse: Array, mean: Callable[[Array], Array]) -> Array:
    """Gradient with respect to x, from the gradient with respect to `normalized(x, mean)`.

    Args:
        g: Gradient with respect to the normalized x.
        normal: Normalized x.
        inverse: 1 / standard deviation.
        mean: Mean over each group.

    Returns:
        The gradient, in the shape of x.
    """
    return inverse * (g - mean(g) - normal * mean(g * normal))


@jax.custom_vjp
def group_norm(x: Float[Array, "B L c"], scale: Float[Array, " c"], bias: Float[Array, " c"], like: Float[Array, " g"]):
    """Group normalization over time and the channels of a group.

    Args:
        x: Features over L steps, [B, L, c].
        scale: Scale of each channel, [c].
        bias: Shift of each channel, [c].
        like: An array of as many numbers as there are groups, [g]; its values are not read.

    Returns:
        Features, [B, L, c].
    """
    return _group_norm_forward(x, scale, bias, like)[0]


def _group_norm_forward(x, scale, bias, like):
    groups = like.shape[0]
    normal, inverse = normalized(x, partial(_group_mean, groups=groups))
    return normal * scale[None, None] + bias[None, None], (normal, inverse, scale, like)


def _group_norm_backward(saved, g):
    normal, inverse, scale, like = saved
    groups = like.shape[0]
    scaled = g * scale[None, None]
    d_x = norm_gradient(scaled, normal, inverse, partial(_group_mean, groups=groups))
    rows = (g * normal).reshape(-1, g.shape[-1])
    d_scale = (jnp.ones((1, rows.shape[0]), g.dtype) @ rows)[0]
    return d_x, d_scale, g.sum((0, 1)), jnp.zeros_like(like)


group_norm.defvjp(_group_norm_forward, _group_norm_backward)
