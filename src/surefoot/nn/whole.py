"""A form in which networks over segments plan on a CUDA device, a kernel a layer (`whole_layer`): half as many as in
`fused`. Its kernels compile for an H200 and say in Pallas' interpreter what the modules say; they have not yet run on a
GPU, so that TREBI plans with `fused` there. `benchmarks/planning.py` times both where there is one.

The numbers are those of the modules that they are made from but for the order of sums. What depends on weights only is
done once, before the loops over denoising steps. The values' gradient reaches the segments and nothing else.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.nn.activations import mish
from surefoot.nn.fused import all_biases, widest_of
from surefoot.nn.mlp import Dense
from surefoot.nn.temporal import Conv, ConvBlock, Downsample, GroupNorm, ResidualBlock, TimeEmbedding, Upsample
from surefoot.nn.trajectory import TemporalUNet, TrajectoryValue, value_exit
from surefoot.nn.whole_layer import LEAST, Gradient, Shift, Taps, Term, fits, layer

Saved = tuple[tuple[Array, Array], ...]
"""What the gradient needs of each block: the sums before its two normalisations."""


class Convolution(eqx.Module):
    """Kernel [taps * c, n] over unfolded steps."""

    kernel: Float[Array, "m n"]
    taps: Taps = eqx.field(static=True)

    @staticmethod
    def of(layer: Conv | Downsample | Upsample | Dense, length: int) -> "Convolution":
        """For sequences of `length` steps."""
        if isinstance(layer, Conv):
            window = layer.window(length)
            return Convolution(layer.matrix(window), Taps(window.taps, window.stride, window.before))
        if isinstance(layer, Downsample):
            return Convolution(layer.kernel.reshape(-1, layer.kernel.shape[-1]), Taps(3, stride=2, before=1))
        if isinstance(layer, Upsample):
            flipped = layer.kernel[::-1]
            return Convolution(flipped.reshape(-1, flipped.shape[-1]), Taps(4, before=2, spread=2))
        return Convolution(layer.kernel, Taps(1))

    def over(self, x: Float[Array, "B L c"]) -> Term:
        return Term(x, self.kernel, self.taps)

    def _taps(self) -> Float[Array, "k c n"]:
        return self.kernel.reshape(self.taps.number, -1, self.kernel.shape[-1])

    def padded(self) -> "Convolution":
        """For an input to which channels were added until there are as many as a kernel takes."""
        taps = self._taps()
        taps = jnp.pad(taps, ((0, 0), (0, _padding(taps.shape[1])), (0, 0)))
        return Convolution(taps.reshape(-1, taps.shape[-1]), self.taps)

    def part(self, begin: int, end: int) -> "Convolution":
        """Of some of the input's channels."""
        return Convolution(self._taps()[:, begin:end].reshape(-1, self.kernel.shape[-1]), self.taps)

    def transposed(self) -> "Convolution":
        """From the gradient by the output to that by the input."""
        number, stride, before, spread = self.taps
        kernel = jnp.swapaxes(self._taps()[::-1], 1, 2)
        return Convolution(kernel.reshape(-1, kernel.shape[-1]), Taps(number, spread, number - 1 - before, stride))


def _padding(channels: int) -> int:
    """Channels that are missing to the next power of two that a kernel takes."""
    return max(1 << (channels - 1).bit_length(), LEAST) - channels


def _with_channels(x: Float[Array, "B L c"]) -> Float[Array, "B L n"]:
    return jnp.pad(x, ((0, 0), (0, 0), (0, _padding(x.shape[-1]))))


def _vectors(block: ConvBlock) -> Float[Array, "3 n"]:
    """Bias of its convolution, scale and shift of its normalisation."""
    return jnp.stack([block.conv.bias, block.norm.scale, block.norm.bias])


class WholeBlock(eqx.Module):
    """A residual block over one input or over several side by side: two kernels."""

    first: tuple[Convolution, ...]
    """One for each input, as `skip`, which is empty where the input is added as it is."""
    second: Convolution
    skip: tuple[Convolution, ...]
    vectors: tuple[Array, Array]
    """Of its two layers, as `layer` takes them."""
    skip_bias: Float[Array, "1 n"] | None
    groups: int = eqx.field(static=True)
    begin: int = eqx.field(static=True)
    """Where the block's bias is in that of all blocks."""

    @staticmethod
    def of(block: ResidualBlock, length: int, begin: int, inputs: Sequence[int]) -> "WholeBlock":
        """`inputs`: the channels of each input."""
        cuts = list(itertools.pairwise(itertools.accumulate(inputs, initial=0)))

        def parts(whole: Convolution) -> tuple[Convolution, ...]:
            return tuple(whole.part(*cut).padded() for cut in cuts)

        return WholeBlock(
            first=parts(Convolution.of(block.first.conv, length)),
            second=Convolution.of(block.second.conv, length),
            skip=() if block.skip is None else parts(Convolution.of(block.skip, length)),
            vectors=(_vectors(block.first), _vectors(block.second)),
            skip_bias=None if block.skip is None else block.skip.bias[None],
            groups=block.first.norm.groups,
            begin=begin,
        )

    def __call__(
        self, inputs: Sequence[Float[Array, "B L c"]], biases: Float[Array, "b n"], *, keep: bool, interpret: bool
    ) -> tuple[Array, tuple[Any, Any]]:
        """(result, the sums before the normalisations if they are to be kept). `biases`: what the diffusion time adds
        in every block."""
        length = inputs[0].shape[1]
        hidden = layer(
            [convolution.over(x) for convolution, x in zip(self.first, inputs, strict=True)], length,
            vectors=self.vectors[0], groups=self.groups, shift=Shift(biases, self.begin), keep=keep,
            interpret=interpret,
        )  # fmt: skip
        behind = zip(self.skip, inputs, strict=True) if self.skip else ()
        out = layer(
            [self.second.over(hidden.plain)], length, vectors=self.vectors[1], groups=self.groups,
            shift=None if self.skip_bias is None else Shift(self.skip_bias, 0),
            after=[convolution.over(x) for convolution, x in behind], addend=None if self.skip else inputs[0],
            keep=keep, interpret=interpret,
        )  # fmt: skip
        return out.plain, (hidden.entered, out.entered)


class BlockGradient(eqx.Module):
    """Of a block over one input: its convolutions transposed."""

    first: Convolution
    second: Convolution
    skip: Convolution | None
    vectors: tuple[Array, Array]
    groups: int = eqx.field(static=True)

    @staticmethod
    def of(block: WholeBlock) -> "BlockGradient":
        skip = block.skip[0].transposed() if block.skip else None
        return BlockGradient(block.first[0].transposed(), block.second.transposed(), skip, block.vectors, block.groups)

    def __call__(self, behind: "Behind", entered: tuple[Array, Array], *, interpret: bool) -> "Behind":
        """`behind`: the sum that is the gradient by the block's result. Returns that which is it by its input."""
        length = entered[0].shape[1]
        by_result = layer(
            behind.terms, length, addend=behind.addend, gradient=Gradient(entered[1], self.vectors[1]),
            groups=self.groups, interpret=interpret,
        )  # fmt: skip
        by_hidden = layer(
            [self.second.over(by_result.gradient)], length, gradient=Gradient(entered[0], self.vectors[0]),
            groups=self.groups, plain=False, interpret=interpret,
        )  # fmt: skip
        first = self.first.over(by_hidden.gradient)
        if self.skip is None:
            return Behind([first], by_result.plain)
        return Behind([first, self.skip.over(by_result.plain)], None)


class Behind(NamedTuple):
    """A gradient that has not been summed yet: the next kernel does that."""

    terms: Any
    addend: Any


class Halving(eqx.Module):
    """A downsampling convolution."""

    forward: Convolution
    bias: Float[Array, "1 n"]

    @staticmethod
    def of(downsample: Downsample, length: int) -> "Halving":
        return Halving(Convolution.of(downsample, length), downsample.bias[None])

    def __call__(self, x: Float[Array, "B L c"], *, interpret: bool) -> Float[Array, "B M c"]:
        return layer([self.forward.over(x)], (x.shape[1] + 1) // 2, vectors=self.bias, interpret=interpret).plain


# --- networks ---


class WholeUNet(eqx.Module):
    """`TemporalUNet`. Its gradient is not defined: sampling needs none."""

    time: TimeEmbedding
    biases: Dense
    down: tuple[tuple[WholeBlock, WholeBlock], ...]
    downsample: tuple[Halving, ...]
    middle: tuple[WholeBlock, WholeBlock]
    up: tuple[tuple[WholeBlock, WholeBlock], ...]
    upsample: tuple[tuple[Convolution, Array], ...]
    exit_block: tuple[Convolution, Array]
    exit: tuple[Convolution, Array]
    action_dim: int = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    interpret: bool = eqx.field(static=True)

    @staticmethod
    def of(network: TemporalUNet, horizon: int, *, interpret: bool = False) -> "WholeUNet":
        blocks = list(itertools.chain(*network.down, network.middle, *network.up))
        widest, places = widest_of(blocks), itertools.count()
        lengths = [horizon >> level for level in range(len(network.down))]

        def two(pair: tuple[ResidualBlock, ResidualBlock], length: int, sides: int = 1) -> Any:
            channels = pair[0].first.conv.kernel.shape[1], pair[1].first.conv.kernel.shape[1]
            inputs = ([channels[0] // sides] * sides, [channels[1]])
            return tuple(
                WholeBlock.of(block, length, next(places) * widest, sizes)
                for block, sizes in zip(pair, inputs, strict=True)
            )

        return WholeUNet(
            time=network.time,
            biases=all_biases(blocks, widest),
            down=tuple(two(pair, length) for pair, length in zip(network.down, lengths, strict=True)),
            downsample=tuple(Halving.of(*each) for each in zip(network.downsample, lengths[:-1], strict=True)),
            middle=two(network.middle, lengths[-1]),
            up=tuple(two(pair, length, 2) for pair, length in zip(network.up, lengths[:0:-1], strict=True)),
            upsample=tuple(
                (Convolution.of(each, length), each.bias[None])
                for each, length in zip(network.upsample, lengths[:0:-1], strict=True)
            ),
            exit_block=(Convolution.of(network.exit_block.conv, horizon), _vectors(network.exit_block)),
            exit=_widened(network.exit),
            action_dim=network.action_dim,
            groups=network.exit_block.norm.groups,
            interpret=interpret,
        )

    def __call__(self, x: Float[Array, "B H d"], t: Float[Array, " b"]) -> Float[Array, "B H d"]:
        width, horizon = x.shape[-1], x.shape[1]
        biases = self.biases(mish(self.time(t)))

        def both(pair: tuple[WholeBlock, WholeBlock], *inputs: Array) -> Array:
            for block in pair:
                out, _ = block(inputs, biases, keep=False, interpret=self.interpret)
                inputs = (out,)
            return inputs[0]

        skips = []
        x = _with_channels(x)
        for level, pair in enumerate(self.down):
            x = both(pair, x)
            skips.append(x)
            if level < len(self.downsample):
                x = self.downsample[level](x, interpret=self.interpret)
        x = both(self.middle, x)
        for pair, (upward, bias) in zip(self.up, self.upsample, strict=True):
            x = both(pair, x, skips.pop())  # the shallowest skip is never used
            x = layer([upward.over(x)], 2 * x.shape[1], vectors=bias, interpret=self.interpret).plain
        convolution, vectors = self.exit_block
        x = layer([convolution.over(x)], horizon, vectors=vectors, groups=self.groups, interpret=self.interpret).plain
        last, bias = self.exit
        return layer([last.over(x)], horizon, vectors=bias, interpret=self.interpret).plain[..., :width]


def _widened(exit_layer: Dense) -> tuple[Convolution, Array]:
    """With columns of zeros until there are as many as a kernel makes."""
    more = _padding(exit_layer.kernel.shape[-1])
    return Convolution(jnp.pad(exit_layer.kernel, ((0, 0), (0, more))), Taps(1)), jnp.pad(exit_layer.bias, (0, more))[
        None
    ]


class Tower(eqx.Module):
    """The convolutions of a value, and their gradients."""

    levels: tuple[tuple[tuple[WholeBlock, ...], Halving], ...]
    gradients: tuple[tuple[tuple[BlockGradient, ...], Convolution], ...]
    interpret: bool = eqx.field(static=True)

    @staticmethod
    def of(levels: Sequence[tuple[tuple[WholeBlock, ...], Halving]], *, interpret: bool) -> "Tower":
        gradients = tuple(
            (tuple(BlockGradient.of(block) for block in blocks), halving.forward.transposed())
            for blocks, halving in levels
        )
        return Tower(tuple(levels), gradients, interpret)

    def run(self, x: Float[Array, "B L c"], biases: Float[Array, "b n"], *, keep: bool) -> tuple[Array, Saved]:
        saved = []
        for blocks, halving in self.levels:
            for block in blocks:
                x, entered = block((x,), biases, keep=keep, interpret=self.interpret)
                saved.append(entered)
            x = halving(x, interpret=self.interpret)
        return x, tuple(saved)

    def back(self, saved: Saved, g: Float[Array, "B M n"]) -> Float[Array, "B L c"]:
        """The gradient by the input, from that by the result."""
        left = list(saved)
        for blocks, halving in reversed(self.gradients):
            length = left[-1][0].shape[1]
            behind = Behind([halving.over(g)], None)
            for block in reversed(blocks):
                behind = block(behind, left.pop(), interpret=self.interpret)
            g = layer(behind.terms, length, addend=behind.addend, interpret=self.interpret).plain
        return g


@jax.custom_vjp
def _features(x: Float[Array, "B L c"], tower: Tower, biases: Float[Array, "b n"]) -> Float[Array, "B M n"]:
    """Constant in all but x, as far as gradients go."""
    return tower.run(x, biases, keep=False)[0]


def _features_forward(x: Array, tower: Tower, biases: Array) -> tuple[Array, tuple[Saved, Tower, Array]]:
    out, saved = tower.run(x, biases, keep=True)
    return out, (saved, tower, biases)


def _features_backward(kept: tuple[Saved, Tower, Array], g: Array) -> tuple[Array, Tower, Array]:
    saved, tower, biases = kept
    return tower.back(saved, g), jax.tree.map(jnp.zeros_like, tower), jnp.zeros_like(biases)


_features.defvjp(_features_forward, _features_backward)


class WholeValue(eqx.Module):
    """`TrajectoryValue`. Its gradient reaches the segments alone."""

    time: TimeEmbedding
    biases: Dense
    tower: Tower
    hidden: Dense
    exit: Dense

    @staticmethod
    def of(network: TrajectoryValue, *, interpret: bool = False) -> "WholeValue":
        all_blocks = [block for *blocks, _ in (*network.levels, *network.middle) for block in blocks]
        widest, places, length = widest_of(all_blocks), itertools.count(), network.horizon
        levels: list[tuple[tuple[WholeBlock, ...], Halving]] = []
        for *blocks, downsample in (*network.levels, *network.middle):
            whole = tuple(
                WholeBlock.of(block, length, next(places) * widest, [block.first.conv.kernel.shape[1]])
                for block in blocks
            )
            levels.append((whole, Halving.of(downsample, length)))
            length = (length + 1) // 2
        tower = Tower.of(levels, interpret=interpret)
        return WholeValue(network.time, all_biases(all_blocks, widest), tower, network.hidden, network.exit)

    def __call__(
        self, x: Float[Array, "B H d"], t: Float[Array, " b"], condition: Float[Array, "b k"] | None = None
    ) -> Float[Array, "B outputs"]:
        embedding = self.time(t, condition)
        features = _features(_with_channels(x), self.tower, self.biases(mish(embedding)))
        return value_exit(features, embedding, self.hidden, self.exit)


def can_be_whole(network: TemporalUNet | TrajectoryValue, horizon: int) -> bool:
    """Whether the kernels take the network's layers."""
    nodes = jax.tree.leaves(network, is_leaf=lambda node: isinstance(node, GroupNorm))
    norms = [node for node in nodes if isinstance(node, GroupNorm)]
    return all(fits(horizon, norm.scale.shape[-1], norm.groups) for norm in norms)
