"""One writer at a time in a folder, or of a file: a lock that the system frees, whatever ends its holder."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from surefoot.errors import ConfigError, SurefootError

LOCK = ".lock"
"""Name of the file that is locked; it stays."""


@contextmanager
def holding(folder: Path, *, busy: str) -> Iterator[None]:
    """Make `folder` if missing, and keep other processes that ask for its lock out.

    Raises `ConfigError`: with the words `busy` where another process has the lock, with the system's where the folder
    cannot be written to or its file system has no locks.
    """
    with _held(folder / LOCK, busy=f"{folder}: {busy}.", seconds=0.0, error=ConfigError):
        yield


@contextmanager
def holding_file(
    path: Path, *, busy: str, seconds: float = 0.0, error: type[SurefootError] = ConfigError
) -> Iterator[None]:
    """Keep other processes that ask for the lock of this file out, which need not be there; the lock is a hidden file
    beside it and goes with its holder.

    Raises `error` where another process has the lock for more than `seconds`, and as `holding` does.
    """
    place = path.with_name(f".{path.name}{LOCK}")
    with _held(place, busy=f"{path}: {busy}.", seconds=seconds, error=error):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows keeps what is open
                place.unlink()


@contextmanager
def _held(place: Path, *, busy: str, seconds: float, error: type[SurefootError]) -> Iterator[None]:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place, timeout=seconds, thread_local=False)
        lock.acquire()
    except Timeout as cause:
        raise error(busy) from cause
    except (OSError, NotImplementedError) as cause:
        reason = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        raise error(
            f"{place.parent}: expected a folder that can be written to, with a file {place.name} that can be locked, "
            f"found a fault ({reason})."
        ) from cause
    try:
        yield
    finally:
        lock.release()
