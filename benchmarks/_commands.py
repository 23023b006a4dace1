"""How benchmarks call the command line."""

import subprocess
import sys
from pathlib import Path

from surefoot.runs.summary import read_summary


def run(*words: object) -> None:
    """Run a command of surefoot in a process of its own; ends the benchmark where it fails."""
    texts = [str(word) for word in words]
    print("surefoot", *texts, flush=True)
    if code := subprocess.run([sys.executable, "-m", "surefoot.cli.main", *texts], check=False).returncode:
        sys.exit(code)


def is_trained(path: Path) -> bool:
    """Whether the training of a run reached its end: it writes its summary last."""
    return path.exists() and "training" in read_summary(path)
