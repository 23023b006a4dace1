"""Networks over segments with one kernel a layer (`kernels.cuda_layer`), the form that plans on a CUDA device.

A plan runs thousands of small layers one after the other, and a kernel launch takes some microseconds however little it
does. Numbers equal those of the original modules up to the order of sums and the products' float16. What depends on
weights alone is computed once, before the loops over denoising steps. The values' gradient reaches the segments alone.
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.kernels.cuda_layer import ALONE, Launch, Taps, fits, layer, saturated
from surefoot.nn.networks import Dense
from surefoot.nn.temporal import GroupNorm, ResidualBlock
from surefoot.nn.trajectory import TemporalUNet, TrajectoryValue, value_exit
from surefoot.planning.block_biases import BlockBiases, widest_of
from surefoot.planning.fused_blocks import (
    Behind,
    BlockGradient,
    Convolution,
    FusedBlock,
    Halving,
    padding,
    vectors_of,
    with_channels,
    with_kernels,
)

Saved = tuple[tuple[Array, Array], ...]
"""Sums before the two normalizations of each block, which the gradient needs."""


class FusedUNet(eqx.Module):
    """Fused form of `TemporalUNet`. It has no gradient: sampling needs none."""

    biases: BlockBiases
    down: tuple[tuple[FusedBlock, FusedBlock], ...]
    downsample: tuple[Halving, ...]
    middle: tuple[FusedBlock, FusedBlock]
    up: tuple[tuple[FusedBlock, FusedBlock], ...]
    upsample: tuple[tuple[Convolution, Array], ...]
    exit_block: tuple[Convolution, Array]
    exit: tuple[Convolution, Array]
    action_dim: int = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    launch: Launch = eqx.field(static=True)

    @staticmethod
    def of(network: TemporalUNet, horizon: int, *, times: int, launch: Launch) -> "FusedUNet":
        """Fused form of a denoiser.

        Args:
            network: Denoiser.
            horizon: Steps of a segment.
            times: Number of diffusion times.
            launch: Launch parameters of the kernels.

        Returns:
            The fused denoiser.
        """
        blocks = list(itertools.chain(*network.down, network.middle, *network.up))
        widest, places = widest_of(blocks), itertools.count()
        lengths = [horizon >> level for level in range(len(network.down))]

        def two(pair: tuple[ResidualBlock, ResidualBlock], length: int, sides: int = 1) -> Any:
            channels = pair[0].first.conv.kernel.shape[1], pair[1].first.conv.kernel.shape[1]
            inputs = ([channels[0] // sides] * sides, [channels[1]])
            return tuple(
                FusedBlock.of(block, length, next(places) * widest, sizes)
                for block, sizes in zip(pair, inputs, strict=True)
            )

        whole = FusedUNet(
            biases=BlockBiases.of(network.time, blocks, times=times),
            down=tuple(two(pair, length) for pair, length in zip(network.down, lengths, strict=True)),
            downsample=tuple(Halving.of(*each) for each in zip(network.downsample, lengths[:-1], strict=True)),
            middle=two(network.middle, lengths[-1]),
            up=tuple(two(pair, length, 2) for pair, length in zip(network.up, lengths[:0:-1], strict=True)),
            upsample=tuple(
                (Convolution.of(each, length), each.bias[None])
                for each, length in zip(network.upsample, lengths[:0:-1], strict=True)
            ),
            exit_block=(Convolution.of(network.exit_block.conv, horizon), vectors_of(network.exit_block)),
            exit=_widened(network.exit),
            action_dim=network.action_dim,
            groups=network.exit_block.norm.groups,
            launch=launch,
        )
        return with_kernels(whole, launch.dtype)

    def __call__(self, x: Float[Array, "B H d"], t: Float[Array, " b"]) -> Float[Array, "B H d"]:
        """Predict clean segments.

        Args:
            x: Noisy segments [B, H, d].
            t: Diffusion times [b].

        Returns:
            Clean segments [B, H, d].
        """
        width, horizon = x.shape[-1], x.shape[1]
        _, biases = self.biases(t)

        def both(pair: tuple[FusedBlock, FusedBlock], *inputs: Array) -> Array:
            for block in pair:
                out, _ = block(inputs, biases, keep=False, launch=self.launch)
                inputs = (out,)
            return inputs[0]

        skips = []
        x = saturated(with_channels(x), self.launch.dtype)
        for level, pair in enumerate(self.down):
            x = both(pair, x)
            skips.append(x)
            if level < len(self.downsample):
                x = self.downsample[level](x, launch=self.launch)
        x = both(self.middle, x)
        for pair, (upward, bias) in zip(self.up, self.upsample, strict=True):
            x = both(pair, x, skips.pop())  # the shallowest skip is never used
            x = layer([upward.over(x)], 2 * x.shape[1], vectors=bias, launch=self.launch).plain
        convolution, vectors = self.exit_block
        x = layer([convolution.over(x)], horizon, vectors=vectors, groups=self.groups, launch=self.launch).plain
        last, bias = self.exit
        return layer([last.over(x)], horizon, vectors=bias, exact=True, launch=self.launch).plain[..., :width]


def _widened(exit_layer: Dense) -> tuple[Convolution, Array]:
    """The exit layer with zero columns up to a number that a kernel takes."""
    more = padding(exit_layer.kernel.shape[-1])
    kernel, bias = jnp.pad(exit_layer.kernel, ((0, 0), (0, more))), jnp.pad(exit_layer.bias, (0, more))
    return Convolution(kernel, Taps(1)), bias[None]


class Tower(eqx.Module):
    """Convolutions of a value network, and their gradients."""

    levels: tuple[tuple[tuple[FusedBlock, ...], Halving], ...]
    gradients: tuple[tuple[tuple[BlockGradient, ...], Convolution], ...]
    launch: Launch = eqx.field(static=True)

    @staticmethod
    def of(levels: Sequence[tuple[tuple[FusedBlock, ...], Halving]], *, launch: Launch) -> "Tower":
        """Tower from levels of blocks.

        Args:
            levels: Blocks and the downsampling of each level.
            launch: Launch parameters of the kernels.

        Returns:
            The tower.
        """
        cast = with_kernels(tuple(levels), launch.dtype)
        gradients = tuple(
            (tuple(BlockGradient.of(block) for block in blocks), halving.forward.transposed())
            for blocks, halving in cast
        )
        return Tower(cast, gradients, launch)

    def run(self, x: Float[Array, "B L c"], biases: Float[Array, "b n"], *, keep: bool) -> tuple[Array, Saved]:
        """Features behind all levels.

        Args:
            x: Features [B, L, c].
            biases: Biases of all blocks at the diffusion time [b, n].
            keep: Whether the sums before the normalizations are kept, for the gradient.

        Returns:
            (features [B, M, n], what `back` needs).
        """
        saved, x = [], saturated(x, self.launch.dtype)
        for blocks, halving in self.levels:
            for block in blocks:
                x, entered = block((x,), biases, keep=keep, launch=self.launch)
                saved.append(entered)
            x = halving(x, launch=self.launch)
        return x.astype(jnp.float32), tuple(saved)

    def back(self, saved: Saved, g: Float[Array, "B M n"]) -> Float[Array, "B L c"]:
        """Gradient by the input from the gradient by the result.

        In between, gradients are in units of the largest one, as they may be too small for the type of the products.

        Args:
            saved: Sums before the normalizations, from `run`.
            g: Gradient by the result [B, M, n].

        Returns:
            Gradient by the input [B, L, c].
        """
        left, unit = list(saved), jnp.abs(g).max()
        unit = jnp.where(unit > 0.0, unit, 1.0)
        g = (g / unit).astype(self.launch.dtype)
        for level, (blocks, halving) in reversed([*enumerate(self.gradients)]):
            length = left[-1][0].shape[1]
            behind = Behind([halving.over(g)], None)
            for block in reversed(blocks):
                behind = block(behind, left.pop(), launch=self.launch)
            g = layer(behind.terms, length, addend=behind.addend, exact=level == 0, launch=self.launch).plain
        return g * unit


@jax.custom_vjp
def _features(x: Float[Array, "B L c"], tower: Tower, biases: Float[Array, "b n"]) -> Float[Array, "B M n"]:
    """Features of the tower, whose gradient reaches x alone."""
    return tower.run(x, biases, keep=False)[0]


def _features_forward(x: Array, tower: Tower, biases: Array) -> tuple[Array, tuple[Saved, Tower, Array]]:
    out, saved = tower.run(x, biases, keep=True)
    return out, (saved, tower, biases)


def _features_backward(kept: tuple[Saved, Tower, Array], g: Array) -> tuple[Array, Tower, Array]:
    saved, tower, biases = kept
    return tower.back(saved, g), jax.tree.map(jnp.zeros_like, tower), jnp.zeros_like(biases)


_features.defvjp(_features_forward, _features_backward)


class FusedValue(eqx.Module):
    """Fused form of `TrajectoryValue`. Its gradient reaches the segments alone."""

    biases: BlockBiases
    tower: Tower
    hidden: Dense
    exit: Dense

    @staticmethod
    def of(network: TrajectoryValue, *, times: int, launch: Launch) -> "FusedValue":
        """Fused form of a value network.

        Args:
            network: Value network.
            times: Number of diffusion times.
            launch: Launch parameters of the kernels.

        Returns:
            The fused value network.
        """
        all_blocks = [block for *blocks, _ in (*network.levels, *network.middle) for block in blocks]
        widest, places, length = widest_of(all_blocks), itertools.count(), network.horizon
        levels: list[tuple[tuple[FusedBlock, ...], Halving]] = []
        for *blocks, downsample in (*network.levels, *network.middle):
            whole = tuple(
                FusedBlock.of(block, length, next(places) * widest, [block.first.conv.kernel.shape[1]])
                for block in blocks
            )
            levels.append((whole, Halving.of(downsample, length)))
            length = (length + 1) // 2
        biases = BlockBiases.of(network.time, all_blocks, times=times)
        return FusedValue(biases, Tower.of(levels, launch=launch), network.hidden, network.exit)

    def __call__(
        self, x: Float[Array, "B H d"], t: Float[Array, " b"], condition: Float[Array, "b k"] | None = None
    ) -> Float[Array, "B outputs"]:
        """Predict values of noisy segments.

        Args:
            x: Noisy segments [B, H, d].
            t: Diffusion times [b].
            condition: Further inputs [b, k]; None where the network takes none.

        Returns:
            Values [B, outputs].
        """
        embedding, biases = self.biases(t, condition)
        features = _features(with_channels(x), self.tower, biases)
        return value_exit(features, embedding, self.hidden, self.exit)


def takes_both(model: TemporalUNet, values: TrajectoryValue, horizon: int) -> bool:
    """Whether the kernels take all layers of a denoiser and of stacked value networks.

    Args:
        model: Denoiser.
        values: Value networks, stacked along a leading axis.
        horizon: Steps of a segment.

    Returns:
        Whether all layers fit.
    """
    launch = ALONE.beside(_stacked(values))
    nodes = jax.tree.leaves((model, values), is_leaf=lambda node: isinstance(node, GroupNorm))
    norms = [node for node in nodes if isinstance(node, GroupNorm)]
    return all(fits(horizon, norm.scale.shape[-1], norm.groups, launch=launch) for norm in norms)


def both(
    model: TemporalUNet, values: TrajectoryValue, horizon: int, *, times: int, launch: Launch = ALONE
) -> tuple[FusedUNet, FusedValue]:
    """Fused forms of a denoiser and of stacked value networks.

    Args:
        model: Denoiser.
        values: Value networks, stacked along a leading axis.
        horizon: Steps of a segment.
        times: Number of diffusion times.
        launch: Launch parameters of the kernels.

    Returns:
        (fused denoiser, fused value networks along a leading axis).
    """
    value = partial(FusedValue.of, times=times, launch=launch.beside(_stacked(values)))
    return FusedUNet.of(model, horizon, times=times, launch=launch), jax.vmap(value)(values)


def _stacked(values: TrajectoryValue) -> int:
    return jax.tree.leaves(values)[0].shape[0]
