"""Logged episodes of an audit: held-out episodes, which training never saw, and training episodes."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from surefoot.data import Dataset, library
from surefoot.data.checks import float32_values
from surefoot.data.logs.importing import SIGNALS_KEY
from surefoot.data.selection import kept_aside, select
from surefoot.data.storage import find, has_key, read_array, reading
from surefoot.errors import ConfigError, option
from surefoot.evaluation.held_out import sample_to_judge
from surefoot.runs.run_data import data_task, run_data
from surefoot.tasks import Task
from surefoot.tasks.own_task import kept_task_file
from surefoot.tasks.task_file import ConstraintTable
from surefoot.training import RunConfig, RunDirectory


class ConstraintSteps(NamedTuple):
    """One constraint along the steps of episodes."""

    name: str
    limit: float | None
    """Largest safe sum over an episode; None where it must hold in every state."""
    violated: Bool[np.ndarray, " n"]
    """Whether the step enters a violation of this constraint."""
    cost: Float[np.ndarray, " n"]
    """Cost that the step adds to the episode's sum; for a signal, 1 for a step into a violation."""


class Part(NamedTuple):
    """Complete episodes, with each constraint along their steps."""

    episodes: Dataset
    constraints: tuple[ConstraintSteps, ...]


class AuditedEpisodes(NamedTuple):
    """Held-out and training episodes of an audited run."""

    path: Path
    held_out: Part
    training: Part
    """Training episodes, or a random part of them where they are many."""


def audited_episodes(run: RunDirectory, config: RunConfig, *, data: Path | None = None) -> AuditedEpisodes:
    """Held-out and training episodes of a run's data.

    Args:
        run: Folder of the run.
        config: Its configuration.
        data: Present path of the data; None: where they lay, or near the run.

    Returns:
        The episodes.

    Raises:
        ConfigError: The run held out no episodes, is on images, or on other data.
        DataError: The data cannot be read.
    """
    task = data_task(config)
    if task.image_shape is not None:
        raise ConfigError(f"{run.path}: expected a run on vectors to audit, found one on the images of {task.name}.")
    record = config.data_selection
    if "held_out" not in record:
        raise ConfigError(
            f"{run.config_path}: data_selection: held_out: expected a share of the episodes that training never saw, "
            f"found none; train with {option('held_out')} 0.1."
        )
    path = _path_of(run, config, data, task)
    everything = library.load(path, task)
    tables, signals = _signals(path, config, len(everything))
    columns = everything.observations.shape[1]
    if signals is not None:  # they travel as further columns, so that whatever is selected takes them along
        zeros = np.zeros_like(signals)
        everything = dataclasses.replace(
            everything,
            observations=np.concatenate([everything.observations, zeros], 1),
            next_observations=np.concatenate([everything.next_observations, signals], 1),
        )
    held_out = kept_aside(everything, record)
    assert held_out is not None
    parts = [_part(sample_to_judge(one), task, tables, columns) for one in (held_out, select(everything, record))]
    return AuditedEpisodes(path, *parts)


def _path_of(run: RunDirectory, config: RunConfig, data: Path | None, task: Task) -> Path:
    """The path of the run's data."""
    if data is not None:
        if not data.exists():
            library.load(data, task)  # says so
        config = dataclasses.replace(config, data_path=str(data.absolute()))
    found = run_data(run, config)
    if found.path is None or (data is not None and found.path != data.absolute()):
        why = found.reason or f"{data} holds other data than those that {run.path} was trained on"
        advice = "" if data is not None else f"; name them with {option('data')}"
        raise ConfigError(f"{why}{advice}.")
    return found.path


def _signals(
    path: Path, config: RunConfig, rows: int
) -> tuple[tuple[ConstraintTable, ...], Float[np.ndarray, "n c"] | None]:
    """The constraints of a task file and their values; none where there is one alone, which every dataset holds."""
    if config.task_file is None or path.is_dir():
        return (), None
    file = kept_task_file(config.task_file, place=f"{path}: task_file")
    with reading(path) as hdf5:
        if len(file.constraint) < 2 or not has_key(path, hdf5, SIGNALS_KEY):
            return (), None
        node = find(path, hdf5, SIGNALS_KEY)
        values = read_array(path, SIGNALS_KEY, node, float32_values, columns=len(file.constraint))  # pyright: ignore[reportArgumentType]
    if len(values) != rows:
        raise ConfigError(f"{path}: {SIGNALS_KEY}: expected {rows} rows, found {len(values)}.")
    return file.constraint, np.asarray(values)


def _part(dataset: Dataset, task: Task, tables: tuple[ConstraintTable, ...], columns: int) -> Part:
    """The episodes with their own columns, and their constraints."""
    if not tables:
        name = next((one.name for one in task.constraints if one.kind == "signal"), task.constraints[0].name)
        limit = None if task.has_signal else task.cost_limit
        return Part(dataset, (ConstraintSteps(name, limit, dataset.violating, dataset.costs.astype(np.float64)),))
    values = dataset.next_observations[:, columns:]
    own = dataclasses.replace(
        dataset,
        observations=np.ascontiguousarray(dataset.observations[:, :columns]),
        next_observations=np.ascontiguousarray(dataset.next_observations[:, :columns]),
    )
    each_one = []
    for one, column in zip(tables, values.T, strict=True):
        violated, limit = column > 0, one.limit if one.kind == "cost" else None
        cost = column.astype(np.float64) if one.kind == "cost" else violated.astype(np.float64)
        each_one.append(ConstraintSteps(one.name, limit, violated, cost))
    return Part(own, tuple(each_one))
