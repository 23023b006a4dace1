"""Blocks of the networks that plan with one kernel a layer (`fused_networks`), and their gradients."""

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
    """Convolution as a matrix [taps * c, n] over unfolded steps."""

    kernel: Float[Array, "m n"]
    taps: Taps = eqx.field(static=True)

    @staticmethod
    def of(module: Conv | Downsample | Upsample | Dense, length: int) -> "Convolution":
        """Matrix form of a module.

        Args:
            module: Convolution, or dense layer over channels.
            length: Steps of its input sequences.

        Returns:
            The convolution.
        """
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
        """Convolution of `x` [B, L, c] as a term of a kernel's sum."""
        return Term(x, self.kernel, self.taps)

    def _taps(self) -> Float[Array, "k c n"]:
        return self.kernel.reshape(self.taps.number, -1, self.kernel.shape[-1])

    def padded(self) -> "Convolution":
        """Convolution of an input padded with channels up to a number that a kernel takes."""
        taps = self._taps()
        taps = jnp.pad(taps, ((0, 0), (0, padding(taps.shape[1])), (0, 0)))
        return Convolution(taps.reshape(-1, taps.shape[-1]), self.taps)

    def part(self, begin: int, end: int) -> "Convolution":
        """Convolution of a range of input channels.

        Args:
            begin: First channel.
            end: Channel after the last.

        Returns:
            The convolution.
        """
        return Convolution(self._taps()[:, begin:end].reshape(-1, self.kernel.shape[-1]), self.taps)

    def transposed(self) -> "Convolution":
        """Transposed convolution, from output gradients to input gradients."""
        number, stride, before, spread = self.taps
        kernel = jnp.swapaxes(self._taps()[::-1], 1, 2)
        return Convolution(kernel.reshape(-1, kernel.shape[-1]), Taps(number, spread, number - 1 - before, stride))


def with_kernels(tree: Any, dtype: Any) -> Any:
    """Copy of a tree whose convolutions have kernels of a floating-point type.

    Args:
        tree: Tree with `Convolution` nodes.
        dtype: Floating-point type.

    Returns:
        Tree of equal structure.
    """

    def one(node: Any) -> Any:
        return Convolution(saturated(node.kernel, dtype), node.taps) if isinstance(node, Convolution) else node

    return jax.tree.map(one, tree, is_leaf=lambda node: isinstance(node, Convolution))


def padding(channels: int) -> int:
    """Channels that are missing to the next power of two that a kernel takes."""
    return max(1 << (channels - 1).bit_length(), LEAST) - channels


def with_channels(x: Float[Array, "B L c"]) -> Float[Array, "B L n"]:
    """Features padded with channels of zeros up to a number that a kernel takes."""
    return jnp.pad(x, ((0, 0), (0, 0), (0, padding(x.shape[-1]))))


def vectors_of(block: ConvBlock) -> Float[Array, "3 n"]:
    """Bias of the block's convolution, and scale and shift of its normalization."""
    return jnp.stack([block.conv.bias, block.norm.scale, block.norm.bias])


class FusedBlock(eqx.Module):
    """Residual block over one input, or over several side by side, in two kernels."""

    first: tuple[Convolution, ...]
    """First convolution, a part for each input."""
    second: Convolution
    skip: tuple[Convolution, ...]
    """1 x 1 convolution of the skip connection, a part for each input; empty where the input itself is added."""
    vectors: tuple[Array, Array]
    """Vectors of the two layers, as `layer` takes them."""
    skip_bias: Float[Array, "1 n"] | None
    groups: int = eqx.field(static=True)
    begin: int = eqx.field(static=True)
    """Place of the block's bias in the biases of all blocks."""

    @staticmethod
    def of(block: ResidualBlock, length: int, begin: int, inputs: Sequence[int]) -> "FusedBlock":
        """Fused form of a block.

        Args:
            block: Residual block.
            length: Steps of its input sequences.
            begin: Place of its bias in the biases of all blocks.
            inputs: Channels of each input.

        Returns:
            The fused block.
        """
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
        """Features after the block.

        Args:
            inputs: Features [B, L, c] of each input.
            biases: Biases of all blocks at the diffusion time [b, n].
            keep: Whether the sums before the normalizations are kept, for the gradient.
            launch: Launch parameters of the kernels.

        Returns:
            (features [B, L, n], the two sums before the normalizations, or None for each).
        """
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
        """Gradient of a fused block."""
        skip = block.skip[0].transposed() if block.skip else None
        return BlockGradient(block.first[0].transposed(), block.second.transposed(), skip, block.vectors, block.groups)

    def __call__(self, behind: "Behind", entered: tuple[Array, Array], *, launch: Launch) -> "Behind":
        """Gradient by the block's input, as a sum that the next kernel takes.

        Args:
            behind: Gradient by the block's result, not summed yet.
            entered: Sums before the two normalizations.
            launch: Launch parameters of the kernels.

        Returns:
            Gradient by the block's input, not summed yet.
        """
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
    """Gradient as terms that the next kernel sums."""

    terms: Any
    addend: Any


class Halving(eqx.Module):
    """A downsampling convolution."""

    forward: Convolution
    bias: Float[Array, "1 n"]

    @staticmethod
    def of(downsample: Downsample, length: int) -> "Halving":
        """Fused form of a downsampling convolution.

        Args:
            downsample: Convolution at stride 2.
            length: Steps of its input sequences.

        Returns:
            The module.
        """
        return Halving(Convolution.of(downsample, length), downsample.bias[None])

    def __call__(self, x: Float[Array, "B L c"], *, launch: Launch) -> Float[Array, "B M c"]:
        """Features at half the steps.

        Args:
            x: Features [B, L, c].
            launch: Launch parameters of the kernels.

        Returns:
            Features [B, (L + 1) // 2, c].
        """
        return layer([self.forward.over(x)], (x.shape[1] + 1) // 2, vectors=self.bias, launch=launch).plain
