"""Writing of data files that appear whole or not at all; faults of the system become one sentence."""

import errno
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from surefoot.data.checks import refuse
from surefoot.files import replacement, sweep, sync_file, write_bytes


class blaming:
    """Context in which exceptions of h5py and of the system become a `DataError`.

    It is a class, as a generator of `contextlib` takes several times as long, and files may hold 100,000 small arrays.
    """

    __slots__ = ("_expected", "_key", "_path")

    def __init__(self, path: Path, key: str, expected: str) -> None:
        self._path, self._key, self._expected = path, key, expected

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, OSError | RuntimeError | KeyError | ValueError | TypeError | MemoryError):
            return
        detail = " ".join(str(error).split()).strip("'\". ").replace(". ", "; ")
        if _is_full(error):
            refuse(self._path, "", expected="room on the disk to write it", found="a full disk", cause=error)
        found = f"a fault ({detail or type(error).__name__})"
        refuse(self._path, self._key, expected=self._expected, found=found, cause=error)


@contextmanager
def replacing(path: Path, *, size: int = 0, swept: bool = True) -> Iterator[Path]:
    """Context with an empty file that takes a path's place once its bytes are on the disk, and is removed on any error.

    Args:
        path: File to write; its folder is made if missing.
        size: Bytes for which the disk must have room.
        swept: Whether leftovers of killed writers in the folder are removed; False for folders of very many files.

    Yields:
        Path of the temporary file.

    Raises:
        DataError: The file cannot be written, or the disk lacks room.
    """
    with blaming(path, "", "a place that can be written to"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if swept:
            sweep(path.parent)
        check_room(path, size)
        with replacement(path) as temporary:
            write_bytes(temporary, b"")
            yield temporary
            sync_file(temporary)


@contextmanager
def new_hdf5(path: Path, *, track_order: bool = False) -> Iterator[h5py.File]:
    """Context with an empty HDF5 file to write to.

    HDF5 does not survive a failing write: closing then prints tracebacks or ends the process. So HDF5 is told that all
    writes succeeded, and the first fault is raised once the file is closed.

    Args:
        path: File to create.
        track_order: Whether keys keep the order of their creation.

    Yields:
        The open file.

    Raises:
        OSError: The disk is full, or another write failed.
    """
    with _Faultless(path, "w+") as file:
        with h5py.File(file, "w", track_order=track_order) as hdf5:
            yield hdf5
        if file.fault is not None:
            raise file.fault


class _Faultless(io.FileIO):
    """A file whose writes never fail; the first fault is kept."""

    fault: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self.fault is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.fault = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.fault = self.fault or error
            return self.tell() if size is None else size


def check_room(path: Path, size: int) -> None:
    """Check that a disk has room. Raises `DataError`.

    Args:
        path: File to write, whose folder exists.
        size: Bytes.
    """
    free = shutil.disk_usage(path.parent).free
    if size > free:
        found = f"a full disk with room for {free / 1e6:,.0f} MB"
        refuse(path, "", expected=f"room on the disk for {size / 1e6:,.0f} MB", found=found)


def _is_full(error: BaseException) -> bool:
    # HDF5 hides the system's number in its own text.
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or any(f"errno = {number}," in str(error) for number in full)
