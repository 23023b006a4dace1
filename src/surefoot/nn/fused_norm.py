"""Group normalisation and Mish in one CUDA kernel, forward and backward (Pallas, through Triton).

A plan of TREBI runs thousands of small layers one after the other; on a GPU each kernel takes some microseconds however
little it does. What XLA makes of a normalisation and an activation, four kernels and more, is one here.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from surefoot.nn.activations import mish

_WARPS = 4
_LARGEST_TILE = 8_192
"""Numbers of a sample that one program holds in its registers."""


def fits(x: Float[Array, "B L c"], groups: int) -> bool:
    """Whether the kernels take such arrays: Triton's tiles have powers of two."""
    length, size = x.shape[1], x.shape[2] // groups
    powers = all(number & (number - 1) == 0 for number in (length, size, groups))
    return powers and x.dtype == jnp.float32 and length * x.shape[2] <= _LARGEST_TILE


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def norm_mish(
    x: Float[Array, "B L c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    groups: int,
    epsilon: float,
    interpret: bool = False,
) -> Float[Array, "B L c"]:
    """mish(scale * (x - mean) / sqrt(variance + epsilon) + bias), moments over time and the channels of a group.

    `interpret` runs the kernel's operations one by one, on any device, for tests.
    """
    return _forward(x, scale, bias, groups, epsilon, interpret)[0]


def _forward(x, scale, bias, groups, epsilon, interpret):
    grouped, scale_rows, bias_rows = _grouped(groups, x, scale, bias)
    sample, row = _blocks(grouped.shape)
    out = pl.pallas_call(
        partial(_forward_kernel, epsilon=epsilon),
        out_shape=jax.ShapeDtypeStruct(grouped.shape, x.dtype),
        grid=(x.shape[0],),
        in_specs=[sample, row, row],
        out_specs=sample,
        compiler_params=triton.CompilerParams(num_warps=_WARPS, num_stages=1),
        interpret=interpret,
        name="norm_mish",
    )(grouped, scale_rows, bias_rows)
    return out.reshape(x.shape), (x, scale, bias)


def _backward(groups, epsilon, interpret, saved, g):
    x, scale, bias = saved
    grouped, scale_rows, bias_rows = _grouped(groups, x, scale, bias)
    sample, row = _blocks(grouped.shape)
    batch, size = x.shape[0], grouped.shape[-1]
    share = pl.BlockSpec((None, groups, size), lambda b: (b, 0, 0))
    shares = jax.ShapeDtypeStruct((batch, groups, size), x.dtype)
    d_x, d_scale, d_bias = pl.pallas_call(
        partial(_backward_kernel, epsilon=epsilon),
        out_shape=[jax.ShapeDtypeStruct(grouped.shape, x.dtype), shares, shares],
        grid=(batch,),
        in_specs=[sample, row, row, sample],
        out_specs=[sample, share, share],
        compiler_params=triton.CompilerParams(num_warps=_WARPS, num_stages=1),
        interpret=interpret,
        name="norm_mish_backward",
    )(grouped, scale_rows, bias_rows, g.reshape(grouped.shape))
    return d_x.reshape(x.shape), d_scale.sum(0).reshape(scale.shape), d_bias.sum(0).reshape(bias.shape)


norm_mish.defvjp(_forward, _backward)


def _grouped(groups, x, scale, bias):
    """Channels as groups of neighbours: [B, L, groups, size] and [groups, size]."""
    batch, length, channels = x.shape
    rows = (groups, channels // groups)
    return x.reshape(batch, length, *rows), scale.reshape(rows), bias.reshape(rows)


def _blocks(shape):
    """A program has one sample, and the parameters of all groups."""
    _, length, groups, size = shape
    return (
        pl.BlockSpec((None, length, groups, size), lambda b: (b, 0, 0, 0)),
        pl.BlockSpec((groups, size), lambda b: (0, 0)),
    )


# --- kernels ---


def _forward_kernel(x_ref, scale_ref, bias_ref, out_ref, *, epsilon):
    normal, _ = _normalised(x_ref[...], epsilon)
    out_ref[...] = mish(normal * scale_ref[...][None] + bias_ref[...][None])


def _backward_kernel(x_ref, scale_ref, bias_ref, g_ref, d_x_ref, d_scale_ref, d_bias_ref, *, epsilon):
    normal, inverse = _normalised(x_ref[...], epsilon)
    scale = scale_ref[...][None]
    _, d_z = jax.jvp(mish, (normal * scale + bias_ref[...][None],), (g_ref[...],))
    scaled = d_z * scale
    d_x_ref[...] = inverse * (scaled - _group_mean(scaled) - normal * _group_mean(scaled * normal))
    d_scale_ref[...] = jnp.sum(d_z * normal, 0)
    d_bias_ref[...] = jnp.sum(d_z, 0)


def _normalised(x, epsilon):
    """x of mean 0 and variance 1 in each group, and the inverse of its deviation."""
    centred = x - _group_mean(x)
    inverse = jax.lax.rsqrt(_group_mean(centred * centred) + epsilon)
    return centred * inverse, inverse


def _group_mean(x):
    """[L, groups, size] -> [1, groups, 1]; one axis at a time, as Triton reduces."""
    return (jnp.sum(jnp.sum(x, 2), 0) / (x.shape[0] * x.shape[2]))[None, :, None]
