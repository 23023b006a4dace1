"""`surefoot simulators`: installs the simulators of DSRL's tasks, and checks that every task runs as it should."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from surefoot.cli.progress import Terminal
from surefoot.cli.subcommands import Subcommand, run_subcommand
from surefoot.cli.terminal import say, say_lines
from surefoot.envs.simulators.check import probe_all
from surefoot.envs.simulators.install import install
from surefoot.errors import ConfigError, SimulatorError
from surefoot.ranges import COUNT, Range, Ranged
from surefoot.report.found_rows import probe_rows
from surefoot.report.tables import plain_table
from surefoot.tasks.dsrl import DSRL_TASKS
from surefoot.tasks.trebi import ROBOTS


@dataclass(frozen=True)
class InstallOptions:
    """Install simulators at exact versions.

    Safety-Gymnasium and Bullet go into the environment of this command, MetaDrive with its old libraries into one of
    its own, under SUREFOOT_HOME (default ~/.cache/surefoot).
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """safety-gymnasium, bullet, metadrive, or all."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions(Ranged):
    """Open tasks, step them with random actions, compare them with the table of tasks, and say how fast they are."""

    tasks: tuple[str, ...] = (*DSRL_TASKS, *ROBOTS)
    """Names of tasks; by default DSRL's 38 and one for each of TREBI's simulators."""
    steps: Annotated[int, Range(COUNT)] = 50
    """Environment steps of each."""


def _install(options: InstallOptions) -> None:
    if not options.names:
        raise ConfigError("simulators install: expected safety-gymnasium, bullet, metadrive or all, found no name.")
    install(options.names, say=say)
    say("installed; `surefoot simulators check` tries every task")


def _check(options: CheckOptions) -> None:
    found = probe_all(options.tasks, steps=options.steps, observer=Terminal())
    say_lines(plain_table(probe_rows(found)))
    failures = [str(result) for result in found.values() if isinstance(result, SimulatorError)]
    if failures:
        raise SimulatorError(f"{len(failures)} of {len(found)} tasks failed; the first: {failures[0]}")


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    commands = {"install": Subcommand(InstallOptions, _install), "check": Subcommand(CheckOptions, _check)}
    run_subcommand("simulators", commands, arguments)
