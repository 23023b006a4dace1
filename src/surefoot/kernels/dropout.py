"""Dropout with 16 random bits a number."""

import math

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Float, Key


def dropped(x: Float[Array, "*b n"], share: float, key: Key[Array, ""]) -> Float[Array, "*b n"]:
    """Dropout: `x` with a share of its numbers set to 0 and the others divided by 1 - share.

    16 random bits decide about each number, so the share is right to 1 / 65,536. The cipher is called directly, because
    `jax.random.bits` discards half of its output.

    Args:
        x: Numbers [*b, n].
        share: Share that is set to 0, in [0, 1).
        key: Random key.

    Returns:
        Numbers [*b, n].
    """
    size = x.shape[-1]
    shape = (*x.shape[:-1], (size + 1) // 2)
    count = jnp.arange(math.prod(shape), dtype=jnp.uint32)
    words = threefry_2x32(jax.random.bits(key, (2,), jnp.uint32), count).reshape(shape)
    halves = jnp.concatenate([words & 0xFFFF, words >> 16], -1)[..., :size]
    return jnp.where(halves >= round(share * 2**16), x / (1.0 - share), 0.0)
