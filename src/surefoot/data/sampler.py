"""Sampling of batches inside `lax.scan`, from data on the device.

A weighted draw takes u uniform in [0, 1) and the first row whose cumulative weight exceeds u. Row i is then drawn where
cumulative[i-1] <= u < cumulative[i], and never if its weight is 0, as the two numbers are then equal.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from numpy.typing import ArrayLike

from surefoot.data.mapping import blocks
from surefoot.errors import DataError
from surefoot.types import Transition


def sample_batch(
    data: Transition, key: Key[Array, ""], *, batch_size: int, cumulative: Float[Array, " N"] | None = None
) -> Transition:
    """Sample transitions with replacement.

    Args:
        data: Transitions [N, ...].
        key: Random key.
        batch_size: Number of rows B.
        cumulative: Result of `cumulative_weights` [N]; None: uniform sampling.

    Returns:
        Transitions [B, ...].
    """
    drawn = draw_rows(key, rows=data.reward.shape[0], batch_size=batch_size, cumulative=cumulative)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[drawn], data)


def draw_rows(
    key: Key[Array, ""], *, rows: int, batch_size: int, cumulative: Float[Array, " N"] | None = None
) -> Int[Array, " B"]:
    """Sample row indices with replacement.

    Args:
        key: Random key.
        rows: Number of rows N.
        batch_size: Number of indices B.
        cumulative: Result of `cumulative_weights` [N]; None: uniform sampling.

    Returns:
        Indices [B].

    Raises:
        ValueError: `cumulative` has another shape.
    """
    if cumulative is None:
        return uniform_rows(key, rows=rows, batch_size=batch_size)
    if cumulative.shape != (rows,):
        raise ValueError(f"cumulative: expected shape ({rows},), found {cumulative.shape}")
    return rows_at(cumulative, uniform_draws(key, batch_size=batch_size))


def uniform_rows(key: Key[Array, ""], *, rows: int, batch_size: int) -> Int[Array, " B"]:
    """Sample row indices uniformly with replacement.

    Args:
        key: Random key.
        rows: Number of rows N.
        batch_size: Number of indices B.

    Returns:
        Indices [B].
    """
    return jax.random.randint(key, (batch_size,), 0, rows)


def uniform_draws(key: Key[Array, ""], *, batch_size: int) -> Float[Array, " B"]:
    """Uniform numbers in [0, 1) by which weighted rows are found.

    Args:
        key: Random key.
        batch_size: Number B.

    Returns:
        float32 numbers [B].
    """
    return jax.random.uniform(key, (batch_size,), jnp.float32)


def rows_at(cumulative: Float[Array, " N"], uniform: Float[Array, " B"]) -> Int[Array, " B"]:
    """First row whose cumulative weight exceeds each number.

    Args:
        cumulative: Cumulative weights [N].
        uniform: Numbers in [0, 1), [B].

    Returns:
        Indices [B].
    """
    return jnp.searchsorted(cumulative, uniform, side="right")


def cumulative_weights(weights: ArrayLike) -> Float[np.ndarray, " N"]:
    """Cumulative sum of sampling weights [N] as a share of their total: float32, ends at exactly 1.

    A row's probability is exact to about 1e-7, the step of a float32 draw. Raises `DataError` where a weight is
    negative or not finite, or all are zero.
    """
    weights = np.asarray(weights, np.float64)
    check_weights(weights)
    # Adding 0.0 changes no float64, and equal float64 numbers stay equal when divided and rounded: rows of no weight
    # repeat their predecessor exactly. Those after the last row of weight repeat the total, so they and it become 1.0,
    # which no u reaches. Dividing by the largest weight first keeps the sum from overflowing.
    total = np.cumsum(weights / weights.max())
    return (total / total[-1]).astype(np.float32)


def check_weights(weights: Float[np.ndarray, " N"]) -> None:
    """Check sampling weights [N]. Raises `DataError` where one is negative or not finite, or all are zero."""
    if weights.ndim != 1 or not len(weights):
        raise DataError(f"weights: expected shape [N], found {list(weights.shape)}.")
    for start, (block,) in blocks(weights, rows=2**20):
        wrong = ~(np.isfinite(block) & (block >= 0))
        if wrong.any():
            row = wrong.argmax()
            raise DataError(f"weights: expected finite numbers >= 0, found {block[row]} in row {start + row}.")
    if not weights.any():
        raise DataError(f"weights: expected at least one above 0, found {len(weights)} zeros.")
