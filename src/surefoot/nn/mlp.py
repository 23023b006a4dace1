"""Dense layers and multilayer perceptrons, single or as an ensemble with a leading member axis."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from surefoot.kernels.matmul import matmul


class Initializer(NamedTuple):
    """A kernel is `scale(in, out)` times unit numbers from `draw(key, count)`."""

    draw: Callable[[Key[Array, ""], int], Float[Array, " count"]]
    scale: Callable[[int, int], float]


GLOROT_UNIFORM = Initializer(
    draw=lambda key, count: jax.random.uniform(key, (count,), minval=-1.0, maxval=1.0),
    scale=lambda size_in, size_out: (6.0 / (size_in + size_out)) ** 0.5,
)
"""Uniform on +-sqrt(6 / (in + out))."""

_CUT_DEVIATION = 0.87962566103423978
"""Standard deviation of the standard normal cut at two of them."""

LECUN_NORMAL = Initializer(
    draw=lambda key, count: jax.random.truncated_normal(key, -2.0, 2.0, (count,)),
    scale=lambda size_in, size_out: (1.0 / size_in) ** 0.5 / _CUT_DEVIATION,
)
"""Normal with variance 1 / in, cut at two standard deviations and rescaled to keep that variance."""

FAN_AVERAGE = Initializer(
    draw=LECUN_NORMAL.draw, scale=lambda size_in, size_out: (2.0 / (size_in + size_out)) ** 0.5 / _CUT_DEVIATION
)
"""Normal with variance 2 / (in + out), cut at two standard deviations and rescaled to keep that variance."""


class Dense(eqx.Module):
    """x W + b. Kernel [*members, in, out], bias [*members, out]."""

    kernel: Float[Array, "*members in out"]
    bias: Float[Array, "*members out"]

    def __call__(self, x: Float[Array, "*b in"]) -> Float[Array, "*b out"]:
        """[*members, B, in] or [B, in] -> [*members, B, out]; without members, any leading axes of x."""
        members = self.kernel.shape[:-2]
        if not members:
            y = matmul(x, self.kernel)
            return y + jnp.broadcast_to(self.bias, y.shape)
        x = jnp.broadcast_to(x, (*members, *x.shape[-2:]))
        return matmul(x, self.kernel) + self.bias[..., None, :]


def dense_layers(
    key: Key[Array, ""],
    sizes: Sequence[tuple[int, int]],
    *,
    members: tuple[int, ...] = (),
    initializer: Initializer = GLOROT_UNIFORM,
) -> tuple[Dense, ...]:
    """Layers of the given (in, out) sizes, biases zero, all kernels cut from one random draw: each draw costs most of
    a second of compilation on a CPU."""
    shapes = [(*members, *size) for size in sizes]
    counts = [math.prod(shape) for shape in shapes]
    flat = jnp.split(initializer.draw(key, sum(counts)), np.cumsum(counts)[:-1])
    kernels = [
        values.reshape(shape) * initializer.scale(*shape[-2:]) for values, shape in zip(flat, shapes, strict=True)
    ]
    return tuple(Dense(kernel, jnp.zeros(kernel.shape[:-2] + kernel.shape[-1:])) for kernel in kernels)


class MLP(eqx.Module):
    """Dense layers with ReLU between and a single number out; the last axis is dropped.

    With members the output is [*members, B], without it [B].
    """

    layers: tuple[Dense, ...]

    @staticmethod
    def create(key: Key[Array, ""], size_in: int, hidden: Sequence[int], *, members: tuple[int, ...] = ()) -> "MLP":
        """Every kernel Glorot-uniform, every bias zero (as in FISOR's code, arXiv 2401.10700)."""
        sizes = [size_in, *hidden, 1]
        return MLP(dense_layers(key, list(itertools.pairwise(sizes)), members=members))

    def __call__(self, x: Float[Array, "*b in"]) -> Float[Array, "*b"]:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)[..., 0]
