"""Blocks of the networks that plan with a kernel a layer (`whole`), and their gradients."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.kernels.cuda_layer import LEAST, Gradient, Launch, Shift, Taps, Term, layer, saturated
from surefoot.nn.networks import Dense
from surefoot.nn.temporal import Conv, ConvBlock, Downsample, ResidualBlock, Upsample


class Convolution(eqx.Module):
    """Kernel [taps * c, n] over unfolded steps."""

    kernel: Float[Array, "m n"]
    taps: Taps = eqx.field(static=True)

    @staticmethod
    def of(module: Conv | Downsample | Upsample | Dense, length: int) -> "Convolution":
        """For sequences of `length` steps."""
        if isinstance(module, Conv):
            window = module.window(length)
            return Convolution(module.matrix(window), Taps(window.taps, window.stride, window.before))
        if isinstance(module, Downsample):
            return Convolution(module.kernel.reshape(-1, module.kernel.shape[-1]), Taps(3, stride=2, before=1))
        if isinstance(module, Upsample):
            flipped = module.kernel[::-1]
            return Convolution(flipped.reshape(-1, flipped.shape[-1]), Taps(4, before=2, spread=2))
        return Convolution(module.kernel, Taps(1))

    def over(self, x: Float[Array, "B L c"]) -> Term:
        return Term(x, self.kernel, self.taps)

    def _taps(self) -> Float[Array, "k c n"]:
        return self.kernel.reshape(self.taps.number, -1, self.kernel.shape[-1])

    def padded(self) -> "Convolution":
        """The convolution for an input padded with channels up to a kernel's number."""
        taps = self._taps()
        taps = jnp.pad(taps, ((0, 0), (0, padding(taps.shape[1])), (0, 0)))
        return Convolution(taps.reshape(-1, taps.shape[-1]), self.taps)

    def part(self, begin: int, end: int) -> "Convolution":
        """The convolution of some of the input's channels."""
        return Convolution(self._taps()[:, begin:end].reshape(-1, self.kernel.shape[-1]), self.taps)

    def transposed(self) -> "Convolution":
        """The transposed convolution, from output gradients to input gradients."""
        number, stride, before, spread = self.taps
        kernel = jnp.swapaxes(self._taps()[::-1], 1, 2)
        return Convolution(kernel.reshape(-1, kernel.shape[-1]), Taps(number, spread, number - 1 - before, stride))


def with_kernels(tree: Any, dtype: Any) -> Any:
    """A copy with the kernels of all its convolutions in this type."""

    def one(node: Any) -> Any:
        return Convolution(saturated(node.kernel, dtype), node.taps) if isinstance(node, Convolution) else node

    return jax.tree.map(one, tree, is_leaf=lambda node: isinstance(node, Convolution))


def padding(channels: int) -> int:
    """Channels that are missing to the next power of two that a kernel takes."""
    return max(1 << (channels - 1).bit_length(), LEAST) - channels


def with_channels(x: Float[Array, "B L c"]) -> Float[Array, "B L n"]:
    return jnp.pad(x, ((0, 0), (0, 0), (0, padding(x.shape[-1]))))


def vectors_of(block: ConvBlock) -> Float[Array, "3 n"]:
    """Bias of its convolution, scale and shift of its normalisation."""
    return jnp.stack([block.conv.bias, block.norm.scale, block.norm.bias])


class FusedBlock(eqx.Module):
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
    def of(block: ResidualBlock, length: int, begin: int, inputs: Sequence[int]) -> "FusedBlock":
        """`inputs`: the channels of each input."""
        cuts = list(itertools.pairwise(itertools.accumulate(inputs, initial=0)))

        def parts(whole: Convolution) -> tuple[Convolution, ...]:
            return tuple(whole.part(*cut).padded() for cut in cuts)

        return FusedBlock(
            first=parts(Convolution.of(block.first.conv, length)),
            second=Convolution.of(block.second.conv, length),
            skip=() if block.skip is None else parts(Convolution.of(block.skip, length)),
            vectors=(vectors_of(block.first), vectors_of(block.second)),
            skip_bias=None if block.skip is None else block.skip.bias[None],
            groups=block.first.norm.groups,
            begin=begin,
        )

    def __call__(
        self, inputs: Sequence[Float[Array, "B L c"]], biases: Float[Array, "b n"], *, keep: bool, launch: Launch
    ) -> tuple[Array, tuple[Any, Any]]:
        """(result, the sums before the normalisations if they are to be kept). `biases`: what the diffusion time adds
        in every block."""
        length = inputs[0].shape[1]
        hidden = layer(
            [convolution.over(x) for convolution, x in zip(self.first, inputs, strict=True)], length,
            vectors=self.vectors[0], groups=self.groups, shift=Shift(biases, self.begin), keep=keep,
            launch=launch,
        )  # fmt: skip
        behind = zip(self.skip, inputs, strict=True) if self.skip else ()
        out = layer(
            [self.second.over(hidden.plain)], length, vectors=self.vectors[1], groups=self.groups,
            shift=None if self.skip_bias is None else Shift(self.skip_bias, 0),
            after=[convolution.over(x) for convolution, x in behind], addend=None if self.skip else inputs[0],
            keep=keep, launch=launch,
        )  # fmt: skip
        return out.plain, (hidden.entered, out.entered)


class BlockGradient(eqx.Module):
    """Gradient of a block over one input, by transposed convolutions."""

    first: Convolution
    second: Convolution
    skip: Convolution | None
    vectors: tuple[Array, Array]
    groups: int = eqx.field(static=True)

    @staticmethod
    def of(block: FusedBlock) -> "BlockGradient":
        skip = block.skip[0].transposed() if block.skip else None
        return BlockGradient(block.first[0].transposed(), block.second.transposed(), skip, block.vectors, block.groups)

    def __call__(self, behind: "Behind", entered: tuple[Array, Array], *, launch: Launch) -> "Behind":
        """`behind`: the sum that is the gradient by the block's result. Returns that which is it by its input."""
        length = entered[0].shape[1]
        by_result = layer(
            behind.terms, length, addend=behind.addend, gradient=Gradient(entered[1], self.vectors[1]),
            groups=self.groups, launch=launch,
        )  # fmt: skip
        by_hidden = layer(
            [self.second.over(by_result.gradient)], length, gradient=Gradient(entered[0], self.vectors[0]),
            groups=self.groups, plain=False, launch=launch,
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

    def __call__(self, x: Float[Array, "B L c"], *, launch: Launch) -> Float[Array, "B M c"]:
        return layer([self.forward.over(x)], (x.shape[1] + 1) // 2, vectors=self.bias, launch=launch).plain
