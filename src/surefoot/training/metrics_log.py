"""Metrics on disk: rows of JSON, which resuming cuts back to the checkpoint, and TensorBoard's events."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from jaxtyping import Float
from tensorboardX import SummaryWriter

from surefoot.errors import ConfigError
from surefoot.files import write_text
from surefoot.training.run_directory import RunDirectory

SeedMetrics = Mapping[str, Float[np.ndarray, " S"]]


class MetricsLog:
    """Writes the metrics of a run from update `step` on; a context manager. Rows after `step` are removed first.

    A row of metrics.jsonl: {"step": updates done, "phase": name, "seed": seed, "metrics": {name: mean since the last}}.
    """

    def __init__(self, run: RunDirectory, seeds: Sequence[int], *, step: int) -> None:
        kept = [line for line in _lines(run) if 0 < _step_of(line) <= step]
        write_text(run.metrics_path, "".join(f"{line}\n" for line in kept))
        self._seeds = tuple(seeds)
        self._file = run.metrics_path.open("a")
        # TensorBoard hides older events from purge_step on. The process and the step in the name keep a run that
        # resumes within a second from writing over the events of the one before.
        self._writers = [
            SummaryWriter(
                str(run.tensorboard_path(seed)), purge_step=step + 1, filename_suffix=f".{os.getpid()}.{step}"
            )
            for seed in self._seeds
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        for writer in self._writers:
            writer.close()

    def write(self, step: int, phase: str, metrics: SeedMetrics) -> None:
        """Add one row per seed."""
        for index, (seed, writer) in enumerate(zip(self._seeds, self._writers, strict=True)):
            values = {name: float(value[index]) for name, value in metrics.items()}
            row = {"step": step, "phase": phase, "seed": seed, "metrics": values}
            self._file.write(json.dumps(row, allow_nan=False) + "\n")
            for name, value in values.items():
                writer.add_scalar(name, value, step)
        self._file.flush()

    def sync(self) -> None:
        """Wait until the rows lie on the disk: a checkpoint must not be older than they are."""
        os.fsync(self._file.fileno())
        for writer in self._writers:
            writer.flush()


def _lines(run: RunDirectory) -> list[str]:
    """The lines of metrics.jsonl. `ConfigError` where it cannot be read as text."""
    try:
        return run.metrics_path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ConfigError(f"{run.metrics_path}: expected rows of JSON, found something that cannot be read.") from error


def _step_of(line: str) -> int:
    """The step of a row; 0, which no row has, for the half of a row that a killed writer leaves at the end."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 0
