"""How much memory this process may still take, by the system, its control group and its own limits."""

from contextlib import suppress
from pathlib import Path

import psutil

from surefoot.system import address_space_left

_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Folder, limit, usage and the part of the usage that is given back on demand: of a container, by version 2 and 1 of
Linux's control groups."""


def available_memory() -> int:
    """Bytes."""
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
