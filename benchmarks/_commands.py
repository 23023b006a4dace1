"""How benchmarks call the command line."""

import sys
from pathlib import Path

from surefoot.cli.main import main as surefoot
from surefoot.runs.summary import read_summary


def run(*words: object) -> None:
    """A surefoot command; ends the benchmark where it fails."""
    texts = [str(word) for word in words]
    print("surefoot", *texts, flush=True)
    if code := surefoot(texts):
        sys.exit(code)


def is_trained(path: Path) -> bool:
    """Whether the training of a run reached its end: it writes its summary last."""
    return path.exists() and "training" in read_summary(path)
