"""The form in which networks over segments plan on a CUDA device: each layer is one matrix product and one kernel
(`fused_norm`), so that a plan runs half as many kernels.

What depends on weights only is done once, before the loops over denoising steps: kernels are cut to what a short
sequence can reach, and the 1 x 1 convolution beside a block's first convolution becomes further columns of its matrix.
The numbers are those of the modules that they are made from but for the order of sums.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.nn.activations import mish
from surefoot.nn.block_biases import BlockBiases, widest_of
from surefoot.nn.fused_norm import Form, fits, norm_mish
from surefoot.nn.matmul import matmul
from surefoot.nn.mlp import Dense
from surefoot.nn.temporal import (
    NORM_EPSILON,
    ConvBlock,
    Downsample,
    GroupNorm,
    ResidualBlock,
    Upsample,
    Window,
    group_norm,
    unfold,
)
from surefoot.nn.trajectory import TemporalUNet, TrajectoryValue, value_exit

_DOWN = Window(taps=3, stride=2, before=1)
_UP = Window(taps=3, stride=1, before=1)


class Flow(NamedTuple):
    """What goes from layer to layer; None where the next layer does not read it."""

    plain: Any
    """[B, L, c]."""
    rows: Any
    """Unfolded for the next convolution, [B, M, taps * c]."""


def _affine(rows: Float[Array, "B L n"], layer: Dense) -> Float[Array, "B L o"]:
    product = matmul(rows.reshape(-1, rows.shape[-1]), layer.kernel)
    return (product + layer.bias[None]).reshape(*rows.shape[:2], -1)


def _activated(
    x: Float[Array, "B L m"],
    norm: GroupNorm,
    addend: Float[Array, "b l n"] | None = None,
    *,
    addend_part: int = 0,
    plain: bool = True,
    then: Window | None = None,
) -> Flow:
    """mish(norm(x)) + addend of the first channels of x."""
    form = Form(norm.groups, NORM_EPSILON, addend_part=addend_part, plain=plain, window=then)

    def unfused(x: Array, scale: Array, bias: Array, addend: Array | None) -> tuple[Array, ...]:
        channels = scale.shape[0]
        out = mish(group_norm(x[..., :channels], scale, bias, jnp.zeros(norm.groups)))
        if addend is not None:
            out = out + addend[..., addend_part * channels : (addend_part + 1) * channels]
        return (*([out] if plain else []), *([] if then is None else [unfold(out, then)]))

    outs = jax.lax.platform_dependent(
        x, norm.scale, norm.bias, addend, cuda=partial(norm_mish, form=form), default=unfused
    )
    return Flow(outs[0] if plain else None, None if then is None else outs[-1])


# --- blocks ---


class FusedConvBlock(eqx.Module):
    """A convolution as a matrix over unfolded steps, and its normalisation."""

    layer: Dense
    norm: GroupNorm
    window: Window = eqx.field(static=True)

    @staticmethod
    def of(block: ConvBlock, length: int, skip: Dense | None = None) -> "FusedConvBlock":
        """For sequences of `length` steps; `skip` adds its columns."""
        window = block.conv.window(length)
        kernel, bias = block.conv.matrix(window), block.conv.bias
        if skip is not None:
            size_in = skip.kernel.shape[0]
            beside = jnp.pad(skip.kernel, ((window.before * size_in, window.before * size_in), (0, 0)))
            kernel, bias = jnp.concatenate([kernel, beside], -1), jnp.concatenate([bias, skip.bias])
        return FusedConvBlock(Dense(kernel, bias), block.norm, window)


class FusedBlock(eqx.Module):
    """A residual block; the first of its two layers holds the skip's columns, too, where there is a skip."""

    first: FusedConvBlock
    second: FusedConvBlock
    has_skip: bool = eqx.field(static=True)
    bias_part: int = eqx.field(static=True)
    """Where the block's bias is in that of all blocks, in units of its channels."""

    @staticmethod
    def of(block: ResidualBlock, length: int, place: int, widest: int) -> "FusedBlock":
        """The `place`-th block of a network whose widest has so many channels."""
        first, second = FusedConvBlock.of(block.first, length, block.skip), FusedConvBlock.of(block.second, length)
        return FusedBlock(first, second, block.skip is not None, place * (widest // block.second.conv.bias.shape[0]))

    def __call__(
        self, flow: Flow, biases: Float[Array, "b 1 n"], *, plain: bool = True, then: Window | None = None
    ) -> Flow:
        """`biases`: what the diffusion time adds in every block."""
        entered = _affine(flow.rows, self.first.layer)
        hidden = _activated(
            entered, self.first.norm, biases, addend_part=self.bias_part, plain=False, then=self.second.window
        )
        skipped = entered if self.has_skip else flow.plain
        left = _affine(hidden.rows, self.second.layer)
        return _activated(left, self.second.norm, skipped, addend_part=int(self.has_skip), plain=plain, then=then)


def _down(downsample: Downsample) -> Dense:
    return Dense(downsample.kernel.reshape(-1, downsample.kernel.shape[-1]), downsample.bias)


def _up(upsample: Upsample) -> Dense:
    """Over three unfolded steps; an output row holds two steps."""
    first, second, third, fourth = upsample.kernel
    none = jnp.zeros_like(first)
    rows = [jnp.concatenate(pair, -1) for pair in ((fourth, none), (second, third), (none, first))]
    return Dense(jnp.concatenate(rows), jnp.concatenate([upsample.bias, upsample.bias]))


# --- networks ---


class FusedUNet(eqx.Module):
    """`TemporalUNet`."""

    biases: BlockBiases
    down: tuple[tuple[FusedBlock, FusedBlock], ...]
    downsample: tuple[Dense, ...]
    middle: tuple[FusedBlock, FusedBlock]
    up: tuple[tuple[FusedBlock, FusedBlock], ...]
    upsample: tuple[Dense, ...]
    exit_block: FusedConvBlock
    exit: Dense
    action_dim: int = eqx.field(static=True)

    @staticmethod
    def of(network: TemporalUNet, horizon: int, *, times: int) -> "FusedUNet":
        blocks = list(itertools.chain(*network.down, network.middle, *network.up))
        widest, places = widest_of(blocks), itertools.count()
        lengths = [horizon >> level for level in range(len(network.down))]

        def two(pair: tuple[ResidualBlock, ResidualBlock], length: int) -> tuple[FusedBlock, FusedBlock]:
            first, second = (FusedBlock.of(block, length, next(places), widest) for block in pair)
            return first, second

        return FusedUNet(
            biases=BlockBiases.of(network.time, blocks, times=times),
            down=tuple(two(pair, length) for pair, length in zip(network.down, lengths, strict=True)),
            downsample=tuple(_down(layer) for layer in network.downsample),
            middle=two(network.middle, lengths[-1]),
            up=tuple(two(pair, length) for pair, length in zip(network.up, lengths[:0:-1], strict=True)),
            upsample=tuple(_up(layer) for layer in network.upsample),
            exit_block=FusedConvBlock.of(network.exit_block, horizon),
            exit=network.exit,
            action_dim=network.action_dim,
        )

    def __call__(self, x: Float[Array, "B H d"], t: Float[Array, " b"]) -> Float[Array, "B H d"]:
        biases = self.biases(t)[1][:, None]
        skips = []
        flow = Flow(x, unfold(x, self.down[0][0].first.window))
        for level, (first, second) in enumerate(self.down):
            last = level == len(self.downsample)
            flow = first(flow, biases, then=second.first.window)
            flow = second(flow, biases, then=self.middle[0].first.window if last else _DOWN)
            skips.append(flow.plain)
            if not last:
                x = _affine(flow.rows, self.downsample[level])
                flow = Flow(x, unfold(x, self.down[level + 1][0].first.window))
        first, second = self.middle
        x = second(first(flow, biases, then=second.first.window), biases).plain
        for (first, second), upsample in zip(self.up, self.upsample, strict=True):
            x = jnp.concatenate([x, skips.pop()], -1)  # the shallowest skip is never used
            flow = first(Flow(x, unfold(x, first.first.window)), biases, then=second.first.window)
            flow = second(flow, biases, plain=False, then=_UP)
            x = _affine(flow.rows, upsample)
            x = x.reshape(x.shape[0], 2 * x.shape[1], -1)
        entered = _affine(unfold(x, self.exit_block.window), self.exit_block.layer)
        return _affine(_activated(entered, self.exit_block.norm).plain, self.exit)


class FusedValue(eqx.Module):
    """`TrajectoryValue`."""

    biases: BlockBiases
    levels: tuple[tuple[tuple[FusedBlock, ...], Dense], ...]
    """Blocks, and the matrix that halves the time behind them."""
    hidden: Dense
    exit: Dense

    @staticmethod
    def of(network: TrajectoryValue, *, times: int) -> "FusedValue":
        levels: list[tuple[tuple[FusedBlock, ...], Dense]] = []
        all_blocks = [block for *blocks, _ in (*network.levels, *network.middle) for block in blocks]
        widest, places, length = widest_of(all_blocks), itertools.count(), network.horizon
        for *blocks, downsample in (*network.levels, *network.middle):
            fused = tuple(FusedBlock.of(block, length, next(places), widest) for block in blocks)
            levels.append((fused, _down(downsample)))
            length = (length + 1) // 2
        biases = BlockBiases.of(network.time, all_blocks, times=times)
        return FusedValue(biases, tuple(levels), network.hidden, network.exit)

    def __call__(
        self, x: Float[Array, "B H d"], t: Float[Array, " b"], condition: Float[Array, "b k"] | None = None
    ) -> Float[Array, "B outputs"]:
        embedding, biases = self.biases(t, condition)
        for blocks, downsample in self.levels:
            flow = Flow(x, unfold(x, blocks[0].first.window))
            windows = [*(block.first.window for block in blocks[1:]), _DOWN]
            for block, then in zip(blocks, windows, strict=True):
                flow = block(flow, biases[:, None], plain=then is not _DOWN, then=then)
            x = _affine(flow.rows, downsample)
        return value_exit(x, embedding, self.hidden, self.exit)


def can_fuse(
    network: TemporalUNet | TrajectoryValue, horizon: int, *, fits: Callable[[int, int, int], bool] = fits
) -> bool:
    """Whether the kernels take the network's layers; `fits` says so of [B, length, channels] and a number of groups."""
    nodes = jax.tree.leaves(network, is_leaf=lambda node: isinstance(node, GroupNorm))
    norms = [node for node in nodes if isinstance(node, GroupNorm)]
    return all(fits(horizon, norm.scale.shape[-1], norm.groups) for norm in norms)
