"""Import and checks of logs of one's own."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

from surefoot.checkpoint import versions
from surefoot.data import library, load
from surefoot.data.logs import Imported, import_log, open_log
from surefoot.data.logs.check import coverage_lines, log_remarks, read_checked
from surefoot.data.own_tasks import kept_file
from surefoot.data.remarks import remarks
from surefoot.errors import ConfigError, DataError, check_name
from surefoot.experiments.data_source import Source, check_output, open_source
from surefoot.observer import Observer, StrictOption
from surefoot.routes import POSITIONAL, SWITCH
from surefoot.tasks import TASKS
from surefoot.tasks.read_task_file import open_task_file
from surefoot.tasks.task_file import TaskFile


@dataclass(frozen=True, kw_only=True)
class LogRequest(StrictOption):
    """Turn a log of your own into a data file, as a task file says: CSV, Parquet, NPZ or HDF5, a folder of CSV or
    Parquet files, LeRobot's or Minari's. Nothing is written before the whole log was found good."""

    logs: Annotated[tuple[Path, ...], POSITIONAL] = ()
    """Files or folders, which are one log; none: those that the task file names."""
    task: Path
    """The task file, which ends in .toml."""
    constraints: tuple[str, ...] = ()
    """Names of the constraints that count; none: all. For V_h of one alone: import with it, and train on that file with
    --task NAME, the task's own name."""
    out: Path
    """HDF5 file to write."""
    overwrite: Annotated[bool, SWITCH] = False
    """Replace the file if it exists."""


@dataclass(frozen=True, kw_only=True)
class LogCheckRequest(Source):
    """Look at imported data: constraints against costs (sign, lag, contradictions), columns, units, rates, coverage."""


def import_data(options: LogRequest, observer: Observer) -> None:
    """Import a log as a data file.

    Args:
        options: Log, task file and target.
        observer: Receives progress, remarks and results.

    Raises:
        ConfigError: An option cannot be used.
        DataError: The log does not fit the task file.
    """
    file, reader = open_task_file(options.task, taken=list(TASKS))
    check_output(options.out, overwrite=options.overwrite, suffixes=(".hdf5", ".h5"))
    file = _with_constraints(file, options.constraints, options.task)
    log = open_log(logs_of(options.logs, options.task, file))
    card = {"recipe": "surefoot data import", "versions": versions()}

    def accept(path: Path, imported: Imported) -> None:
        observer.remark([f"{options.out}: {sentence}" for sentence in _import_remarks(path, imported)])

    with observer.progress("importing", unit="rows") as line:
        imported = import_log(log, file, reader, options.out, card=card, on_rows=line.report, accept=accept)
    survey = imported.survey
    observer.say(f"{options.out}: {survey.episodes:,} episodes, {survey.steps:,} transitions of {imported.task.name}.")


def _import_remarks(path: Path, imported: Imported) -> list[str]:
    """What was taken in another way than it was logged, and what is suspicious."""
    dataset = load(path, imported.task, mapped=True, checked=False)
    checked = read_checked(path, dataset, imported.file)
    return [*imported.sentences, *remarks(dataset, imported.task), *log_remarks(checked)]


def _with_constraints(file: TaskFile, names: tuple[str, ...], path: Path) -> TaskFile:
    """The task file with these constraints alone. Raises `UnknownNameError`."""
    for name in names:
        check_name(f"constraint of {path}", name, [one.name for one in file.constraint])
    kept = tuple(one for one in file.constraint if one.name in names or not names)
    return replace(file, constraint=kept)


def logs_of(given: tuple[Path, ...], task: Path, file: TaskFile) -> list[Path]:
    """Files of a log: the given ones, else those that the task file names.

    Args:
        given: Files or folders, perhaps none.
        task: Path of the task file.
        file: The task file.

    Returns:
        The files.

    Raises:
        ConfigError: Neither names files.
    """
    if given:
        return list(given)
    if file.log is None:
        raise ConfigError(
            f"{task}: log.paths: expected the files of the log, or files on the command line, found none."
        )
    return [task.parent / one for one in file.log.paths]


class LogCheck(NamedTuple):
    """Result of a check of imported data."""

    lines: list[tuple[str, str]]
    """Figures, each with its name."""
    remarks: list[str]
    """Remarks on suspicious data."""
    sentence: str
    """Sentence that nothing is suspicious; empty where something is."""


def check_data(options: LogCheckRequest, observer: Observer) -> LogCheck:
    """Check imported data: constraints against costs, columns, units, rates, coverage.

    Args:
        options: Source of the data.
        observer: Receives progress.

    Returns:
        Figures and remarks.

    Raises:
        DataError: The data were not imported from a log.
    """
    path, task = options.resolve()
    file = kept_file(path)
    if file is None or library.format_of(path) != "dsrl":
        raise DataError(
            f"{path}: expected data that `surefoot data import` wrote, found others; see surefoot data info."
        )
    opened = open_source(options, observer)
    checked = read_checked(path, opened.dataset, file)
    found = [f"{path}: {sentence}" for sentence in log_remarks(checked)]
    good = f"{path}: {task.name}: nothing suspicious in {len(opened.dataset):,} transitions."
    return LogCheck(coverage_lines(checked), found, "" if found or opened.remarks else good)
