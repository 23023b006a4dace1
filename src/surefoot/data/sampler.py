"""Drawing batches inside `lax.scan`: the data are an argument that lies on the device.

A weighted draw takes u uniform in [0, 1) and the first row whose cumulative weight exceeds u. Row i is then drawn
where cumulative[i-1] <= u < cumulative[i]: never, if its weight is 0 and the two are the same number.
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
    """`batch_size` rows of `data` [N, ...], drawn with replacement: uniformly, or in proportion to the weights that
    `cumulative_weights` made `cumulative` of."""
    drawn = draw_rows(key, rows=data.reward.shape[0], batch_size=batch_size, cumulative=cumulative)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[drawn], data)


def draw_rows(
    key: Key[Array, ""], *, rows: int, batch_size: int, cumulative: Float[Array, " N"] | None = None
) -> Int[Array, " B"]:
    """`batch_size` of `rows` rows, drawn with replacement: uniformly, or in proportion to the weights that
    `cumulative_weights` made `cumulative` of."""
    if cumulative is None:
        return uniform_rows(key, rows=rows, batch_size=batch_size)
    if cumulative.shape != (rows,):
        raise ValueError(f"cumulative: expected shape ({rows},), found {cumulative.shape}")
    return rows_at(cumulative, uniform_draws(key, batch_size=batch_size))


def uniform_rows(key: Key[Array, ""], *, rows: int, batch_size: int) -> Int[Array, " B"]:
    """`batch_size` of `rows` rows, all alike."""
    return jax.random.randint(key, (batch_size,), 0, rows)


def uniform_draws(key: Key[Array, ""], *, batch_size: int) -> Float[Array, " B"]:
    """The numbers in [0, 1) that weighted rows are found by."""
    return jax.random.uniform(key, (batch_size,), jnp.float32)


def rows_at(cumulative: Float[Array, " N"], uniform: Float[Array, " B"]) -> Int[Array, " B"]:
    """For each number in [0, 1) the first row whose cumulative weight exceeds it."""
    return jnp.searchsorted(cumulative, uniform, side="right")


def cumulative_weights(weights: ArrayLike) -> Float[np.ndarray, " N"]:
    """The cumulative sum of `weights` [N], all >= 0, as a share of their total: float32, ends at exactly 1.

    Raises `DataError` where a weight is negative or not finite, or all are zero. A row's probability is right to about
    1e-7, the step of a float32 draw: one tenth of the mean probability at a million rows, a hundredth at 100,000.
    """
    weights = np.asarray(weights, np.float64)
    check_weights(weights)
    # Adding 0.0 changes no float64, and equal float64 numbers stay equal when divided and rounded: rows of no weight
    # repeat their predecessor exactly. Those after the last row of weight repeat the total, so they and it become 1.0,
    # which no u reaches. Dividing by the largest weight first keeps the sum from overflowing.
    total = np.cumsum(weights / weights.max())
    return (total / total[-1]).astype(np.float32)


def check_weights(weights: Float[np.ndarray, " N"]) -> None:
    """Raises `DataError` where a weight is negative or not finite, or all are zero."""
    if weights.ndim != 1 or not len(weights):
        raise DataError(f"weights: expected shape [N], found {list(weights.shape)}.")
    for start, (block,) in blocks(weights, rows=2**20):
        wrong = ~(np.isfinite(block) & (block >= 0))
        if wrong.any():
            row = wrong.argmax()
            raise DataError(f"weights: expected finite numbers >= 0, found {block[row]} in row {start + row}.")
    if not weights.any():
        raise DataError(f"weights: expected at least one above 0, found {len(weights)} zeros.")
