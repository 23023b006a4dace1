"""One writer at a time in a folder: a lock that the system frees when its holder ends, however that ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from surefoot.errors import ConfigError

LOCK = ".lock"
"""Name of the file that is locked; it stays."""


@contextmanager
def holding(folder: Path, *, busy: str) -> Iterator[None]:
    """Make `folder` if missing, and keep other processes that ask for its lock out.

    Raises `ConfigError`: with the words `busy` where another process has the lock, with the system's where the folder
    cannot be written to or its file system has no locks.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
        lock.acquire()
    except Timeout as error:
        raise ConfigError(f"{folder}: {busy}.") from error
    except (OSError, NotImplementedError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigError(
            f"{folder}: expected a folder that can be written to, with a file {LOCK} that can be locked, "
            f"found a fault ({reason})."
        ) from error
    try:
        yield
    finally:
        lock.release()
