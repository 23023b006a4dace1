"""What every result file says of where its numbers come from."""

import datetime
import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from surefoot.files import write_whole
from surefoot.result_files import content_of

RESULTS = Path(__file__).parent / "results"


def head() -> dict[str, Any]:
    """Command, date, machine and versions, as JSON values."""
    return {
        "command": "python " + " ".join(sys.argv),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": processor(),
            "cores": cores(),
            "load_average_before": [round(load, 2) for load in os.getloadavg()],
            "devices": [device.device_kind for device in jax.devices()],
            "system": platform.platform(),
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("jax", "jaxlib", "numpy", "optax", "equinox")},
        },
    }


def own_and_further_words() -> tuple[list[str], list[str]]:
    """The command's words before and after `--`. argparse refuses what follows a list of words that stands last."""
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    return words[:cut], words[cut + 1 :]


def write(name: str, results: dict[str, Any]) -> Path:
    """Write benchmarks/results/<name>.json and return its path."""
    path = RESULTS / f"{name}.json"
    write_public(path, results)
    return path


def write_public(path: Path, value: Any) -> None:
    """Write a file that goes into the repository: every absolute path in it by its last name."""
    write_whole(path, content_of(path.name, value))


def cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_mb() -> float:
    """The most memory that this process, or one that it started and that ended, has held so far, 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return most * unit / 1e6


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()


def verdict(figure: float, target: float, *, at_most: bool = False) -> str:
    """Whether a figure reaches its target, in words."""
    reached = figure <= target if at_most else figure >= target
    return f"{figure:.3g} ({'at most' if at_most else 'at least'} {target:g}: {'reached' if reached else 'MISSED'})"
