"""Noise of environments that plan side by side.

A scalar key serves all environments. Keys [n] serve one environment each, whose noise then depends on its own key
alone.
"""

import jax
from jaxtyping import Array, Float, Int, Key


def split(key: Key[Array, "*n"]) -> tuple[Key[Array, "*n"], Key[Array, "*n"]]:
    """Two keys from each key."""
    both = jax.random.split(key) if key.ndim == 0 else jax.vmap(jax.random.split, out_axes=1)(key)
    return both[0], both[1]


def fold_in(key: Key[Array, "*n"], number: Int[Array, ""] | int) -> Key[Array, "*n"]:
    """Keys with one number folded into each.

    Args:
        key: One key, or keys [n].
        number: Whole number.

    Returns:
        Keys of the shape of `key`.
    """
    if key.ndim == 0:
        return jax.random.fold_in(key, number)
    return jax.vmap(lambda one: jax.random.fold_in(one, number))(key)


def normal_rows(key: Key[Array, "*n"], shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    """Standard normal numbers; keys [n] draw an n-th of the rows each, in their order.

    Args:
        key: One key, or keys [n].
        shape: Shape of the result; a multiple of n rows.

    Returns:
        float32 array of that shape.

    Raises:
        ValueError: The rows are no multiple of n.
    """
    if key.ndim == 0:
        return jax.random.normal(key, shape)
    (count,), (rows, *rest) = key.shape, shape
    if rows % count:
        raise ValueError(f"expected a multiple of {count} rows, found {rows}")
    return jax.vmap(lambda one: jax.random.normal(one, (rows // count, *rest)))(key).reshape(shape)
