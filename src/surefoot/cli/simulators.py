"""`surefoot simulators`: installs the simulators of DSRL's tasks, and checks that every task runs as it should."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from surefoot.cli.options import parse
from surefoot.cli.progress import ProgressLine
from surefoot.cli.terminal import say, say_lines
from surefoot.envs.simulators.check import Probe, probe
from surefoot.envs.simulators.install import install
from surefoot.errors import ConfigError, SimulatorError, check_name
from surefoot.ranges import COUNT, Range, Ranged
from surefoot.report.tables import plain_table
from surefoot.tasks import Task, get_task
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


COMMANDS = ("install", "check")


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", ())
    if name in ("-h", "--help"):
        say_lines(
            "usage: surefoot simulators COMMAND [options]\n\ncommands:\n"
            "  install  Install simulators at exact versions.\n"
            "  check    Open tasks, step them with random actions, and compare them with the table of tasks.\n\n"
            "  surefoot simulators COMMAND --help  shows a command's options"
        )
        return
    if check_name("simulators command", name, COMMANDS) == "install":
        options: InstallOptions = parse(InstallOptions, rest, command="simulators install")
        if not options.names:
            raise ConfigError("simulators install: expected safety-gymnasium, bullet, metadrive or all, found no name.")
        install(options.names, say=say)
        say("installed; `surefoot simulators check` tries every task")
        return
    found = check(parse(CheckOptions, rest, command="simulators check"))
    say_lines(table(found))
    failures = [str(result) for result in found.values() if isinstance(result, SimulatorError)]
    if failures:
        raise SimulatorError(f"{len(failures)} of {len(found)} tasks failed; the first: {failures[0]}")


def check(options: CheckOptions) -> dict[str, Probe | SimulatorError]:
    """What became of each task. Raises `UnknownNameError` for other names, before anything runs."""
    tasks = [_simulated(name) for name in options.tasks]
    found: dict[str, Probe | SimulatorError] = {}
    with ProgressLine("checking", unit="tasks") as line:
        for number, task in enumerate(tasks):
            line.report(number, len(tasks), phase=task.name)
            try:
                found[task.name] = probe(task, steps=options.steps)
            except SimulatorError as error:
                found[task.name] = error
        line.report(len(tasks), len(tasks))
    return found


def table(found: dict[str, Probe | SimulatorError]) -> str:
    """One line for each task."""
    rows: list[dict[str, str]] = []
    for name, result in found.items():
        if isinstance(result, SimulatorError):
            rows.append({"task": name, "result": "FAILED"})
            continue
        rows.append(
            {
                "task": name,
                "result": "ok",
                "observation": str(result.observation_dim),
                "action": str(result.action_dim),
                "horizon": str(result.horizon),
                "steps per CPU second": f"{result.steps_per_cpu_second:,.0f}",
                "reset, CPU ms": f"{1000 * result.reset_cpu_seconds:.1f}",
            }
        )
    return plain_table(rows)


def _simulated(name: str) -> Task:
    task = get_task(name)
    if not task.simulated:
        raise ConfigError(f"--tasks: expected tasks of a simulator, found {name}, which is surefoot's own.")
    return task
