"""`surefoot task COMMAND`: task files of systems of one's own, written from a log and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from surefoot.cli.data_logs import logs_of
from surefoot.cli.data_source import check_output
from surefoot.cli.options import parse
from surefoot.cli.terminal import say, say_lines, show
from surefoot.data.logs import open_log
from surefoot.data.logs.importing import survey_log
from surefoot.data.logs.infer import infer_from_spaces, infer_task_file
from surefoot.envs.own.backend import GymnasiumBackend
from surefoot.envs.own.making import EnvironmentFault
from surefoot.envs.own.unnamed import spaces_of
from surefoot.errors import ConfigError, check_name
from surefoot.files import write_text
from surefoot.tasks import TASKS
from surefoot.tasks.own_task import check_environment, task_of
from surefoot.tasks.read_task_file import TaskFileReader, open_task_file
from surefoot.tasks.task_file import TaskFile


@dataclass(frozen=True, kw_only=True)
class InferOptions:
    """Write a first task file from a log (the roles of its columns by their names, ranges by their numbers) or from a
    Gymnasium environment's spaces (Dict and Tuple flattened), with comments. Then edit it: it says what your system
    is."""

    logs: tyro.conf.Positional[tuple[Path, ...]]
    """Files or folders of one log; or an environment, as the id of Gymnasium's or as "module:function"."""
    out: Path
    """Task file to write, which ends in .toml."""
    name: str | None = None
    """What the task is called; default: as the task file."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Check a task file, and all that it names: the columns of its log row by row, its environment, of which
    it makes one and takes a step."""

    file: tyro.conf.Positional[Path]
    """The task file."""
    logs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Files or folders of one log; none: those that the task file names, if any."""


@dataclass(frozen=True, kw_only=True)
class SchemaOptions:
    """Print the JSON schema of task files, for editors."""


def infer(options: InferOptions) -> None:
    """Write the file."""
    check_output(options.out, overwrite=options.overwrite)
    name = options.name or options.out.stem
    first = options.logs[0]
    if len(options.logs) == 1 and not first.exists() and (":" in first.name or not first.suffix):
        text = _of_environment(str(first), name=name)
    else:
        paths = [_from(options.out.parent, path) for path in options.logs]
        text = infer_task_file(open_log(list(options.logs)), name=name, paths=paths)
    write_text(options.out, text)
    say(f"{options.out}: written; edit it, then: surefoot task check {options.out}")


def _of_environment(make: str, *, name: str) -> str:
    """The task file of an environment's spaces."""
    try:
        spaces, limit = spaces_of(make)
    except EnvironmentFault as fault:
        raise ConfigError(f"{make}: {fault.sentence}; a log is not at that place either.") from fault
    return infer_from_spaces(spaces, make=make, limit=limit, name=name)


def check(options: CheckOptions) -> None:
    """Say what the file is about."""
    file, reader = open_task_file(options.file, taken=list(TASKS))
    if options.logs or file.log is not None:
        imported = survey_log(open_log(logs_of(options.logs, options.file, file)), file, reader)
        file, survey = imported.file, imported.survey
        _show("log", f"{survey.episodes:,} episodes, {survey.steps:,} transitions")
        for sentence in imported.sentences:
            _show("", sentence)
    _show("observation", ", ".join(file.observation.columns))
    _show("action", ", ".join(file.action.columns))
    for one in file.constraint:
        scale = f", scale {one.scale:.4g}" if isinstance(one.scale, float) else ""
        rule = f"sum over an episode at most {one.limit:g}" if one.kind == "cost" else f"safe {one.safe}{scale}"
        _show(f"constraint {one.name}", f"{one.column or one.expression} {one.unit}".rstrip() + f": {rule}")
    if file.environment is not None:
        check_environment(file, place=str(options.file))
        _show("environment", file.environment.make)
        _probe(file, reader)
    say(f"{options.file}: {file.task.name}: good.")


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


def schema(options: SchemaOptions) -> None:
    """Print it."""
    del options
    say_lines(files("surefoot").joinpath("tasks/task.schema.json").read_text())


def _show(name: str, value: str) -> None:
    show(f"{name:<20} {value}", soft_wrap=True)


def _from(folder: Path, path: Path) -> str:
    """A path as a task file in `folder` names it."""
    try:
        return str(path.resolve().relative_to(folder.resolve()))
    except ValueError:
        return str(path.resolve())


COMMANDS: dict[str, tuple[Any, Any]] = {
    "infer": (InferOptions, infer),
    "check": (CheckOptions, check),
    "schema": (SchemaOptions, schema),
}


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", ())
    if name in ("-h", "--help"):
        say_lines(_usage())
        return
    kind, work = COMMANDS[check_name("task command", name, COMMANDS)]
    work(parse(kind, list(rest), command=f"task {name}"))


def _usage() -> str:
    lines = [f"  {name:<8}{' '.join(kind.__doc__.split())}" for name, (kind, _) in COMMANDS.items()]
    head = ["usage: surefoot task COMMAND [options]", "", "Task files of systems of your own.", "", "commands:"]
    return "\n".join([*head, *lines, "", "  surefoot task COMMAND --help  shows a command's options"])
