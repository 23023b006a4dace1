"""Group normalization and Mish in one CUDA kernel, forward and backward (Pallas, through Triton).

A network over segments has many small layers in sequence, and on a GPU each kernel takes some microseconds however
small it is. XLA computes a normalization and its neighbors in five kernels and more; here it is one.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from surefoot.kernels.activations import mish
from surefoot.kernels.group_norm import norm_gradient, normalized

_LARGEST_TILE = 8_192
"""Numbers of a sample that one program holds in its registers."""
_PARAMETERS = triton.CompilerParams(num_warps=4, num_stages=1)


class Form(NamedTuple):
    """Static parameters of a kernel."""

    groups: int
    interpret: bool = False
    """Execute operation by operation, on any device (tests)."""


def fits(length: int, channels: int, groups: int) -> bool:
    """Whether the kernels take an array; Triton's tiles have powers of two.

    Args:
        length: Steps L.
        channels: Channels c.
        groups: Groups of channels.

    Returns:
        True where they do.
    """
    powers = all(number & (number - 1) == 0 for number in (length, channels // groups, groups))
    return powers and length * channels <= _LARGEST_TILE


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def norm_mish(
    x: Float[Array, "B L c"], scale: Float[Array, " c"], bias: Float[Array, " c"], form: Form
) -> Float[Array, "B L c"]:
    """mish(scale * (x - mean) / sqrt(variance + epsilon) + bias), moments over time and the channels of a group.

    Args:
        x: Features over L steps, [B, L, c].
        scale: Scale of each channel, [c].
        bias: Shift of each channel, [c].
        form: Static parameters.

    Returns:
        Features, [B, L, c].
    """
    return _forward(x, scale, bias, form)[0]


def _forward(x, scale, bias, form):
    call = _Call.of(x, form)
    out = call(_forward_kernel, [x], [scale, bias], name="norm_mish")[0]
    return out.reshape(x.shape), (x, scale, bias)


def _backward(form, saved, g):
    x, scale, bias = saved
    call = _Call.of(x, form)
    d_x, d_scale, d_bias = call(_backward_kernel, [x, g], [scale, bias], shares=2, name="norm_mish_backward")
    return d_x.reshape(x.shape), d_scale.sum((0, 1)).reshape(scale.shape), d_bias.sum((0, 1)).reshape(bias.shape)


norm_mish.defvjp(_forward, _backward)


class _Call(NamedTuple):
    """How arrays are cut: a program has one sample, its channels as groups of neighbours."""

    batch: int
    length: int
    rows: tuple[int, int]
    """(groups, channels of each)."""
    interpret: bool

    @staticmethod
    def of(x: Array, form: Form) -> "_Call":
        return _Call(x.shape[0], x.shape[1], (form.groups, x.shape[2] // form.groups), form.interpret)

    def __call__(
        self, kernel: Any, samples: list[Array], parameters: list[Array], *, shares: int = 0, name: str
    ) -> list[Array]:
        """[B, L, groups, size]; then as many shares in the gradient of parameters [B, 1, groups, size]."""

        def block(steps: int) -> pl.BlockSpec:
            return pl.BlockSpec((None, steps, *self.rows), lambda b: (b, 0, 0, 0))

        def parameter_block() -> pl.BlockSpec:
            return pl.BlockSpec(self.rows, lambda b: (0, 0))

        lengths = [self.length, *[1] * shares]
        return pl.pallas_call(
            kernel,
            grid=(self.batch,),
            out_shape=[jax.ShapeDtypeStruct((self.batch, steps, *self.rows), samples[0].dtype) for steps in lengths],
            out_specs=[block(steps) for steps in lengths],
            in_specs=[*[block(self.length) for _ in samples], *[parameter_block() for _ in parameters]],
            compiler_params=_PARAMETERS,
            interpret=self.interpret,
            name=name,
        )(*[array.reshape(*array.shape[:-1], *self.rows) for array in (*samples, *parameters)])


# --- kernels: x is [L, groups, size] ---


def _forward_kernel(x_ref, scale_ref, bias_ref, out_ref):
    normal, _ = normalized(x_ref[...], _group_mean)
    out_ref[...] = mish(normal * scale_ref[...][None] + bias_ref[...][None])


def _backward_kernel(x_ref, g_ref, scale_ref, bias_ref, d_x_ref, d_scale_ref, d_bias_ref):
    normal, inverse = normalized(x_ref[...], _group_mean)
    scale = scale_ref[...][None]
    _, d_z = jax.jvp(mish, (normal * scale + bias_ref[...][None],), (g_ref[...],))
    d_x_ref[...] = norm_gradient(d_z * scale, normal, inverse, _group_mean)
    d_scale_ref[...] = jnp.sum(d_z * normal, 0)[None]
    d_bias_ref[...] = jnp.sum(d_z, 0)[None]


def _group_mean(x):
    """[1, groups, 1]; one axis at a time, as Triton reduces."""
    return (jnp.sum(jnp.sum(x, 2), 0) / (x.shape[0] * x.shape[2]))[None, :, None]
