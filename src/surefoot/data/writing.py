"""Data files appear whole or not at all, and what the system says against it becomes one sentence."""

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
    """Turn what h5py and the system raise into a `DataError`.

    A class, as one of `contextlib`'s generators takes several times as long: files hold 100,000 small arrays.
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
    """An empty file to write to that takes `path`'s place once its bytes are on the disk, and is removed on any error.

    Its folder is made if missing. What killed writers left there is removed, unless not `swept`: for folders of very
    many files. Raises `DataError` where it cannot be written, before any writing where the disk has no room for `size`
    bytes.
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
    """An empty HDF5 file at `path` to write to. Raises `OSError` where the disk fills.

    HDF5 does not survive a write that fails: closing then prints tracebacks or ends the process. So it is told that all
    went well, and the first fault is raised when it has closed the file.
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
    """Refuse to write `size` bytes to `path` where its disk has less room; the folder must be there."""
    free = shutil.disk_usage(path.parent).free
    if size > free:
        found = f"a full disk with room for {free / 1e6:,.0f} MB"
        refuse(path, "", expected=f"room on the disk for {size / 1e6:,.0f} MB", found=found)


def _is_full(error: BaseException) -> bool:
    # HDF5 hides the system's number in its own text.
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or any(f"errno = {number}," in str(error) for number in full)
