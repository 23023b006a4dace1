"""A causal transformer: pre-norm blocks of attention and a GELU layer, as in the Decision Transformer (Chen et al.,
2021, arXiv 2106.01345). Position t reads positions 0 to t."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from surefoot.kernels.dropout import dropped
from surefoot.kernels.matmul import matmul
from surefoot.nn.networks import Dense, Initializer, LayerNorm, dense_layers
from surefoot.ranges import Range, Ranged, Relation

INITIAL_DEVIATION = 0.02
"""Initial standard deviation of all kernels and embeddings."""
_EPSILON, _EXPANSION = 1e-5, 4
Dropout = tuple[float, Key[Array, ""]] | None
"""(share, key) in training; None: no dropout."""


@dataclass(frozen=True)
class TransformerConfig(Ranged, part="network"):
    """Sizes of a causal transformer."""

    width: Annotated[int, Range("[1, 65536]")] = 128
    """Numbers of a token; a multiple of the heads."""
    blocks: Annotated[int, Range("[1, 1024]")] = 3
    """Blocks of attention and a dense layer."""
    heads: Annotated[int, Range("[1, 1024]")] = 8
    """Heads of each attention."""
    dropout: Annotated[float, Range("[0, 1)")] = 0.1
    """Share of embeddings, attention weights and outputs of layers set to zero in training."""

    def _relations(self) -> Iterator[Relation]:
        sentence = f"expected a multiple of the {self.heads} heads, found {self.width}"
        yield Relation(self.width % self.heads == 0, "width", sentence, ["network.heads"])


normal_layers = partial(
    dense_layers,
    initializer=Initializer(lambda key, count: jax.random.normal(key, (count,)), lambda *_: INITIAL_DEVIATION),
)
"""Dense layers with normal kernels and zero biases, as `dense_layers` makes them."""


def token_norm(width: int) -> LayerNorm:
    """Layer normalization of tokens of `width` numbers."""
    return LayerNorm(jnp.ones(width), jnp.zeros(width), _EPSILON)


class CausalBlock(eqx.Module):
    """Transformer block x + Attention(Norm(x)), then x + Dense(GELU(Dense(Norm(x))))."""

    norm_attention: LayerNorm
    query: Dense
    key: Dense
    value: Dense
    exit: Dense
    norm_dense: LayerNorm
    expand: Dense
    contract: Dense
    heads: int = eqx.field(static=True)

    @staticmethod
    def create(key: Key[Array, ""], config: TransformerConfig) -> "CausalBlock":
        """Block with random parameters.

        Args:
            key: Random key.
            config: Sizes.

        Returns:
            The block.
        """
        width, wide = config.width, _EXPANSION * config.width
        query, keys, value, exit_, expand, contract = normal_layers(
            key, [*[(width, width)] * 4, (width, wide), (wide, width)]
        )
        return CausalBlock(
            token_norm(width), query, keys, value, exit_, token_norm(width), expand, contract, config.heads
        )

    def __call__(
        self, x: Float[Array, "b t n"], *, dropout: Dropout = None, positions: np.ndarray | None = None
    ) -> Float[Array, "b k n"]:
        """Tokens after the block.

        Args:
            x: Tokens [b, t, n].
            dropout: Share and key; None: no dropout.
            positions: Positions k whose tokens are computed; None: all.

        Returns:
            Tokens [b, k, n].
        """
        keys = [None] * 3 if dropout is None else list(jax.random.split(dropout[1], 3))
        share = 0.0 if dropout is None else dropout[0]
        normal = self.norm_attention(x)
        asked = np.arange(x.shape[1]) if positions is None else positions
        kept = x if positions is None else x[:, asked]
        queries = normal if positions is None else normal[:, asked]
        mixed = self._attend(queries, normal, asked, share, keys[0])
        x = kept + maybe_dropped(self.exit(mixed), share, keys[1])
        hidden = jax.nn.gelu(self.expand(self.norm_dense(x)), approximate=False)
        return x + maybe_dropped(self.contract(hidden), share, keys[2])

    def _attend(
        self,
        queries: Float[Array, "b k n"],
        tokens: Float[Array, "b t n"],
        positions: np.ndarray,
        share: float,
        key: Key[Array, ""] | None,
    ) -> Float[Array, "b k n"]:
        """softmax(Q K^T / sqrt(d)) V of each head, over the positions up to the query's."""
        size = queries.shape[-1] // self.heads
        split = lambda y: y.reshape(*y.shape[:-1], self.heads, size).swapaxes(1, 2)  # noqa: E731  [b heads t size]
        q, k, v = split(self.query(queries)), split(self.key(tokens)), split(self.value(tokens))
        scores = matmul(q, k.swapaxes(-1, -2)) / math.sqrt(size)
        seen = positions[:, None] >= np.arange(tokens.shape[1])[None]
        weights = jax.nn.softmax(jnp.where(seen[None, None], scores, -jnp.inf), axis=-1)
        mixed = matmul(maybe_dropped(weights, share, key), v)
        return mixed.swapaxes(1, 2).reshape(queries.shape)


def maybe_dropped(x: Float[Array, "*b n"], share: float, key: Key[Array, ""] | None) -> Float[Array, "*b n"]:
    """Dropout where there is a key and a share above 0.

    Args:
        x: Numbers [*b, n].
        share: Share that is set to 0, in [0, 1).
        key: Random key; None: no dropout.

    Returns:
        Numbers [*b, n].
    """
    return x if key is None or share == 0 else dropped(x, share, key)


class CausalTransformer(eqx.Module):
    """Normalized tokens through the blocks, and a last normalization."""

    norm_in: LayerNorm
    blocks: tuple[CausalBlock, ...]
    norm_out: LayerNorm

    @staticmethod
    def create(key: Key[Array, ""], config: TransformerConfig) -> "CausalTransformer":
        """Transformer with random parameters.

        Args:
            key: Random key.
            config: Sizes and number of blocks.

        Returns:
            The transformer.
        """
        blocks = tuple(CausalBlock.create(one, config) for one in jax.random.split(key, config.blocks))
        return CausalTransformer(token_norm(config.width), blocks, token_norm(config.width))

    def __call__(
        self, tokens: Float[Array, "b t n"], *, dropout: Dropout = None, positions: np.ndarray | None = None
    ) -> Float[Array, "b k n"]:
        """Features of the tokens' positions.

        Args:
            tokens: Tokens [b, t, n].
            dropout: Share and key; None: no dropout.
            positions: Positions k whose features the last block computes; None: all.

        Returns:
            Features [b, k, n].
        """
        share = 0.0 if dropout is None else dropout[0]
        keys = [None] * (len(self.blocks) + 1)
        if dropout is not None:
            keys = list(jax.random.split(dropout[1], len(keys)))
        x = maybe_dropped(self.norm_in(tokens), share, keys[0])
        for place, (block, key) in enumerate(zip(self.blocks, keys[1:], strict=True)):
            last = place == len(self.blocks) - 1
            x = block(x, dropout=None if key is None else (share, key), positions=positions if last else None)
        return self.norm_out(x)
