"""What Linux, macOS and Windows answer in different ways: time, memory, room on the disk."""

import os
import sys
from pathlib import Path

import psutil

_BLOCK = 2**20


def cpu_seconds() -> float:
    """Processor time of this process and of its children that ended; Windows does not count those."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_memory() -> int:
    """The most memory that this process held, bytes."""
    try:
        import resource
    except ImportError:  # Windows, which keeps count elsewhere
        found = psutil.Process().memory_info()
        return getattr(found, "peak_wset", found.rss)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def address_space_left() -> int | None:
    """Bytes that this process may still take by its own limit; None where it has none."""
    try:
        import resource
    except ImportError:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit - psutil.Process().memory_info().vms


def process_runs(process_id: int, *, wrote_at: float) -> bool:
    """Whether a process of that number runs that could have written a file last changed at `wrote_at` (seconds since
    the epoch): one that began an hour later only has the number of the one that wrote it."""
    try:
        process = psutil.Process(process_id)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() < wrote_at + 3600
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def allocate(path: Path, size: int) -> None:
    """Create a file that takes `size` bytes of the disk. Raises `OSError`."""
    with path.open("xb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        zeros = bytes(_BLOCK)
        for start in range(0, size, _BLOCK):
            file.write(zeros[: size - start])
