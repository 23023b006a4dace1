"""Checks of the arguments of `fit`: whether they can be trained on, and agree with the run's folder."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from surefoot import checkpoint
from surefoot.data import TransitionStream
from surefoot.errors import ConfigError, DataError
from surefoot.hyperparameters import from_hyperparameters, hyperparameters
from surefoot.protocols import Algorithm
from surefoot.ranges import SEED, Range, check_count, fault_of
from surefoot.training.run_directory import RunDirectory
from surefoot.types import DataSpec, Transition


def check_config(run: RunDirectory, identity: dict[str, Any], algorithm: Algorithm, seeds: tuple[int, ...]) -> None:
    """Check that a run's configuration is the one that `fit` is called with.

    Args:
        run: Folder of the run.
        identity: Identity in its configuration.
        algorithm: Algorithm to train.
        seeds: Seeds to train.

    Raises:
        ConfigError: Hyper-parameters or seeds differ.
    """
    source = str(run.config_path)
    # Read and written again: a run from before a field was added lacks it.
    asked = hyperparameters(from_hyperparameters(type(algorithm), identity["hyperparameters"], source=source))
    expected = {"hyperparameters": asked, "seeds": identity["seeds"]}
    called = {"hyperparameters": hyperparameters(algorithm), "seeds": list(seeds)}
    for name, found in called.items():
        if found != expected[name]:
            raise ConfigError(f"{source}: {checkpoint.difference(name, expected[name], found)}.")


def check_arguments(
    data: Any, spec: DataSpec, seeds: Sequence[int], log_interval: int,
    checkpoint_interval: int, stop_at: int | None,
) -> None:  # fmt: skip
    """Check seeds, intervals and shapes of the data.

    Args:
        data: Data in memory, or a stream.
        spec: Shapes of the task's data.
        seeds: Seeds, different whole numbers.
        log_interval: Updates between rows of metrics.
        checkpoint_interval: Updates between checkpoints.
        stop_at: Update to stop at, or None.

    Raises:
        ConfigError: A seed or an interval cannot be used.
        DataError: The data are empty or have other shapes than `spec`.
    """
    good = all(fault_of(seed, Range(SEED), whole=True) is None for seed in seeds)
    if not len(seeds) or not good or len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds: expected different whole numbers from 0 to 2**31 - 1, found {list(seeds)}.")
    intervals = {"log_interval": log_interval, "checkpoint_interval": checkpoint_interval, "stop_at": stop_at}
    for name, value in intervals.items():
        if value is not None:
            check_count(value, name)
    if isinstance(data, TransitionStream):
        data = data.take(np.zeros(1, np.int64))
    if not isinstance(data, Transition):
        if not data.num_rows:
            raise DataError("data: expected at least one row that can be drawn, found none.")
        return
    rows = data.reward.shape[0]
    widths = {"observation": spec.observation_dim, "next_observation": spec.observation_dim, "action": spec.action_dim}
    for name, values in data._asdict().items():
        wanted = (rows, widths[name]) if name in widths else (rows,)
        if values.shape != wanted or values.dtype != np.float32 or not math.prod(values.shape):
            raise DataError(f"data: {name}: expected float32{list(wanted)} of at least one row, "
                            f"found {values.dtype}{list(values.shape)}.")  # fmt: skip
