"""Batches of data that stay in their file: sampled by the sampler's rule, read row by row as they are needed."""

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from surefoot.data.dataset import Dataset
from surefoot.data.mapping import in_long_runs, map_array, read_rows, take_rows
from surefoot.data.prepare import vectors
from surefoot.data.sampler import check_weights
from surefoot.types import Transition

GATHERED_ROWS = 2048
"""Scattered rows that are read at a time."""
RUN_ROWS = 65_536
"""Consecutive rows that are read at a time."""

NUMBER_ROWS = 262_144
"""Rows whose scalar fields are prepared at a time."""


class TransitionStream:
    """Transitions of a mapped dataset, prepared as they are drawn.

    Observations and actions are `data.prepare.vectors`, whatever the algorithm. Scalar fields may depend on the whole
    episode and are prepared at once, without the observations, into a scratch file (32 bytes a row, in the system's
    folder for temporary files) that vanishes with the process.
    """

    def __init__(self, dataset: Dataset, prepare: Callable[[Dataset], Any]) -> None:
        self._dataset = dataset
        self._names, self._numbers = _prepare_numbers(dataset, prepare)

    statistics = None

    @property
    def num_rows(self) -> int:
        """Number of transitions."""
        return len(self._dataset)

    def take(self, rows: Int[np.ndarray, "*B"]) -> Transition:
        """Transitions with these indices [*B], float32 arrays [*B, ...] in memory, equal to those of data prepared in
        memory."""
        flat = rows.reshape(-1).astype(np.int64)
        together = in_long_runs(flat)
        step = RUN_ROWS if together else GATHERED_ROWS
        # Neighbours in the file are read together.
        order = None if together else np.argsort(flat, kind="stable")
        whole: list[Any] = []
        for start in range(0, len(flat), step):
            places = slice(start, start + step) if order is None else order[start : start + step]
            part = self._prepare_rows(flat[places])
            if len(flat) <= step and order is None:
                whole = list(part)
                break
            if not whole:
                whole = [np.empty((len(flat), *values.shape[1:]), values.dtype) for values in part]
            for target, values in zip(whole, part, strict=True):
                target[places] = values
        return Transition(*(values.reshape(*rows.shape, *values.shape[1:]) for values in whole))

    def _prepare_rows(self, rows: Int[np.ndarray, " n"]) -> Transition:
        wide = ("observations", "actions", "next_observations")
        columns = take_rows({name: getattr(self._dataset, name) for name in wide}, rows)
        numbers = take_rows({"numbers": self._numbers}, rows)["numbers"]
        fields: dict[str, Any] = {
            name: np.ascontiguousarray(numbers[:, column]) for column, name in enumerate(self._names)
        }
        return Transition(**vectors(**columns), **fields)


def _prepare_numbers(
    dataset: Dataset, prepare: Callable[[Dataset], Any]
) -> tuple[list[str], Float[np.ndarray, "N fields"]]:
    """Names of the scalar fields of prepared transitions, and all of a row side by side, mapped from a file without a
    name."""
    rows = len(dataset)
    names: list[str] = []
    with tempfile.TemporaryFile() as file:
        for start, stop in _whole_episodes(dataset):  # one after the other
            prepared = prepare(_without_columns(dataset, slice(start, stop)))._asdict()
            names = names or [name for name, values in prepared.items() if np.ndim(values) == 1]
            file.write(np.stack([np.asarray(prepared[name], np.float32) for name in names], 1).data)
        file.flush()
        return names, map_array(file.fileno(), "a scratch file", np.float32, 0, (rows, len(names)))


def _whole_episodes(dataset: Dataset) -> Iterator[tuple[int, int]]:
    """First row, and row after the last, of stretches of whole episodes about `NUMBER_ROWS` long."""
    start = 0
    for end in [*dataset.episode_ends.tolist(), len(dataset)]:
        if end - start >= NUMBER_ROWS or (end == len(dataset) and end > start):
            yield start, end
            start = end


def _without_columns(dataset: Dataset, rows: slice) -> Dataset:
    none = np.zeros((rows.stop - rows.start, 0), np.float32)
    arrays = {name: array for name, array in dataset.arrays() if array.ndim == 1}
    taken = {"rewards": None, **{name: read_rows(array, rows.start, rows.stop) for name, array in arrays.items()}}
    return Dataset(dataset.task, observations=none, actions=none, next_observations=none, **taken)


def exact_cumulative(weights: ArrayLike) -> Float[np.ndarray, " N"]:
    """Cumulative sum of sampling weights [N] as a share of their total, in float64, exact to 1e-14 of the whole."""
    weights = np.asarray(weights)
    check_weights(weights)
    # In place: this is the largest array of a phase over a large file.
    total = weights.astype(np.float64)
    np.divide(total, total.max(), out=total)
    np.cumsum(total, out=total)
    return np.divide(total, total[-1], out=total)


def exact_rows_at(
    cumulative: Float[np.ndarray, " N"], coarse: Float[np.ndarray, "*B"], fine: Float[np.ndarray, "*B"]
) -> Int[np.ndarray, "*B"]:
    """First row whose cumulative weight exceeds u = coarse + fine / 2**23.

    A float32 draw has 2**23 values, fewer than a large file has rows. On small data the rows are those of
    `sample_batch` with the draw `coarse`.

    Args:
        cumulative: Cumulative weights [N].
        coarse: Numbers in [0, 1), multiples of 2**-23 [*B].
        fine: Numbers in [0, 1) that lie between two values of `coarse` [*B].

    Returns:
        Indices [*B].
    """
    uniform = coarse.astype(np.float64) + fine.astype(np.float64) * 2.0**-23
    return np.searchsorted(cumulative, uniform, side="right")
