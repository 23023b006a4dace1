"""Batches of data that stay in their file: drawn by the sampler's rule, gathered row by row when they are needed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from surefoot.data.dataset import Dataset
from surefoot.data.sampler import check_weights
from surefoot.types import Transition

GATHERED_ROWS = 2048
"""Rows gathered before their pages are released: each may bring 64 KiB of neighbours with it."""


class TransitionStream:
    """The transitions of a (mapped) dataset, prepared only when they are drawn.

    `prepare` may look at each row and at the row before it, as every algorithm's does; it must not look at others, such
    as for a mean over all data.
    """

    def __init__(self, dataset: Dataset, prepare: Callable[[Dataset], Transition]) -> None:
        self._dataset = dataset
        self._prepare = prepare

    def __len__(self) -> int:
        """Transitions."""
        return len(self._dataset)

    def gather(self, rows: Int[np.ndarray, "*B"]) -> Transition:
        """The transitions in these rows, [*B, ...], float32, in memory; the same as those of the prepared whole."""
        flat = rows.reshape(-1)
        # Neighbours in the file are read together.
        order = np.argsort(flat, kind="stable")
        whole: list[Any] = []
        for start in range(0, len(flat), GATHERED_ROWS):
            places = order[start : start + GATHERED_ROWS]
            part = self._prepare_rows(flat[places])
            if not whole:
                whole = [np.empty((len(flat), *values.shape[1:]), values.dtype) for values in part]
            for target, values in zip(whole, part, strict=True):
                target[places] = values
        return Transition(*(values.reshape(*rows.shape, *values.shape[1:]) for values in whole))

    def _prepare_rows(self, rows: Int[np.ndarray, " n"]) -> Transition:
        """Each row behind the one before it, so that `prepare` finds what it needs; only the rows are kept."""
        pairs = np.stack([np.maximum(rows - 1, 0), rows], axis=1).reshape(-1)
        taken = self._dataset.take(pairs)
        # Nothing comes before the first row: its stand-in, itself, ends an episode.
        taken.truncated[::2] |= rows == 0
        prepared = self._prepare(taken)
        return Transition(*(np.asarray(values)[1::2] for values in prepared))


def exact_cumulative(weights: ArrayLike) -> Float[np.ndarray, " N"]:
    """As `cumulative_weights`, in float64: the probability of a row is right to 1e-14 of the whole."""
    total = np.asarray(weights, np.float64)
    check_weights(total)
    # In place: this is the largest array of a phase over a large file.
    total = np.divide(total, total.max())
    np.cumsum(total, out=total)
    return np.divide(total, total[-1], out=total)


def exact_rows_at(
    cumulative: Float[np.ndarray, " N"], coarse: Float[np.ndarray, "*B"], fine: Float[np.ndarray, "*B"]
) -> Int[np.ndarray, "*B"]:
    """For each u = coarse + fine / 2**23 in [0, 1) the first row whose cumulative weight exceeds it.

    A float32 draw has 2**23 values, fewer than a large file has rows. `coarse` is the draw that `sample_batch` would
    use, `fine` another that lies between two of its values, so on small data both draw the same rows.
    """
    uniform = coarse.astype(np.float64) + fine.astype(np.float64) * 2.0**-23
    return np.searchsorted(cumulative, uniform, side="right")
