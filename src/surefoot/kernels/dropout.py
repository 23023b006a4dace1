"""Dropout with 16 random bits a number."""

import math

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Float, Key


def dropped(x: Float[Array, "*b n"], share: float, key: Key[Array, ""]) -> Float[Array, "*b n"]:
    """`x` with a `share` of its numbers set to 0 and the others divided by 1 - share.

    16 random bits decide about each number; the share is right to 1 / 65,536. The cipher is called directly, because
    `jax.random.bits` throws half of its output away: together a quarter of the work of a uniform draw.
    """
    size = x.shape[-1]
    shape = (*x.shape[:-1], (size + 1) // 2)
    count = jnp.arange(math.prod(shape), dtype=jnp.uint32)
    words = threefry_2x32(jax.random.bits(key, (2,), jnp.uint32), count).reshape(shape)
    halves = jnp.concatenate([words & 0xFFFF, words >> 16], -1)[..., :size]
    return jnp.where(halves >= round(share * 2**16), x / (1.0 - share), 0.0)
