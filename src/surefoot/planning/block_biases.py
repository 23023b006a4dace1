"""Diffusion-time biases of all residual blocks of a network at once, for the fused form that plans on a CUDA device
(`whole`)."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.kernels.activations import mish
from surefoot.nn.networks import Dense
from surefoot.nn.temporal import ResidualBlock, TimeEmbedding


class BlockBiases(eqx.Module):
    """The embedding of the diffusion time, and the biases of all blocks side by side, each as many columns wide as the
    widest.

    Where a network knows nothing else, both stand in a table of all times, so that a denoising step looks them up
    instead of launching six kernels for them.
    """

    time: TimeEmbedding
    layer: Dense
    table: tuple[Float[Array, "times e"], Float[Array, "times n"]] | None

    @staticmethod
    def of(time: TimeEmbedding, blocks: Sequence[ResidualBlock], *, times: int) -> "BlockBiases":
        """`times`: diffusion times are 0 to times - 1."""
        layer = _side_by_side(blocks)
        if time.condition_layers is not None:
            return BlockBiases(time, layer, None)
        every = time(jnp.arange(times, dtype=jnp.float32))
        return BlockBiases(time, layer, (every, layer(mish(every))))

    def __call__(
        self, t: Float[Array, " b"], condition: Float[Array, "c k"] | None = None
    ) -> tuple[Float[Array, "b e"], Float[Array, "b n"]]:
        """(embedding, biases)."""
        if self.table is None:
            embedding = self.time(t, condition)
            return embedding, self.layer(mish(embedding))
        if len(t) > 1:
            embedding, biases = (column[t.astype(jnp.int32)] for column in self.table)
            return embedding, biases
        at = t[0].astype(jnp.int32)
        embedding, biases = (jax.lax.dynamic_slice_in_dim(column, at, 1) for column in self.table)
        return embedding, biases


def widest_of(blocks: Sequence[ResidualBlock]) -> int:
    """Channels of the widest."""
    return max(block.second.conv.bias.shape[0] for block in blocks)


def _side_by_side(blocks: Sequence[ResidualBlock]) -> Dense:
    """The layers that make each block's bias of the time embedding."""
    widest = widest_of(blocks)

    def padded(values: Float[Array, "*m n"]) -> Float[Array, "*m w"]:
        return jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, widest - values.shape[-1])])

    layers = [block.bias for block in blocks]
    return Dense(
        jnp.concatenate([padded(layer.kernel) for layer in layers], -1),
        jnp.concatenate([padded(layer.bias) for layer in layers]),
    )
