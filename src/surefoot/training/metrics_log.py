"""Metrics on disk: rows of JSON, which resumption cuts back to the checkpoint, and TensorBoard's events."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Self

import numpy as np
from jaxtyping import Float
from typing_extensions import TypedDict

from surefoot.errors import ConfigError
from surefoot.files import write_text
from surefoot.json_files import read_content
from surefoot.training.run_directory import RunDirectory
from surefoot.training.second_place import SecondPlace
from surefoot.training.tensorboard import TensorBoard


class MetricsRow(TypedDict):
    """Means of one seed's metrics since the last row."""

    step: int
    phase: str
    seed: int
    metrics: dict[str, float]


SeedMetrics = Mapping[str, Float[np.ndarray, " S"]]


class MetricsLog:
    """Writes the metrics of a run from update `step` on; a context manager. Rows after `step` are removed first.

    Training stops where rows cannot be written; it goes on without TensorBoard's events. A row of metrics.jsonl:
    {"step": updates done, "phase": name, "seed": seed, "metrics": {name: mean since the last row}}.
    """

    def __init__(self, run: RunDirectory, seeds: Sequence[int], *, step: int) -> None:
        kept = [line for line in _lines(run) if 0 < _step_of(line) <= step]
        write_text(run.metrics_path, "".join(f"{line}\n" for line in kept))
        self._seeds = tuple(seeds)
        self._file = run.metrics_path.open("a", encoding="utf-8")
        self._path = run.metrics_path
        self._place = SecondPlace(f"TensorBoard ({run.tensorboard_path(self._seeds[0]).parent})")
        self._boards: list[TensorBoard] = []
        for folder in map(run.tensorboard_path, self._seeds):
            self._place.attempt(lambda folder=folder: self._boards.append(TensorBoard(folder, step=step)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._named():
            self._file.close()
        for board in self._boards:
            self._place.attempt(board.flush)
            with suppress(Exception):  # it was said why
                board.close()

    def write(self, step: int, phase: str, metrics: SeedMetrics) -> None:
        """Add one row for each seed.

        Args:
            step: Updates done.
            phase: Name of the phase.
            metrics: Means by name, each [S].
        """
        each = [{name: float(value[index]) for name, value in metrics.items()} for index in range(len(self._seeds))]
        with self._named():
            for seed, values in zip(self._seeds, each, strict=True):
                row = {"step": step, "phase": phase, "seed": seed, "metrics": values}
                self._file.write(json.dumps(row, allow_nan=False) + "\n")
            self._file.flush()
        for board, values in zip(self._boards, each, strict=False):  # fewer boards where one could not be opened
            self._place.attempt(lambda board=board, values=values: board.write(step, values))

    def sync(self) -> None:
        """Wait until the rows lie on the disk, so that no checkpoint is newer than they are."""
        with self._named():
            os.fsync(self._file.fileno())
        for board in self._boards:
            self._place.attempt(board.flush)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file that cannot be written: the system does not."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error


def _lines(run: RunDirectory) -> list[str]:
    """The lines of metrics.jsonl. `ConfigError` where it cannot be read as text."""
    if not run.metrics_path.exists():
        return []
    content = read_content(run.metrics_path, what="rows of JSON", most=None)
    try:
        return content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{run.metrics_path}: expected rows of JSON in UTF-8, found other bytes.") from error


def _step_of(line: str) -> int:
    """The step of a row; 0, which no row has, for the half of a row that a killed writer leaves at the end."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0
