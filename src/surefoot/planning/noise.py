"""Noise for environments that plan side by side: from one key for all, or from a key of each, which makes its draws
independent of the others.

A key for all is a scalar, keys for each an array [n] of them; these functions take either.
"""

import jax
from jaxtyping import Array, Float, Int, Key


def split(key: Key[Array, "*n"]) -> tuple[Key[Array, "*n"], Key[Array, "*n"]]:
    """Two of each."""
    both = jax.random.split(key) if key.ndim == 0 else jax.vmap(jax.random.split, out_axes=1)(key)
    return both[0], both[1]


def fold_in(key: Key[Array, "*n"], number: Int[Array, ""] | int) -> Key[Array, "*n"]:
    """Keys with one number folded into each."""
    if key.ndim == 0:
        return jax.random.fold_in(key, number)
    return jax.vmap(lambda one: jax.random.fold_in(one, number))(key)


def normal_rows(key: Key[Array, "*n"], shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    """Standard normal values. Keys [n] make an n-th of the rows each, in their order."""
    if key.ndim == 0:
        return jax.random.normal(key, shape)
    (count,), (rows, *rest) = key.shape, shape
    if rows % count:
        raise ValueError(f"expected a multiple of {count} rows, found {rows}")
    return jax.vmap(lambda one: jax.random.normal(one, (rows // count, *rest)))(key).reshape(shape)
