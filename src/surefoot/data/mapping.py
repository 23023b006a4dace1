"""Arrays that stay in their file: mapped into memory, so that they have a shape and can be sliced; read by the system's
`pread` wherever many rows are needed.

Touching a mapped page of a file that was shortened meanwhile ends the process (SIGBUS); a read that comes up short is
an error that has a sentence. Both take the same time: 16 ms for 2,048 scattered transitions of a file that the system
has in its cache.
"""

import mmap
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int
from numpy.typing import DTypeLike

from surefoot.errors import DataError

BLOCK_ROWS = 16_384
"""Rows processed at a time, so that a pass over a large file needs little memory."""
LONG_RUN = 64
"""Mean number of consecutive rows from which on they are copied in runs, not one by one."""
_MOST_BYTES = 2**30
"""Bytes that one read asks of the system, which gives 2 GiB at most."""


class MappedFile(mmap.mmap):
    """A mapped part of a file that knows its place, so that it can also be read."""

    descriptor: int
    start: int
    """First byte of the part."""
    name: str


def map_array(descriptor: int, name: str, dtype: DTypeLike, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    """Read-only array in an open file, which may be closed afterwards.

    Args:
        descriptor: Open file.
        name: Name of the file, for messages.
        dtype: Type of the values.
        offset: Place of the first value in bytes.
        shape: Shape of the array.

    Returns:
        The mapped array.
    """
    start = offset - offset % mmap.ALLOCATIONGRANULARITY
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    mapped = MappedFile(descriptor, offset - start + size, access=mmap.ACCESS_READ, offset=start)
    mapped.descriptor, mapped.start, mapped.name = os.dup(descriptor), start, name
    weakref.finalize(mapped, os.close, mapped.descriptor)
    return np.ndarray(shape, dtype, mapped, offset - start)


def map_dataset(path: Path, node: h5py.Dataset) -> np.ndarray | None:
    """Read-only array mapped from an HDF5 dataset.

    Args:
        path: File of the dataset.
        node: The dataset.

    Returns:
        The mapped array, or None where values do not lie in the file as in memory: chunked, compressed, of another byte
            order, or elsewhere.
    """
    offset = node.id.get_offset()
    if offset is None or node.dtype.kind not in "bfu" or not node.dtype.isnative or not node.size:
        return None
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < offset + node.size * node.dtype.itemsize:
            return None
        mapped = map_array(file.fileno(), str(path), node.dtype, offset, node.shape)
    # A block of the user's own in front of the file, or data in another file, would shift what is found there.
    same = all(
        np.array_equal(read_rows(mapped, row, row + 1)[0], node[row], equal_nan=node.dtype.kind == "f")
        for row in (0, len(mapped) - 1)
    )
    return mapped if same else None


def is_mapped(array: np.ndarray) -> bool:
    """Whether an array's values lie in a file."""
    return _map_of(array) is not None


def read_rows(array: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Consecutive rows of an array: a view, or a copy read from the file where it is mapped.

    Args:
        array: Array in memory or mapped.
        start: First row.
        stop: Row after the last.

    Returns:
        The rows.

    Raises:
        DataError: The file was shortened.
    """
    mapped = _map_of(array)
    if mapped is None:
        return array[start:stop]
    values = np.empty((max(0, stop - start), *array.shape[1:]), array.dtype)
    _read_into(mapped, _place(mapped, array) + start * array.strides[0], values)
    return values


def _read_into(mapped: MappedFile, place: int, values: np.ndarray) -> None:
    rest = memoryview(values.data).cast("B") if values.size else memoryview(b"")
    if not hasattr(os, "preadv"):  # Windows, which lets nobody shorten a mapped file
        rest[:] = memoryview(mapped)[place - mapped.start : place - mapped.start + len(rest)]
        return
    while rest:
        count = os.preadv(mapped.descriptor, [rest[:_MOST_BYTES]], place)
        if not count:
            size = os.fstat(mapped.descriptor).st_size
            raise DataError(
                f"{mapped.name}: expected at least {place + len(rest):,} bytes, as when it was opened, found {size:,}: "
                f"the file was shortened while it was read; put it back and start again (training: with --resume)."
            )
        rest, place = rest[count:], place + count


def _place(mapped: MappedFile, array: np.ndarray) -> int:
    """Place of an array in its file. Its rows must lie there one after the other."""
    if not array.flags.c_contiguous:
        raise ValueError("expected whole rows of a mapped array, found some of its columns")
    return mapped.start + _address(array) - _address(np.frombuffer(mapped, np.uint8))


def _expect(mapped: MappedFile, places: list[tuple[int, int]]) -> None:
    """Have the system fetch parts (place, bytes) of a file side by side; returns at once.

    Without it each read of scattered rows waits for the disk.
    """
    if hasattr(os, "posix_fadvise"):  # not on macOS
        for place, size in places:
            os.posix_fadvise(mapped.descriptor, place, size, os.POSIX_FADV_WILLNEED)


def runs(rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, "r 2"]:
    """First and end index of stretches of consecutive numbers in `rows`."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return np.stack([np.concatenate([[0], breaks]), np.concatenate([breaks, [len(rows)]])], 1)


def in_long_runs(rows: Int[np.ndarray, " n"]) -> bool:
    """Whether most rows follow one another."""
    return len(runs(rows)) * LONG_RUN <= len(rows)


def take_rows(arrays: Mapping[str, np.ndarray], rows: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """Rows of several arrays, in memory.

    Args:
        arrays: Arrays by name, in memory or mapped.
        rows: Row indices [n].

    Returns:
        Arrays [n, ...] by name.

    Raises:
        DataError: The file of a mapped array was shortened.
    """
    if in_long_runs(rows):
        parts = [(start, end, int(rows[start])) for start, end in runs(rows).tolist()]
    else:
        parts = [(place, place + 1, row) for place, row in enumerate(rows.tolist())]
    files = {name: _map_of(array) for name, array in arrays.items()}
    places = {}
    for name, array in arrays.items():
        if (mapped := files[name]) is not None:
            first, width = _place(mapped, array), array.strides[0]
            places[name] = [(first + row * width, (end - start) * width) for start, end, row in parts]
            _expect(mapped, places[name])
    taken = {}
    for name, array in arrays.items():
        if (mapped := files[name]) is None:
            taken[name] = array[rows]
            continue
        values = taken[name] = np.empty((len(rows), *array.shape[1:]), array.dtype)
        for (start, end, _), (place, _) in zip(parts, places[name], strict=True):
            _read_into(mapped, place, values[start:end])
    return taken


def read_windows(array: np.ndarray, starts: Int[np.ndarray, " n"], length: int) -> np.ndarray:
    """Windows of consecutive rows, in memory.

    Args:
        array: Array in memory or mapped.
        starts: First rows [n].
        length: Rows of a window.

    Returns:
        Array [n, length, ...].

    Raises:
        DataError: The file of a mapped array was shortened.
    """
    mapped = _map_of(array)
    if mapped is None:
        return array[starts[:, None] + np.arange(length)]
    first, width = _place(mapped, array), array.strides[0]
    places = [(first + start * width, length * width) for start in starts.tolist()]
    _expect(mapped, places)
    values = np.empty((len(starts), length, *array.shape[1:]), array.dtype)
    for target, (place, _) in zip(values, places, strict=True):
        _read_into(mapped, place, target)
    return values


def release(*arrays: np.ndarray) -> None:
    """Release the memory of pages that were read of mapped arrays; other arrays are unchanged."""
    for array in arrays:
        mapped = _map_of(array)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


class Meter:
    """Counter of the bytes that passes over data have read; calls `on_progress(done, total)` after every block."""

    def __init__(self, total: int, on_progress: Callable[[int, int], None]) -> None:
        self._total, self._on_progress = total, on_progress
        self._done = 0

    def add(self, count: int) -> None:
        """Count bytes that were read. Bytes beyond the total are not reported."""
        done = min(self._done + count, self._total)
        if done > self._done:
            self._done = done
            self._on_progress(done, self._total)


def blocks(
    *arrays: np.ndarray, rows: int = BLOCK_ROWS, meter: Meter | None = None
) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
    """Consecutive blocks of rows of several arrays.

    Args:
        arrays: Arrays of equal length, in memory or mapped.
        rows: Rows of a block.
        meter: Counts the bytes that were read; None: nothing does.

    Yields:
        (first row, block of each array).
    """
    for start in range(0, len(arrays[0]), rows):
        stop = min(start + rows, len(arrays[0]))
        parts = tuple(read_rows(array, start, stop) for array in arrays)
        yield start, parts
        if meter is not None:
            meter.add(sum(part.nbytes for part in parts))


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _map_of(array: Any) -> MappedFile | None:
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array if isinstance(array, MappedFile) else None
