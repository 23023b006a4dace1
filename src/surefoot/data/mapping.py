"""Arrays that stay in their file: mapped into memory, read where they are used, their pages given back afterwards.

A mapped array is a NumPy array like any other. Pages that were touched count as memory of this process until they are
released; they are then read again, from the system's cache or the disk, where they are needed again.
"""

import mmap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int

BLOCK_ROWS = 16_384
"""Rows worked on at a time, so that a pass over a large file needs little memory."""
LONG_RUN = 64
"""Mean number of rows that follow one another from which on they are copied in runs, not picked one by one."""


def map_dataset(path: Path, node: h5py.Dataset) -> np.ndarray | None:
    """The values of an HDF5 dataset mapped from the file at `path`, read-only; None where they do not lie there as they
    would in memory: chunked, compressed, of another byte order, or elsewhere."""
    offset = node.id.get_offset()
    if offset is None or node.dtype.kind not in "bfu" or not node.dtype.isnative or not node.size:
        return None
    mapped = np.memmap(path, node.dtype, "r", offset, node.shape)
    # A block of the user's own in front of the file, or data in another file, would shift what is found there.
    same = all(np.array_equal(mapped[row], node[row], equal_nan=node.dtype.kind == "f") for row in (0, -1))
    return np.asarray(mapped) if same else None


def is_mapped(array: np.ndarray) -> bool:
    """Whether the array's values lie in a file."""
    return _map_of(array) is not None


def expect(array: np.ndarray, rows: Int[np.ndarray, " n"]) -> None:
    """Have the system fetch the pages of these rows of a mapped array, side by side, and no others; returns at once.

    Without it each first touch of a page waits for the disk, and for 128 KiB around it: 10 to 50 times as long for
    rows drawn from a large file.
    """
    mapped = _map_of(array)
    if mapped is None or not len(rows) or not hasattr(mmap, "MADV_WILLNEED"):
        return
    mapped.madvise(mmap.MADV_RANDOM)
    rows = rows.astype(np.int64)  # places in a large file are beyond 32 bits
    first = _address(array) - _address(np.frombuffer(mapped, np.uint8))
    low = (first + rows * array.strides[0]) // mmap.PAGESIZE
    high = (first + (rows + 1) * array.strides[0] - 1) // mmap.PAGESIZE
    every = [np.minimum(low + step, high) for step in range(int((high - low).max()) + 1)]
    pages = np.unique(np.concatenate(every))
    gaps = np.flatnonzero(np.diff(pages) > 1)
    starts, ends = pages[np.concatenate([[0], gaps + 1])], pages[np.concatenate([gaps, [len(pages) - 1]])]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        mapped.madvise(mmap.MADV_WILLNEED, start * mmap.PAGESIZE, (end + 1 - start) * mmap.PAGESIZE)


def runs(rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, "r 2"]:
    """Places in `rows` where stretches of consecutive numbers start, and the places after their ends."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return np.stack([np.concatenate([[0], breaks]), np.concatenate([breaks, [len(rows)]])], 1)


def in_long_runs(rows: Int[np.ndarray, " n"]) -> bool:
    """Whether most of these rows follow one another."""
    return len(runs(rows)) * LONG_RUN <= len(rows)


def take_rows(arrays: Mapping[str, np.ndarray], rows: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """These rows of every array, in memory."""
    if in_long_runs(rows):
        return _take_runs(arrays, rows)
    for array in arrays.values():
        expect(array, rows)
    taken = {}
    for name, array in arrays.items():
        taken[name] = array[rows]
        release(array)
    return taken


def _take_runs(arrays: Mapping[str, np.ndarray], rows: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    found = runs(rows).tolist()
    places = [(slice(start, end), slice(int(rows[start]), int(rows[start]) + end - start)) for start, end in found]
    for array in arrays.values():
        mapped = _map_of(array)
        if mapped is not None and hasattr(mmap, "MADV_WILLNEED"):
            first = _address(array) - _address(np.frombuffer(mapped, np.uint8))
            for _, part in places:
                begin = (first + part.start * array.strides[0]) // mmap.PAGESIZE * mmap.PAGESIZE
                mapped.madvise(mmap.MADV_WILLNEED, begin, first + part.stop * array.strides[0] - begin)
    taken = {}
    for name, array in arrays.items():
        taken[name] = np.empty((len(rows), *array.shape[1:]), array.dtype)
        for target, part in places:
            taken[name][target] = array[part]
        release(array)
    return taken


def release(*arrays: np.ndarray) -> None:
    """Give back the memory of what was read of mapped arrays; does nothing to others."""
    for array in arrays:
        mapped = _map_of(array)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
            mapped.madvise(mmap.MADV_NORMAL)  # after `expect`: who reads on reads from here on


class Meter:
    """Adds up the bytes that passes over data have read, and tells `on_progress(done, total)` after every block."""

    def __init__(self, total: int, on_progress: Callable[[int, int], None]) -> None:
        self._total, self._on_progress = total, on_progress
        self._done = 0

    def add(self, count: int) -> None:
        """`count` more bytes were read. What goes beyond the total is not reported again."""
        done = min(self._done + count, self._total)
        if done > self._done:
            self._done = done
            self._on_progress(done, self._total)


def blocks(
    *arrays: np.ndarray, rows: int = BLOCK_ROWS, meter: Meter | None = None
) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
    """First row and the same `rows` rows of all arrays, block after block; each is released when it was used."""
    for start in range(0, len(arrays[0]), rows):
        parts = tuple(array[start : start + rows] for array in arrays)
        yield start, parts
        release(*arrays)
        if meter is not None:
            meter.add(sum(part.nbytes for part in parts))


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _map_of(array: Any) -> mmap.mmap | None:
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array if isinstance(array, mmap.mmap) else None
