"""One writer at a time in a folder, or of a file: a lock that the system frees, whatever ends its holder."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from surefoot.errors import ConfigError, SurefootError

LOCK = ".lock"
"""Name of the file that is locked; it stays."""


@contextmanager
def holding(folder: Path, *, busy: str, seconds: float = 0.0) -> Iterator[None]:
    """Make `folder` if missing, and keep other processes that ask for its lock out.

    Raises `ConfigError`: with the words `busy` where another process has the lock for more than `seconds`, with the
    system's where the folder cannot be written to or its file system has no locks.
    """
    with claimed(folder, seconds=seconds) as ours:
        if not ours:
            raise ConfigError(f"{folder}: {busy}.")
        yield


@contextmanager
def claimed(folder: Path, *, seconds: float = 0.0) -> Iterator[bool]:
    """Hold the lock of `folder`, made if missing, unless another process has it for more than `seconds`: whether it is
    held. The lock of a process that died is free.

    Raises `ConfigError` where the folder cannot be written to or its file system has no locks.
    """
    with _acquired(folder / LOCK, seconds=seconds, error=ConfigError) as ours:
        yield ours


@contextmanager
def holding_file(
    path: Path, *, busy: str, seconds: float = 0.0, error: type[SurefootError] = ConfigError
) -> Iterator[None]:
    """Keep other processes that ask for the lock of this file out, which need not be there; the lock is a hidden file
    beside it and goes with its holder.

    Raises `error` where another process has the lock for more than `seconds`, and as `holding` does.
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
    """Hold the lock of the file `place`: whether it is held."""
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
