"""Locks of a folder or a file for one writer at a time, which the system frees, whatever ends their holder."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from surefoot.errors import ConfigError, SurefootError

LOCK = ".lock"
"""Name of the file that is locked; it stays."""


@contextmanager
def holding(folder: Path, *, busy: str, seconds: float = 0.0) -> Iterator[None]:
    """Context that holds the lock of a folder.

    Args:
        folder: Folder, made if missing.
        busy: Words for the case that another process has the lock.
        seconds: Time to wait for the lock.

    Yields:
        None.

    Raises:
        ConfigError: Another process has the lock, or the folder cannot be written to or has no locks.
    """
    with claimed(folder, seconds=seconds) as ours:
        if not ours:
            raise ConfigError(f"{folder}: {busy}.")
        yield


@contextmanager
def claimed(folder: Path, *, seconds: float = 0.0) -> Iterator[bool]:
    """Context that holds the lock of a folder unless another process has it.

    Args:
        folder: Folder, made if missing.
        seconds: Time to wait for the lock.

    Yields:
        Whether the lock is held.

    Raises:
        ConfigError: The folder cannot be written to, or its file system has no locks.
    """
    with _acquired(folder / LOCK, seconds=seconds, error=ConfigError) as ours:
        yield ours


@contextmanager
def holding_file(
    path: Path, *, busy: str, seconds: float = 0.0, error: type[SurefootError] = ConfigError
) -> Iterator[None]:
    """Context that holds the lock of a file, which need not exist.

    The lock is a hidden file beside it, and goes with its holder.

    Args:
        path: File.
        busy: Words for the case that another process has the lock.
        seconds: Time to wait for the lock.
        error: Class of the exception.

    Yields:
        None.

    Raises:
        error: Another process has the lock, or the folder cannot be written to or has no locks.
    """
    place = path.with_name(f".{path.name}{LOCK}")
    with _acquired(place, seconds=seconds, error=error) as ours:
        if not ours:
            raise error(f"{path}: {busy}.")
        try:
            yield
        finally:
            with suppress(OSError):  # Windows keeps what is open
                if place.stat().st_size == 0:  # else another's
                    place.unlink()


@contextmanager
def _acquired(place: Path, *, seconds: float, error: type[SurefootError]) -> Iterator[bool]:
    """Context that holds the lock of the file `place` where it can; gives whether it does."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place, timeout=seconds, thread_local=False)
        lock.acquire()
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError) as cause:
        reason = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        raise error(
            f"{place.parent}: expected a folder that can be written to, with a file {place.name} that can be locked, "
            f"found a fault ({reason})."
        ) from cause
    try:
        yield True
    finally:
        lock.release()
