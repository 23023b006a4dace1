"""The memory of a test process, most of which is compiled programs."""

import ctypes
import gc
import sys
from pathlib import Path

import jax


def status(name: str) -> float:
    """Bytes that the system counts for this process; 0 where it does not say."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(text.split(f"{name}:")[1].split()[0]) if f"{name}:" in text else 0


def drop_programs(*, above: float = 0) -> None:
    """Forget compiled programs where the process holds more bytes than that, and hand the memory back to the system,
    as glibc does not of itself."""
    if status("VmRSS") <= above:
        return
    jax.clear_caches()
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
