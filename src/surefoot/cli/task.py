"""`surefoot task COMMAND`: task files of systems of one's own, written from a log and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import tyro

from surefoot.cli.subcommands import Subcommand, run_subcommand
from surefoot.cli.terminal import say, say_lines, show
from surefoot.experiments.task_files import InferRequest, check_task_file, infer


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


def _infer(options: InferRequest) -> None:
    infer(options)
    say(f"{options.out}: written; edit it, then: surefoot task check {options.out}")


def _check(options: CheckOptions) -> None:
    task = check_task_file(
        options.file, options.logs, tell=lambda name, value: show(f"{name:<20} {value}", soft_wrap=True)
    )
    say(f"{options.file}: {task}: good.")


def _schema(_: SchemaOptions) -> None:
    say_lines(files("surefoot").joinpath("tasks/task.schema.json").read_text())


COMMANDS: dict[str, Subcommand] = {
    "infer": Subcommand(InferRequest, _infer),
    "check": Subcommand(CheckOptions, _check),
    "schema": Subcommand(SchemaOptions, _schema),
}


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_subcommand("task", COMMANDS, arguments, about="Task files of systems of your own.")
