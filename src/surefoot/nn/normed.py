"""Layers with layer normalization and SiLU, of which world models and their heads are made (DreamerV3, 2023)."""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.kernels.matmul import matmul
from surefoot.nn.networks import FAN_AVERAGE, Dense, dense_layers

_EPSILON = 1e-3
"""Number added to the variance."""


class LayerNorm(eqx.Module):
    """Layer normalization (x - mean) / sqrt(variance + 1e-3) * scale + offset over the last axis, in float32."""

    scale: Float[Array, " n"]
    offset: Float[Array, " n"]

    @staticmethod
    def create(size: int) -> "LayerNorm":
        """Layer with scale 1 and offset 0."""
        return LayerNorm(jnp.ones(size), jnp.zeros(size))

    def __call__(self, x: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
        wide = x.astype(jnp.float32)
        mean = wide.mean(-1, keepdims=True)
        centered = wide - mean
        scaled = centered * jax.lax.rsqrt(jnp.square(centered).mean(-1, keepdims=True) + _EPSILON)
        shape = scaled.shape
        return (scaled * jnp.broadcast_to(self.scale, shape) + jnp.broadcast_to(self.offset, shape)).astype(x.dtype)


class NormedDense(eqx.Module):
    """Layer SiLU(LN(x W)) without bias."""

    kernel: Float[Array, "in out"]
    norm: LayerNorm

    @staticmethod
    def of(dense: Dense) -> "NormedDense":
        """Layer with the kernel of `dense`."""
        return NormedDense(dense.kernel, LayerNorm.create(dense.kernel.shape[-1]))

    def __call__(self, x: Float[Array, "*b in"]) -> Float[Array, "*b out"]:
        return self.after(matmul(x, self.kernel))

    def after(self, product: Float[Array, "*b out"]) -> Float[Array, "*b out"]:
        """SiLU(LN(product)) of x W, for callers that sum it from parts."""
        return jax.nn.silu(self.norm(product))


class NormedMLP(eqx.Module):
    """Layer-normalized hidden layers and a linear output layer."""

    hidden: tuple[NormedDense, ...]
    out: Dense

    @staticmethod
    def create(
        key: Key[Array, ""], size_in: int, hidden: Sequence[int], size_out: int, *, out_scale: float = 1.0
    ) -> "NormedMLP":
        """Network with kernels initialized by fan average.

        Args:
            key: Random key.
            size_in: Numbers of an input.
            hidden: Units of each hidden layer.
            size_out: Numbers of an output.
            out_scale: Factor of the last kernel; with 0 every output starts at 0.

        Returns:
            The network.
        """
        sizes = [size_in, *hidden, size_out]
        *layers, last = dense_layers(key, list(itertools.pairwise(sizes)), initializer=FAN_AVERAGE)
        return NormedMLP(tuple(NormedDense.of(layer) for layer in layers), Dense(out_scale * last.kernel, last.bias))

    def __call__(self, x: Float[Array, "*b in"]) -> Float[Array, "*b out"]:
        for layer in self.hidden:
            x = layer(x)
        return self.out(x)
