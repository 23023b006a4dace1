"""Arrays that stay in their file: mapped into memory, read where they are used, their pages given back afterwards.

A mapped array is a NumPy array like any other. Pages that were touched count as memory of this process until they are
released; they are then read again, from the system's cache or the disk, where they are needed again.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

BLOCK_ROWS = 16_384
"""Rows worked on at a time, so that a pass over a large file needs little memory."""


def map_dataset(path: Path, node: h5py.Dataset) -> np.ndarray | None:
    """The values of an HDF5 dataset mapped from the file at `path`, read-only; None where they do not lie there as they
    would in memory: chunked, compressed, of another byte order, or elsewhere."""
    offset = node.id.get_offset()
    if offset is None or node.dtype.kind not in "bf" or not node.dtype.isnative or not node.size:
        return None
    mapped = np.memmap(path, node.dtype, "r", offset, node.shape)
    # A block of the user's own in front of the file, or data in another file, would shift what is found there.
    same = all(np.array_equal(mapped[row], node[row], equal_nan=node.dtype.kind == "f") for row in (0, -1))
    return np.asarray(mapped) if same else None


def is_mapped(array: np.ndarray) -> bool:
    """Whether the array's values lie in a file."""
    return _map_of(array) is not None


def release(*arrays: np.ndarray) -> None:
    """Give back the memory of what was read of mapped arrays; does nothing to others."""
    for array in arrays:
        mapped = _map_of(array)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def blocks(*arrays: np.ndarray, rows: int = BLOCK_ROWS) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
    """First row and the same `rows` rows of all arrays, block after block; each is released when it was used."""
    for start in range(0, len(arrays[0]), rows):
        yield start, tuple(array[start : start + rows] for array in arrays)
        release(*arrays)


def _map_of(array: Any) -> mmap.mmap | None:
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array if isinstance(array, mmap.mmap) else None
