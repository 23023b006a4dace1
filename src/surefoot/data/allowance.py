"""Limits on the size of a file's arrays: by the file itself, and by the free memory."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import h5py
import psutil
from h5py import h5i  # pyright: ignore[reportAttributeAccessIssue]

from surefoot.data.checks import refuse
from surefoot.system import address_space_left
from surefoot.text import shell_word

SMALL_BYTES = 64 * 2**20
"""Size in bytes up to which arrays are read whatever the size of their file."""
LARGEST_RATIO = 100
"""Bytes in memory per byte of the file above which arrays beyond `SMALL_BYTES` are refused. Compressed floats take a
half to a fifth of their size, images a fifth; gzip reaches a thousand on zeros."""
LARGEST_STRIPE_RATIO = 32
"""Bytes per byte of the file, as `LARGEST_RATIO`, of the chunks that must be in memory at once to read a row."""


def check_memory(path: Path, key: str, needed: float, *, available: int | None = None) -> None:
    """Check that there is memory for data.

    Args:
        path: File, for messages.
        key: Key of the data, for messages.
        needed: Bytes that are needed.
        available: Bytes that are free; None: those of the system now.

    Raises:
        DataError: There is less.
    """
    free = available_memory() if available is None else available
    if needed > free:
        way = f"surefoot data convert {shell_word(path)} --out FILE"
        found = f"{megabytes(free)} that are free; `{way}` writes a file that the data can stay in"
        refuse(path, key, expected=f"{megabytes(needed)} of memory for the data", found=found)


class Allowance:
    """Memory that the arrays of one file may take, counted as they are opened and before they are read."""

    def __init__(self, path: Path, *, copies: float = 1.0) -> None:
        """`copies`: how often the values are in memory at the worst moment."""
        self._path, self._copies, self._available = path, copies, available_memory()
        self._declared, self._needed = 0, 0.0
        self._file_bytes: int | None = None

    def take(self, key: str, node: h5py.Dataset, *, in_memory: bool = True, item_bytes: int = 4) -> None:
        """Count one more array.

        Args:
            key: Key of the array, for messages.
            node: Array in the file.
            in_memory: Whether it is read into memory.
            item_bytes: Bytes of a number once it is read.

        Raises:
            DataError: The arrays so far are implausibly large for the file, or too large for the memory.
        """
        size, item = self.file_bytes(node), node.id.get_type().get_size()
        self._declared += math.prod(node.shape or ()) * item
        most = max(SMALL_BYTES, LARGEST_RATIO * size)
        if self._declared > most:
            expected = f"at most {megabytes(most)} in a file of {megabytes(size)}"
            refuse(self._path, key, expected=expected, found=f"{megabytes(self._declared)}, declared by {node.shape}")
        stripe, largest = stripe_bytes(node, item), max(SMALL_BYTES, LARGEST_STRIPE_RATIO * size)
        if stripe > largest:
            expected = f"chunks that take at most {megabytes(largest)} for a row"
            refuse(self._path, key, expected=expected, found=f"{megabytes(stripe)}, by chunks of {node.chunks}")
        self._needed += self._copies * item_bytes * math.prod(node.shape) if in_memory else 0
        check_memory(self._path, key, self._needed, available=self._available)

    def file_bytes(self, node: h5py.Dataset) -> int:
        """Bytes of the file, asked of the first array only."""
        if self._file_bytes is None:
            self._file_bytes = file_size(node)
        return self._file_bytes


def file_size(node: h5py.Dataset) -> int:
    """Bytes of the file that an array lies in."""
    return h5i.get_file_id(node.id).get_filesize()


def declared_bytes(node: h5py.Dataset) -> int:
    """Bytes of an array's values, by its shape and type."""
    return math.prod(node.shape or ()) * node.id.get_type().get_size()


def stripe_bytes(node: h5py.Dataset, item_bytes: int) -> int:
    """Bytes of all chunks that hold a part of a row; of a row where there are no chunks.

    Args:
        node: Array in the file.
        item_bytes: Bytes of a number.

    Returns:
        Number of bytes.
    """
    chunks: Sequence[int] = node.chunks or (1,) * len(node.shape)
    across = [-(-length // chunk) * chunk for length, chunk in zip(node.shape[1:], chunks[1:], strict=True)]
    return chunks[0] * math.prod(across) * item_bytes


def megabytes(size: float) -> str:
    """Text of a number of bytes."""
    return f"{size / 1e6:,.1f} MB"


_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Folder, limit, usage and the part of the usage that is given back on demand: of a container, by version 2 and 1 of
Linux's control groups."""


def available_memory() -> int:
    """Bytes that this process may still take, by the system, its control group and its own limits."""
    found = [psutil.virtual_memory().available]
    for folder, limit, usage, cached in _GROUPS:
        with suppress(OSError, ValueError, KeyError):  # "max" is no limit
            lines = (line.split() for line in Path(folder, "memory.stat").read_text(encoding="utf-8").splitlines())
            given_back = {name: int(count) for name, count in lines}[cached]
            used = int(Path(folder, usage).read_text(encoding="utf-8")) - given_back
            found.append(int(Path(folder, limit).read_text(encoding="utf-8")) - used)
    if (left := address_space_left()) is not None:
        found.append(left)
    return max(0, min(found))
