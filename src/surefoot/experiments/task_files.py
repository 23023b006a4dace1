"""Task files of systems of one's own: inferred from a log or an environment, and checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from surefoot.data.logs import open_log
from surefoot.data.logs.importing import survey_log
from surefoot.data.logs.infer import infer_from_spaces, infer_task_file
from surefoot.envs.own.backend import GymnasiumBackend
from surefoot.envs.own.making import EnvironmentFault, check_maker
from surefoot.envs.own.unnamed import spaces_of
from surefoot.errors import ConfigError
from surefoot.experiments.data_logs import logs_of
from surefoot.experiments.data_source import check_output
from surefoot.files import write_text
from surefoot.routes import POSITIONAL, SWITCH
from surefoot.tasks import TASKS
from surefoot.tasks.own_task import task_of
from surefoot.tasks.read_task_file import TaskFileReader, open_task_file
from surefoot.tasks.task_file import TaskFile


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """Write a first task file from a log (the roles of its columns by their names, ranges by their numbers) or from a
    Gymnasium environment's spaces (Dict and Tuple flattened), with comments. Then edit it: it says what your system
    is."""

    logs: Annotated[tuple[Path, ...], POSITIONAL]
    """Files or folders of one log; or an environment, as the id of Gymnasium's or as "module:function"."""
    out: Path
    """Task file to write, which ends in .toml."""
    name: str | None = None
    """What the task is called; default: as the task file."""
    overwrite: Annotated[bool, SWITCH] = False
    """Replace the file if it exists."""


def infer(request: InferRequest) -> None:
    """Write a task file inferred from a log or an environment. Raises `ConfigError` where it exists or cannot be
    inferred."""
    check_output(request.out, overwrite=request.overwrite, suffixes=(".toml",))
    name = request.name or request.out.stem
    first = request.logs[0]
    if len(request.logs) == 1 and not first.exists() and (":" in first.name or not first.suffix):
        text = _of_environment(str(first), name=name)
    else:
        paths = [_from(request.out.parent, path) for path in request.logs]
        text = infer_task_file(open_log(list(request.logs)), name=name, paths=paths)
    write_text(request.out, text)


def _of_environment(make: str, *, name: str) -> str:
    """The task file of an environment's spaces."""
    try:
        spaces, limit = spaces_of(make)
    except EnvironmentFault as fault:
        raise ConfigError(f"{make}: {fault.sentence}; a log is not at that place either.") from fault
    return infer_from_spaces(spaces, make=make, limit=limit, name=name)


def _from(folder: Path, path: Path) -> str:
    """A path as a task file in `folder` names it."""
    try:
        return str(path.resolve().relative_to(folder.resolve()))
    except ValueError:
        return str(path.resolve())


def check_task_file(path: Path, logs: Sequence[Path] = (), *, tell: Callable[[str, str], None]) -> str:
    """Check a task file with its log, row by row, and its environment, which is made and takes one step.

    Args:
        path: The task file.
        logs: Files of the log; none: those that it names.
        tell: Called with (name, text) for each fact of the file.

    Returns:
        Name of the task.

    Raises:
        ConfigError: The file, the log or the environment does not fit.
    """
    file, reader = open_task_file(path, taken=list(TASKS))
    if logs or file.log is not None:
        imported = survey_log(open_log(logs_of(tuple(logs), path, file)), file, reader)
        file, survey = imported.file, imported.survey
        tell("log", f"{survey.episodes:,} episodes, {survey.steps:,} transitions")
        for sentence in imported.sentences:
            tell("", sentence)
    tell("observation", ", ".join(file.observation.columns))
    tell("action", ", ".join(file.action.columns))
    for one in file.constraint:
        scale = f", scale {one.scale:.4g}" if isinstance(one.scale, float) else ""
        rule = f"sum over an episode at most {one.limit:g}" if one.kind == "cost" else f"safe {one.safe}{scale}"
        tell(f"constraint {one.name}", f"{one.column or one.expression} {one.unit}".rstrip() + f": {rule}")
    if file.environment is not None:
        check_maker(file, reader)
        tell("environment", file.environment.make)
        _probe(file, reader)
    return file.task.name


def _probe(file: TaskFile, reader: TaskFileReader) -> None:
    """Make the environment, and take a step; what does not fit is said with the line of the task file."""
    if any("*" in name for name in (*file.observation.columns, *file.action.columns)):
        return  # the log, which is not there, says how many columns there are
    try:
        backend = GymnasiumBackend(task_of(file), draws=False)
        backend.reset(0)
        backend.step(backend.units.physical(np.zeros(len(backend.units.low))))
        backend.close()
    except EnvironmentFault as fault:
        reader.refuse(fault.key, fault.sentence)
