"""Diffusion-time biases of all residual blocks of a network at once, for its fused form on a CUDA device
(`fused_networks`)."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.kernels.activations import mish
from surefoot.nn.networks import Dense
from surefoot.nn.temporal import ResidualBlock, TimeEmbedding


class BlockBiases(eqx.Module):
    """Embedding of the diffusion time, and the biases of all blocks side by side, each padded to the widest.

    Where a network has no further inputs, both are tabulated for all diffusion times: a denoising step looks them up
    instead of launching six kernels.
    """

    time: TimeEmbedding
    layer: Dense
    table: tuple[Float[Array, "times e"], Float[Array, "times n"]] | None

    @staticmethod
    def of(time: TimeEmbedding, blocks: Sequence[ResidualBlock], *, times: int) -> "BlockBiases":
        """Biases of a network's blocks.

        Args:
            time: Embedding of the diffusion time.
            blocks: Residual blocks in the order of their places.
            times: Number of diffusion times, which are 0 to times - 1.

        Returns:
            The module.
        """
        layer = _side_by_side(blocks)
        if time.condition_layers is not None:
            return BlockBiases(time, layer, None)
        every = time(jnp.arange(times, dtype=jnp.float32))
        return BlockBiases(time, layer, (every, layer(mish(every))))

    def __call__(
        self, t: Float[Array, " b"], condition: Float[Array, "c k"] | None = None
    ) -> tuple[Float[Array, "b e"], Float[Array, "b n"]]:
        """Embedding and biases at diffusion times.

        Args:
            t: Diffusion times [b].
            condition: Further inputs of the network; None where it takes none.

        Returns:
            (embedding [b, e], biases of all blocks [b, n]).
        """
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
    """Output channels of the widest block."""
    return max(block.second.conv.bias.shape[0] for block in blocks)


def _side_by_side(blocks: Sequence[ResidualBlock]) -> Dense:
    """Layers from the time embedding to each block's bias, as one layer."""
    widest = widest_of(blocks)

    def padded(values: Float[Array, "*m n"]) -> Float[Array, "*m w"]:
        return jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, widest - values.shape[-1])])

    layers = [block.bias for block in blocks]
    return Dense(
        jnp.concatenate([padded(layer.kernel) for layer in layers], -1),
        jnp.concatenate([padded(layer.bias) for layer in layers]),
    )
