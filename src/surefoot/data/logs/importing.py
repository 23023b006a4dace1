"""Import of a log as a data file of transitions: one pass checks and measures the log, a second one writes the file.

A batch of rows and one episode are in memory at a time. The file appears once its data are checked.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surefoot.data.cards import written_card
from surefoot.data.checks import refuse
from surefoot.data.checksums import CHECKSUM, Checksum, write_keys, write_text
from surefoot.data.dataset import Dataset
from surefoot.data.hdf5 import CARD, load
from surefoot.data.library import TASK_FILE
from surefoot.data.logs.columns import Columns, resolve_columns
from surefoot.data.logs.episodes import whole_episodes
from surefoot.data.logs.table import Log
from surefoot.data.logs.transitions import Steps, steps_of
from surefoot.data.mapping import release
from surefoot.data.writing import new_hdf5, replacing
from surefoot.errors import DataError
from surefoot.tasks import Task
from surefoot.tasks.own_task import task_of
from surefoot.tasks.read_task_file import TaskFileReader
from surefoot.tasks.task_file import FROM_DATA, TaskFile
from surefoot.tasks.violations import violations

SIGNALS_KEY = "constraint_signals"
"""Array [N, c] of every constraint by itself, in the task file's order, in files with several constraints: signals
relative to their scales, costs as they are."""

OnRows = Callable[[int, int], None]
"""Called with (rows written, rows in all)."""


@dataclass
class Survey:
    """Counts and ranges that one pass over a log found."""

    rows: int = 0
    """Rows of the log."""
    steps: int = 0
    """Transitions."""
    episodes: int = 0
    """Episodes that were kept."""
    dropped: int = 0
    """Episodes left out because numbers are missing."""
    single: int = 0
    """Episodes left out because they have a single row."""
    repeated: int = 0
    """Episodes whose last step is followed by its own observation."""
    joined: int = 0
    """Episodes that begin in one file and end in another."""
    sizes: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Sum of the absolute values of each constraint [c]."""
    low: float = np.inf
    """Smallest return of an episode."""
    high: float = -np.inf
    """Largest return of an episode."""

    def add(self, steps: Steps) -> None:
        """Add the counts and ranges of some whole episodes."""
        ends = np.flatnonzero(steps.terminated | steps.truncated)
        self.steps += len(steps.actions)
        self.episodes += len(ends)
        self.dropped += steps.dropped
        self.single += steps.single
        self.repeated += steps.repeated
        sizes = np.abs(steps.constraints).sum(0)
        self.sizes = sizes if not len(self.sizes) else self.sizes + sizes
        if steps.rewards is not None and len(ends):
            returns = np.add.reduceat(steps.rewards, np.append(0, ends[:-1] + 1))
            self.low, self.high = min(self.low, float(returns.min())), max(self.high, float(returns.max()))


@dataclass(frozen=True)
class Imported:
    """Result of an import."""

    task: Task
    """Task of the data."""
    file: TaskFile
    """Task file with the log's columns and the numbers that came from the data."""
    survey: Survey
    """Counts and ranges of the log."""

    @property
    def sentences(self) -> list[str]:
        """Sentences on what was left out or interpreted in another way than the log says."""
        found, survey = [], self.survey
        if survey.dropped:
            found.append(f"{survey.dropped:,} episodes were left out, which lack numbers")
        if survey.single:
            found.append(f"{survey.single:,} episodes of a single row were left out, which hold no step")
        if survey.joined and not self.file.episodes.time:
            found.append(
                f"{survey.joined:,} episodes go on from one file into the next, as nothing marks an end there (no time "
                f"that says whether they do)"
            )
        if survey.repeated:
            found.append(
                f"the last row of {survey.repeated:,} episodes, terminated or with a cost, is a step into a state that "
                f"the log does not hold; its own observation stands for that state"
            )
        return found


def import_log(
    log: Log, file: TaskFile, reader: TaskFileReader, out: Path, *, card: dict[str, Any] | None = None,
    on_rows: OnRows | None = None, accept: Callable[[Path, Imported], None] | None = None,
) -> Imported:  # fmt: skip
    """Write the transitions of a log to an HDF5 file, as a task file says.

    Args:
        log: Log to import.
        file: Task file.
        reader: Reader of the task file, which names its lines in messages.
        out: File to write, which appears once its data are checked.
        card: Further entries of the data card, JSON values.
        on_rows: Called while the file is written.
        accept: Called with the finished file under its temporary name; an exception refuses it.

    Returns:
        Task, completed task file, and counts.

    Raises:
        DataError: The log does not hold what the task file says.
        ConfigError: The task file does not fit the log.
    """
    columns = resolve_columns(file, log, reader)
    survey = _survey(log, columns)
    imported = _imported(columns, survey)
    facts = {TASK_FILE: imported.file.as_json(), "log": log.name, "import": _counts(survey)}
    task = imported.task
    text = json.dumps(written_card(out, CARD, task.name, {**(card or {}), **facts}))
    blocks = _arrays(log, columns, imported, on_rows)
    first = next(blocks)
    size = survey.steps * sum(values[:1].nbytes for values in first.values())
    with replacing(out, size=size) as temporary:
        with new_hdf5(temporary) as hdf5:
            _write(hdf5, survey.steps, itertools.chain([first], blocks))
            write_text(hdf5, CARD, text)
        try:
            written = load(temporary, task, mapped=True)
        except DataError as error:
            raise DataError(str(error).replace(str(temporary), log.name)) from error
        release(*(array for _, array in written.arrays()))
        if accept is not None:
            accept(temporary, imported)
    return imported


def survey_log(log: Log, file: TaskFile, reader: TaskFileReader) -> Imported:
    """Check a whole log against a task file without writing anything.

    Args:
        log: Log to check.
        file: Task file.
        reader: Reader of the task file, which names its lines in messages.

    Returns:
        Task, completed task file, and counts.

    Raises:
        DataError: The log does not hold what the task file says.
        ConfigError: The task file does not fit the log.
    """
    columns = resolve_columns(file, log, reader)
    return _imported(columns, _survey(log, columns))


def transitions_of(
    log: Log, file: TaskFile, *, reader: TaskFileReader | None = None
) -> tuple[Dataset, Imported, np.ndarray]:
    """Transitions of a log, in memory.

    Args:
        log: Log to read.
        file: Task file.
        reader: Reader of the task file, which names its lines in messages; None: messages name the task.

    Returns:
        (transitions [N, ...]; task, completed task file, and counts; each constraint by itself [N, c]).

    Raises:
        DataError: The log does not hold what the task file says.
        ConfigError: The task file does not fit the log.
    """
    columns = resolve_columns(file, log, reader or TaskFileReader(Path(f"task {file.task.name}"), ""))
    imported = _imported(columns, _survey(log, columns))
    parts = list(_arrays(log, columns, imported, None))
    found = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    only = found["constraints"] if file.signals else found["costs"]
    constraints = found.pop(SIGNALS_KEY, only[:, None])
    found["terminated"], found["truncated"] = found.pop("terminals"), found.pop("timeouts")
    return Dataset(imported.task.name, **{"rewards": None, **found}), imported, constraints


# --- passes ----------------------------------------------------------------------------------------------------------


def _survey(log: Log, columns: Columns) -> Survey:
    survey = Survey()
    for rows in whole_episodes(log, columns):
        survey.rows += len(rows)
        survey.joined += int((~rows.starts[1:] & (np.diff(rows.files) != 0)).sum())
        survey.add(steps_of(rows, columns))
    if not survey.steps:
        found = f"none ({survey.dropped:,} lack numbers, {survey.single:,} are of a single row)"
        refuse(Path(log.name), "", expected="an episode of at least one step", found=found)
    largest = max(abs(survey.low), abs(survey.high))
    if np.isfinite(survey.low) and largest > float(np.finfo(np.float32).max):
        refuse(Path(log.name), "rewards", expected="returns that fit into float32", found=f"one of size {largest:g}")
    return survey


def _imported(columns: Columns, survey: Survey) -> Imported:
    """Task file with the numbers that come from the data, its task, and the counts."""
    file = columns.file
    sizes = survey.sizes / survey.steps
    constraints = tuple(
        replace(one, scale=float(size) if size > 0 else 1.0) if one.kind == "signal" and one.scale == FROM_DATA else one
        for one, size in zip(file.constraint, sizes, strict=True)
    )
    task = file.task
    if task.reference_returns == FROM_DATA:
        low, high = (survey.low, survey.high) if np.isfinite(survey.low) else (0.0, 1.0)
        task = replace(task, reference_returns=(low, high if high > low else low + 1.0))
    file = replace(file, constraint=constraints, task=task)
    return Imported(task_of(file), file, survey)


def _arrays(log: Log, columns: Columns, imported: Imported, on_rows: OnRows | None) -> Iterator[dict[str, np.ndarray]]:
    """Arrays of a data file, block by block of whole episodes."""
    file, done = imported.file, 0
    filled = replace(columns, file=file)
    scales = np.array([one.scale if one.kind == "signal" else 1.0 for one in file.constraint], np.float64)
    for rows in whole_episodes(log, filled):
        steps = steps_of(rows, filled)
        done += len(rows)
        if on_rows is not None:
            on_rows(done, imported.survey.rows)
        if not len(steps.actions):
            continue
        constraints = steps.constraints / scales
        values = violations(constraints, file.constraint)
        found = {"observations": steps.observations, "actions": steps.actions}
        if steps.rewards is not None:
            found["rewards"] = steps.rewards
        found |= {"costs": values.costs, "next_observations": steps.next_observations}
        if values.h is not None:
            found["constraints"] = values.h
        if len(file.constraint) > 1:
            found[SIGNALS_KEY] = constraints
        numbers = {key: _float32(log, key, one) for key, one in found.items()}
        yield numbers | {"terminals": steps.terminated, "timeouts": steps.truncated}


def _float32(log: Log, key: str, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        found = np.asarray(values, np.float32)
    if not np.isfinite(found).all():
        largest = np.abs(values).max()
        refuse(Path(log.name), key, expected="numbers that fit into float32", found=f"{largest:g}")
    return found


# --- writing ---------------------------------------------------------------------------------------------------------


def _write(file: h5py.File, steps: int, blocks: Iterator[dict[str, np.ndarray]]) -> None:
    """Write blocks of arrays, `steps` rows in all, with their checksums and the list of their keys."""
    start, nodes, checksums = 0, {}, {}
    for block in blocks:
        if not nodes:
            shapes = {key: (steps, *values.shape[1:]) for key, values in block.items()}
            nodes = {key: file.create_dataset(key, shape, block[key].dtype) for key, shape in shapes.items()}
            checksums = {key: Checksum(key, block[key].dtype, shape) for key, shape in shapes.items()}
        stop = start + len(block["actions"])
        for key, node in nodes.items():
            node[start:stop] = block[key]
            checksums[key].add(block[key])
        start = stop
    for key, node in nodes.items():
        write_text(node, CHECKSUM, checksums[key].text)
    write_keys(file, list(nodes))


def _counts(survey: Survey) -> dict[str, int]:
    names = ("steps", "episodes", "dropped", "single", "repeated")
    return {name: int(getattr(survey, name)) for name in names}
