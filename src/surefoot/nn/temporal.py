"""Convolutions over time as matrix products over unfolded windows, and the blocks made of them. Arrays are [B, L, C].

XLA's convolution on a CPU is slow where the kernel is longer than the sequence. The product over unfolded windows is
fast in all sizes, forward and backward. Only the places of a window that some step can reach are unfolded.
"""

import math
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from surefoot.kernels import norm_mish
from surefoot.kernels.activations import mish
from surefoot.kernels.group_norm import group_norm
from surefoot.kernels.matmul import matmul
from surefoot.nn.networks import Dense

Network = TypeVar("Network")


def dense(size_in: int, size_out: int) -> Dense:
    """Dense layer of zeros, for `with_random_kernels` to fill.

    Args:
        size_in: Numbers of an input.
        size_out: Numbers of an output.

    Returns:
        The layer.
    """
    return Dense(jnp.zeros((size_in, size_out)), jnp.zeros(size_out))


def with_random_kernels(network: Network, key: Key[Array, ""]) -> Network:
    """Network whose kernels are drawn uniformly from +-1 / sqrt(inputs of an output).

    Arrays of one axis stay. One random draw serves all kernels, because each draw costs most of a second of compilation
    on a CPU.

    Args:
        network: Tree of arrays.
        key: Random key.

    Returns:
        Network of equal structure.
    """
    leaves, structure = jax.tree.flatten(network)
    counts = [leaf.size if leaf.ndim > 1 else 0 for leaf in leaves]
    flat = jax.random.uniform(key, (sum(counts),), minval=-1.0, maxval=1.0)
    parts = jnp.split(flat, np.cumsum(counts)[:-1])
    filled = [
        part.reshape(leaf.shape) / math.sqrt(math.prod(leaf.shape[:-1])) if leaf.ndim > 1 else leaf
        for leaf, part in zip(leaves, parts, strict=True)
    ]
    return jax.tree.unflatten(structure, filled)


def _product(unfolded: Float[Array, "B L n"], kernel: Float[Array, "n o"]) -> Float[Array, "B L o"]:
    rows = unfolded.reshape(-1, unfolded.shape[-1])
    return matmul(rows, kernel).reshape(*unfolded.shape[:-1], kernel.shape[-1])


def _plus(x: Float[Array, "B L c"], bias: Float[Array, " c"]) -> Float[Array, "B L c"]:
    return x + bias[None, None]


class Window(NamedTuple):
    """Steps that a convolution reads: its output m unfolds the steps `stride` m - `before` + (0 .. `taps` - 1)."""

    taps: int
    stride: int
    before: int


def unfold(x: Float[Array, "B L c"], window: Window) -> Float[Array, "B M n"]:
    """Steps that each output of a convolution reads, side by side; zeros beyond the sequence.

    Args:
        x: Features [B, L, c].
        window: Steps that are read.

    Returns:
        Unfolded features [B, M, taps c], where M = ceil(L / stride).
    """
    length = x.shape[1]
    outputs = -(-length // window.stride)
    span = window.stride * (outputs - 1) + 1
    after = max(window.taps - 1 + span - window.before - length, 0)
    padded = jnp.pad(x, ((0, 0), (window.before, after), (0, 0)))
    return jnp.concatenate([padded[:, tap : tap + span : window.stride] for tap in range(window.taps)], -1)


class Conv(eqx.Module):
    """Convolution of odd width k with zero padding k // 2 on both sides: the length stays."""

    kernel: Float[Array, "k c_in c_out"]
    bias: Float[Array, " out"]

    @staticmethod
    def create(size_in: int, size_out: int, *, width: int = 5) -> "Conv":
        """Convolution of zeros, for `with_random_kernels` to fill.

        Args:
            size_in: Input channels.
            size_out: Output channels.
            width: k, in steps; odd.

        Returns:
            The layer.
        """
        return Conv(jnp.zeros((width, size_in, size_out)), jnp.zeros(size_out))

    def __call__(self, x: Float[Array, "B L in"]) -> Float[Array, "B L out"]:
        window = self.window(x.shape[1])
        return _plus(_product(unfold(x, window), self.matrix(window)), self.bias)

    def window(self, length: int) -> Window:
        """Window over sequences of `length` steps: taps beyond them would meet padding alone."""
        reach = min(self.kernel.shape[0] // 2, length - 1)
        return Window(taps=2 * reach + 1, stride=1, before=reach)

    def matrix(self, window: Window) -> Float[Array, "n c_out"]:
        """Kernel [taps c_in, c_out] over the unfolded steps of a window."""
        half = self.kernel.shape[0] // 2
        kernel = self.kernel[half - window.before : half + window.before + 1]
        return kernel.reshape(-1, kernel.shape[-1])


class Downsample(eqx.Module):
    """Convolution of width 3 at stride 2 with zero padding 1 on both sides: length L becomes (L + 1) // 2."""

    kernel: Float[Array, "3 c_in c_out"]
    bias: Float[Array, " out"]

    @staticmethod
    def create(size: int) -> "Downsample":
        """Convolution of zeros over `size` channels, for `with_random_kernels` to fill."""
        return Downsample(jnp.zeros((3, size, size)), jnp.zeros(size))

    def __call__(self, x: Float[Array, "B L c"]) -> Float[Array, "B M c"]:
        batch, length, channels = x.shape
        padded = jnp.pad(x, ((0, 0), (1, 1 + length % 2), (0, 0)))
        pairs = padded.reshape(batch, -1, 2 * channels)
        unfolded = jnp.concatenate([pairs[:, :-1], pairs[:, 1:, :channels]], -1)
        return _plus(_product(unfolded, self.kernel.reshape(-1, channels)), self.bias)


class Upsample(eqx.Module):
    """Transposed convolution of width 4, stride 2, padding 1: y[2 n - 1 + j] += x[n] w[j]; the length doubles."""

    kernel: Float[Array, "4 c_in c_out"]
    bias: Float[Array, " out"]

    @staticmethod
    def create(size: int) -> "Upsample":
        """Convolution of zeros over `size` channels, for `with_random_kernels` to fill."""
        return Upsample(jnp.zeros((4, size, size)), jnp.zeros(size))

    def __call__(self, x: Float[Array, "B L c"]) -> Float[Array, "B M c"]:
        batch, length, channels = x.shape
        padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
        before, after = padded[:, :length], padded[:, 2:]
        first, second, third, fourth = self.kernel
        even = _product(jnp.concatenate([before, x], -1), jnp.concatenate([fourth, second]))
        odd = _product(jnp.concatenate([x, after], -1), jnp.concatenate([third, first]))
        return _plus(jnp.stack([even, odd], 2).reshape(batch, 2 * length, channels), self.bias)


class GroupNorm(eqx.Module):
    """Group normalization: mean 0 and variance 1 over time and the channels of each group, then scale and shift."""

    scale: Float[Array, " c"]
    bias: Float[Array, " c"]
    groups: int = eqx.field(static=True)

    @staticmethod
    def create(size: int, *, groups: int = 8) -> "GroupNorm":
        """Layer with scale 1 and shift 0.

        Args:
            size: Channels; a multiple of `groups`.
            groups: Groups of neighboring channels.

        Returns:
            The layer.
        """
        return GroupNorm(jnp.ones(size), jnp.zeros(size), groups)

    def __call__(self, x: Float[Array, "B L c"]) -> Float[Array, "B L c"]:
        return group_norm(x, self.scale, self.bias, jnp.zeros(self.groups))


# --- blocks ---


class ConvBlock(eqx.Module):
    """Block Mish(GroupNorm(Conv(x)))."""

    conv: Conv
    norm: GroupNorm

    @staticmethod
    def create(size_in: int, size_out: int, *, width: int = 5) -> "ConvBlock":
        """Block with a convolution of zeros, for `with_random_kernels` to fill.

        Args:
            size_in: Input channels.
            size_out: Output channels.
            width: Steps that the convolution spans; odd.

        Returns:
            The block.
        """
        return ConvBlock(Conv.create(size_in, size_out, width=width), GroupNorm.create(size_out))

    def __call__(self, x: Float[Array, "B L in"]) -> Float[Array, "B L out"]:
        return norm_mish(self.conv(x), self.norm.scale, self.norm.bias, groups=self.norm.groups)


class ResidualBlock(eqx.Module):
    """Two convolution blocks with the embedding's bias between them, plus the input or its 1 x 1 convolution."""

    first: ConvBlock
    second: ConvBlock
    bias: Dense
    skip: Dense | None

    @staticmethod
    def create(size_in: int, size_out: int, *, embedding: int, width: int = 5) -> "ResidualBlock":
        """Block with kernels of zeros, for `with_random_kernels` to fill.

        Args:
            size_in: Input channels.
            size_out: Output channels.
            embedding: Numbers of the embedding of diffusion time and conditions.
            width: Steps that each convolution spans; odd.

        Returns:
            The block.
        """
        return ResidualBlock(
            ConvBlock.create(size_in, size_out, width=width),
            ConvBlock.create(size_out, size_out, width=width),
            dense(embedding, size_out),
            None if size_in == size_out else dense(size_in, size_out),
        )

    def __call__(self, x: Float[Array, "B L in"], embedding: Float[Array, "b e"]) -> Float[Array, "B L out"]:
        """Features after the block.

        Args:
            x: Features [B, L, in].
            embedding: Embedding of diffusion time and conditions [B, e], or [1, e] for all.

        Returns:
            Features [B, L, out].
        """
        hidden = self.first(x) + self.bias(mish(embedding))[:, None]
        skipped = x if self.skip is None else _plus(_product(x, self.skip.kernel), self.skip.bias)
        return self.second(hidden) + skipped


class TimeEmbedding(eqx.Module):
    """Embedding of the diffusion time, plus that of conditions where there are any: sines and cosines, then two dense
    layers."""

    layers: tuple[Dense, Dense]
    condition_layers: tuple[Dense, Dense] | None

    @staticmethod
    def create(size: int, *, conditions: int = 0) -> "TimeEmbedding":
        """Embedding with kernels of zeros, for `with_random_kernels` to fill.

        Args:
            size: Numbers of the embedding.
            conditions: Further input numbers; 0: none.

        Returns:
            The layers.
        """
        conditioned = (dense(conditions, 4 * size), dense(4 * size, size)) if conditions else None
        return TimeEmbedding((dense(size, 4 * size), dense(4 * size, size)), conditioned)

    def __call__(self, t: Float[Array, " b"], condition: Float[Array, "c k"] | None = None) -> Float[Array, "b e"]:
        """Embedding from frequencies exp(-ln(10000) j / (size / 2 - 1)) of t, sines first.

        Args:
            t: Diffusion times [b].
            condition: Further inputs [b, conditions] or [1, conditions]; None where the network takes none.

        Returns:
            Embeddings [b, size].
        """
        half = self.layers[0].kernel.shape[-2] // 2
        frequencies = np.exp(-math.log(10_000) * np.arange(half) / max(half - 1, 1)).astype(np.float32)
        angles = t[:, None] * jnp.asarray(frequencies)[None]
        embedded = self.layers[1](mish(self.layers[0](jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1))))
        if self.condition_layers is None:
            return embedded
        assert condition is not None
        first, second = self.condition_layers
        return embedded + second(mish(first(condition)))
