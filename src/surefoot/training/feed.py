"""Batches of a phase, from data on the device or from data in a file.

Both draw the same rows from the same keys, functions of (seed, phase, update). A chunk over data in a file is cut into
pieces whose batches fit into `PIECE_BYTES`; while the device trains on one, a thread gathers the next.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, Key

from surefoot.data import FrameStream, TransitionStream
from surefoot.data.sampler import uniform_draws, uniform_rows
from surefoot.data.stream import exact_cumulative, exact_rows_at
from surefoot.numerics import pinned
from surefoot.protocols import Algorithm, Data
from surefoot.training.chunk import (
    UPDATE_STREAM,
    accumulate,
    all_labels,
    all_weights,
    phase_cumulative,
    replicate,
    seed_keys,
    update_keys,
)
from surefoot.types import Labeled, Transition

PIECE_BYTES = 48 * 2**20
"""Bytes of a piece's batches over all seeds; about three times as much is held at once."""
STRETCH_ROWS, WEIGHT_STRETCHES = 1024, 64
"""Sampling weights are computed for so many stretches of consecutive rows at a time."""
SAMPLE_ROWS = 131_072
"""Transitions that a calibration measures at most."""

Inputs = dict[str, Any]
RowsDone = Callable[[int, int], None]
"""Called with rows done and rows in all while sampling weights are computed from a file."""


class Feed(Protocol):
    """Batches of the data, as `fit` needs them."""

    def start_phase(self, states: Any, phase_index: int, on_rows: RowsDone) -> None:
        """Begin a phase, or go on with it.

        Args:
            states: States of all seeds.
            phase_index: Number of the phase.
            on_rows: Progress of sampling weights over data in a file.
        """
        ...

    def relabel(self, states: Any) -> None:
        """Compute labels of all rows from these states; later `pieces` carry them."""
        ...

    def sample(self) -> Any:
        """Even sample of at most `SAMPLE_ROWS` transitions, equal for every seed and every way to read the data."""
        ...

    def pieces(self, first: int, length: int) -> Iterator[tuple[int, Inputs]]:
        """Cut consecutive updates of the phase into pieces.

        Args:
            first: First update, counted in the phase.
            length: Updates.

        Returns:
            Iterator over (updates of the piece, arguments of `run_chunk` beside the states).
        """
        ...


class ResidentFeed:
    """Batches from data on the device, drawn inside the compiled chunk."""

    def __init__(self, algorithm: Algorithm, data: Data, *, seeds: Sequence[int], mesh: Mesh) -> None:
        self._algorithm, self._seeds, self._mesh = algorithm, seeds, mesh
        self._data = replicate(jax.tree.map(np.asarray, data), mesh)
        self._keys = replicate(seed_keys(seeds, stream=UPDATE_STREAM), mesh)
        self._cumulative: Any = None
        self._labels: Any = None
        self._phase = ""

    def start_phase(self, states: Any, phase_index: int, on_rows: RowsDone) -> None:
        phase = self._algorithm.phases[phase_index]
        cumulative = phase_cumulative(self._algorithm, states, data=self._data, phase=phase, seeds=self._seeds)
        self._cumulative = replicate(cumulative, self._mesh)
        self._phase, self._labels = phase.name, None

    def relabel(self, states: Any) -> None:
        kind: Any = self._algorithm
        self._labels = replicate(all_labels(kind, states, self._data, phase=self._phase), self._mesh)

    def sample(self) -> Any:
        rows = sample_rows(self._data.num_rows)
        return self._data if rows is None else self._data.take(rows)

    def pieces(self, first: int, length: int) -> Iterator[tuple[int, Inputs]]:
        start = replicate(jnp.asarray(first, jnp.int32), self._mesh)
        inputs: Inputs = {"keys": self._keys, "data": self._data, "cumulative": self._cumulative, "first": start}
        yield length, inputs | {"labels": self._labels}


class StreamedFeed:
    """Batches from data in a file, gathered on the host piece by piece, one ahead of the device.

    Sampling weights are computed in blocks of stretches from all over the file. An algorithm that divides by a spread
    over all rows divides here by the spread over a block of 65,536.
    """

    def __init__(
        self, algorithm: Algorithm, data: TransitionStream | FrameStream, *, seeds: Sequence[int], mesh: Mesh
    ) -> None:
        self._algorithm, self._data, self._seeds, self._mesh = algorithm, data, seeds, mesh
        self._keys = seed_keys(seeds, stream=UPDATE_STREAM)
        self._placed_keys = replicate(self._keys, mesh)
        self._on_rows: RowsDone = lambda done, total: None
        self._one = data.take(np.zeros(1, np.int64))
        self._row_bytes = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(self._one))
        self._phase_index = 0
        self._cumulative: list[np.ndarray] | None = None
        self._labels: Any = None

    def start_phase(self, states: Any, phase_index: int, on_rows: RowsDone) -> None:
        self._phase_index, self._cumulative, self._labels = phase_index, None, None
        self._on_rows = on_rows
        phase = self._algorithm.phases[phase_index]
        weights = self._weights(states, phase.name, on_rows)
        if weights is not None:
            self._cumulative = accumulate(weights, exact_cumulative, phase=phase, seeds=self._seeds)

    def sample(self) -> Any:
        rows = sample_rows(self._data.num_rows)
        return replicate(self._data.take(np.arange(self._data.num_rows) if rows is None else rows), self._mesh)

    def pieces(self, first: int, length: int) -> Iterator[tuple[int, Inputs]]:
        phase = self._algorithm.phases[self._phase_index]
        batch_size = phase.batch_size
        most = max(1, PIECE_BYTES // (len(self._seeds) * batch_size * self._row_bytes))
        count = math.ceil(length / most)
        bounds = [first + length * index // count for index in range(count + 1)]
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._gather, bounds[0], bounds[1])
            for start, stop, after in zip(bounds[:-1], bounds[1:], [*bounds[2:], None], strict=True):
                batches = ahead.result()
                if after is not None:
                    ahead = pool.submit(self._gather, stop, after)
                begin = replicate(jnp.asarray(start, jnp.int32), self._mesh)
                inputs: Inputs = {"keys": self._placed_keys, "data": None, "cumulative": None, "first": begin}
                yield stop - start, inputs | {"batches": replicate(batches, self._mesh)}

    @pinned()  # in a thread of its own, which has JAX's mode from the process
    def _gather(self, start: int, stop: int) -> Any:
        """The batches [S, stop - start, batch, ...] of these updates."""
        phase = self._algorithm.phases[self._phase_index]
        draw = partial(
            _draw, self._keys, jnp.asarray(start, jnp.int32), phase_index=self._phase_index, length=stop - start,
            batch_size=phase.batch_size, rows=self._data.num_rows,
        )  # fmt: skip
        if self._cumulative is None:
            rows = np.asarray(draw(weighted=False))
        else:
            coarse, fine = (np.asarray(part) for part in draw(weighted=True))
            rows = np.stack([exact_rows_at(*each) for each in zip(self._cumulative, coarse, fine, strict=True)])
        batches = self._data.take(rows)
        if self._labels is None:
            return batches
        of_seed = zip(range(len(rows)), rows, strict=True)
        chosen = [jax.tree.map(lambda leaf: leaf[seed][its], self._labels) for seed, its in of_seed]  # noqa: B023
        return Labeled(batches, jax.tree.map(lambda *leaves: np.stack(leaves), *chosen))

    def _weights(self, states: Any, phase: str, on_rows: RowsDone) -> np.ndarray | None:
        """The sampling weights [S, N] of a phase, float32."""
        weigh = partial(all_weights, self._algorithm, phase=phase)
        if jax.eval_shape(weigh, states, self._one) is None:
            return None
        return self._over_all_rows(partial(weigh, states), on_rows)

    def relabel(self, states: Any) -> None:
        phase, kind = self._algorithm.phases[self._phase_index].name, self._algorithm
        label: Any = partial(all_labels, kind, states, phase=phase)  # pyright: ignore[reportArgumentType]
        self._labels = self._over_all_rows(label, self._on_rows)

    def _over_all_rows(self, function: Callable[[Any], Any], on_rows: RowsDone) -> Any:
        """What `function` says of blocks of rows, a tree of [S, n], put together for all rows: [S, N] in memory."""
        done, total = 0, self._data.num_rows
        whole: Any = None
        for rows, block in self._blocks():
            found = jax.tree.map(np.asarray, function(replicate(block, self._mesh)))
            if whole is None:
                whole = jax.tree.map(lambda leaf: np.empty((len(leaf), total), leaf.dtype), found)
            jax.tree.map(lambda to, leaf: to.__setitem__((slice(None), rows), leaf[:, : len(rows)]), whole, found)  # noqa: B023
            done += len(rows)
            on_rows(done, total)
        return whole

    def _blocks(self) -> Iterator[tuple[Int[np.ndarray, " n"], Transition]]:
        """Rows of a block and the block, whose size is always the same, so that all are one program: what is beyond the
        rows is filled up. A thread gathers the next meanwhile."""
        size = min(STRETCH_ROWS * WEIGHT_STRETCHES, self._data.num_rows)
        with ThreadPoolExecutor(1) as pool:
            ahead: tuple[Any, Any] | None = None
            for rows in _scattered_blocks(self._data.num_rows):
                following = rows, pool.submit(pinned()(self._data.take), np.resize(rows, size))
                if ahead is not None:
                    yield ahead[0], ahead[1].result()
                ahead = following
            assert ahead is not None
            yield ahead[0], ahead[1].result()


def sample_rows(rows: int) -> Int[np.ndarray, " n"] | None:
    """Rows that a calibration measures, in order; None: all `rows` of them."""
    if rows <= SAMPLE_ROWS:
        return None
    return np.sort(np.random.default_rng(0).choice(rows, SAMPLE_ROWS, replace=False))


@partial(jax.jit, static_argnames=("phase_index", "length", "batch_size", "rows", "weighted"))
def _draw(
    keys: Key[Array, " S"],
    first: Int[Array, ""],
    *,
    phase_index: int,
    length: int,
    batch_size: int,
    rows: int,
    weighted: bool,
) -> Any:
    """What every update of every seed draws, [S, length, batch]: rows, or coarse and fine numbers to find them by."""

    def one(key: Key[Array, " 2"]) -> Any:
        if not weighted:
            return uniform_rows(key[0], rows=rows, batch_size=batch_size)
        # The fine part comes from a key that nothing else is drawn from.
        fine = uniform_draws(jax.random.fold_in(key[0], 1), batch_size=batch_size)
        return uniform_draws(key[0], batch_size=batch_size), fine

    def one_seed(key: Key[Array, ""]) -> Any:
        return jax.vmap(one)(update_keys(jax.random.fold_in(key, phase_index), first + jnp.arange(length)))

    return jax.vmap(one_seed)(keys)


def _scattered_blocks(rows: int) -> Iterator[Int[np.ndarray, " n"]]:
    """All rows once, in blocks of `WEIGHT_STRETCHES` stretches from all over the file; always the same blocks."""
    starts = np.arange(0, rows, STRETCH_ROWS)
    if len(starts) > WEIGHT_STRETCHES:
        starts = np.random.default_rng(0).permutation(starts)
    for index in range(0, len(starts), WEIGHT_STRETCHES):
        chosen = np.sort(starts[index : index + WEIGHT_STRETCHES])
        yield np.concatenate([np.arange(start, min(start + STRETCH_ROWS, rows)) for start in chosen])
