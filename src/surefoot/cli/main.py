"""`surefoot COMMAND`: finds the command, and turns what goes wrong into one sentence and an exit code.

Commands are imported when they are called: `surefoot --help` loads neither JAX nor tyro.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from surefoot.cli.terminal import drop, flush_output, note, prepare_streams, say, say_lines
from surefoot.errors import ConfigError, SurefootError, check_name, flag, options_called
from surefoot.foreign_errors import foreign_sentence, system_sentence
from surefoot.interrupts import Stopped, stopping
from surefoot.jax_start import prepare_jax
from surefoot.streams import forgiving_stderr

USER_ERROR, SIGNALLED, INTERRUPTED, PIPE_CLOSED = 2, 128, 130, 141
"""Exit codes: wrong input (argparse's and tyro's too), Ctrl-C, a reader that left (128 + the signal's number; so for
SIGTERM 143 and SIGHUP 129)."""


AGAIN, AS_IT_WAS = "start the same command again", "the run is as it was, start the command again"


@dataclass(frozen=True)
class Command:
    """One command: its module has `run(arguments)`."""

    description: str
    after_interrupt: str = AGAIN
    """How to go on after Ctrl-C."""
    module: str = ""
    """In `surefoot.cli`; by default as the command is called."""
    devices: int | None = None
    """Of the CPU that JAX gets, on which rounding depends; None: one per core."""


COMMANDS: dict[str, Command] = {
    "quickstart": Command(
        "Collect data, train FISOR, measure it against the exact feasible set, write a report.", f"{AGAIN} to go on"
    ),
    "collect": Command(
        "Collect a dataset with our own behaviours, or with a safe learner in a simulator.",
        f"{AGAIN}; what was collected from a simulator is kept",
    ),
    "data": Command(
        "Fetch and check published data; look at datasets, filter and convert them.",
        f"{AGAIN}; a download goes on where it stopped",
    ),
    "task": Command("Write a task file for a system of your own from its log, and check it."),
    "algorithms": Command("List the algorithms: papers, inputs, values, sizes, presets."),
    "train": Command("Train an algorithm on a dataset, for several seeds at once.", f"{AGAIN} with --resume to go on"),
    "finetune": Command(
        "Go on with a trained policy online, from its offline data and new episodes.",
        f"{AGAIN} with --resume to go on",
    ),
    "evaluate": Command(
        "Measure the policy and the feasible region of a run.",
        f"{AGAIN}; episodes under budgets that are done are kept",
    ),
    "import": Command(
        "Begin a TREBI run with Diffuser's published PyTorch weights as its behaviour model.",
        "nothing was written, start the command again",
        module="import_weights",
    ),
    "calibrate": Command(
        "Find the margin on a planner's predicted cost that keeps a level of episodes over budget.", AS_IT_WAS
    ),
    "audit": Command("Judge a run by logged episodes that its training never saw, without a simulator.", AS_IT_WAS),
    "bench": Command("Time how long a policy takes to act.", AS_IT_WAS),
    "sweep": Command(
        "Train and measure on several shares of the data, and draw what less data do.",
        f"{AGAIN}, or with --out and --resume alone, to go on",
    ),
    "benchmark": Command(
        "Train and measure the methods of a plan on its tasks, and compare them.",
        f"{AGAIN} to go on",
        devices=1,  # the same numbers from every executor and machine
    ),
    "simulators": Command("Install the simulators of DSRL's tasks, or check that every task runs."),
    "report": Command("Write the HTML page of a run.", AS_IT_WAS),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: this process's) and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    with stopping(), forgiving_stderr():
        code = _answer(words)
        if arguments is None and code > SIGNALLED:
            # What was compiled or computed when the signal came may still be, and a Python that ends beside it crashes.
            sys.stderr.flush()
            os._exit(code)
    return code


def _answer(words: list[str]) -> int:
    """The exit code of a command line; what goes wrong becomes one sentence on stderr."""
    name = words[0] if words else "--help"
    try:
        if any("\0" in word for word in words):  # not from a shell; no file has such a name
            raise ConfigError("expected words without null characters, found one with them.")
        code = _dispatch(name, words[1:])
        flush_output()
    except SurefootError as error:
        note(f"error: {error}")
        code = USER_ERROR
    except KeyboardInterrupt as stop:
        hint = COMMANDS[name].after_interrupt if name in COMMANDS else "nothing was done"
        note(f"interrupted{f' by {stop}' if isinstance(stop, Stopped) else ''}: {hint}.")
        code = stop.exit_code if isinstance(stop, Stopped) else INTERRUPTED
    except BrokenPipeError:
        drop(sys.stdout)
        return PIPE_CLOSED
    except OSError as error:
        note(f"error: {system_sentence(error)}")
        code = USER_ERROR
    except (MemoryError, RuntimeError, FloatingPointError) as error:
        if (sentence := foreign_sentence(error)) is None:
            raise
        note(f"error: {sentence}")
        code = USER_ERROR
    try:
        flush_output()
    except OSError:
        drop(sys.stdout)
    return code


def usage() -> str:
    """What `surefoot --help` prints."""
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {command.description}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: surefoot COMMAND [options]",
            "",
            "Safe offline reinforcement learning: from logged transitions to a policy that knows where it is safe.",
            "",
            "commands:",
            *lines,
            "",
            "  surefoot COMMAND --help         shows a command's options, with units and defaults",
            "  surefoot COMMAND --config FILE  takes options from a TOML file, by the names of their flags, which win",
            "  surefoot --version              shows the version",
        ]
    )


def _dispatch(name: str, arguments: Sequence[str]) -> int:
    if name in ("-h", "--help", "help"):
        say_lines(usage())
        return 0
    if name in ("-V", "--version"):
        from surefoot import __version__

        say(f"surefoot {__version__}")
        return 0
    command = COMMANDS[check_name("command", name, COMMANDS)]
    prepare_jax(devices=command.devices)
    run: Callable[[Sequence[str]], None] = importlib.import_module(f"surefoot.cli.{command.module or name}").run
    from surefoot.cli.config_file import expanded  # here: it reads TOML, which --help needs not
    from surefoot.numerics import pinned

    try:
        with pinned(start=False), options_called(flag), expanded(arguments) as words:
            run(words)
    except SystemExit as stop:  # tyro has printed its help
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
