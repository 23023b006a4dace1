"""A pipe under the name of one of our files keeps nobody waiting: a sentence says that it is none."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import jax.numpy as jnp
import pytest

from surefoot import checkpoint
from surefoot.collection.store import Store
from surefoot.errors import SurefootError
from surefoot.evaluation.rows import read_budget_rows
from surefoot.training import RunDirectory
from surefoot.training.metrics_log import MetricsLog

SECONDS = 20
"""After which waiting for a writer counts as for ever."""


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise AssertionError("the pipe was opened")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def arrays(folder: Path) -> Path:
    checkpoint.save(folder, {"w": jnp.ones(2)}, {})
    (found,) = folder.glob("*.safetensors")
    found.unlink()
    return found


def part(folder: Path) -> Path:
    (folder / "collection.json").write_text("{}")
    (folder / "episodes").mkdir()
    return folder / "episodes" / "000000-0123456789abcdef.safetensors"


def load(folder: Path) -> None:
    checkpoint.load(folder, {"w": jnp.ones(2)})


def collect(folder: Path) -> None:
    with Store(folder).opened({}, reserve=0):
        pass


CASES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object], str]] = {
    "arrays": (arrays, load, "arrays cannot be read"),
    "metrics": (
        lambda folder: folder / "metrics.jsonl",
        lambda folder: MetricsLog(RunDirectory(folder), [0], step=0),
        "metrics.jsonl: expected rows of JSON, found a folder or a device",
    ),
    "rows": (
        lambda folder: folder / "budget_episodes.jsonl",
        lambda folder: read_budget_rows(folder / "budget_episodes.jsonl"),
        "found a folder or a device; remove the file to begin again",
    ),
    "part": (
        part,
        collect,
        "000000-0123456789abcdef.safetensors: expected a readable file, found something that is no file",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_pipe_is_refused(name: str, tmp_path: Path) -> None:
    place, read, sentence = CASES[name]
    pipe = place(tmp_path)
    os.mkfifo(pipe)
    with pytest.raises(SurefootError, match=sentence):
        read(tmp_path)
