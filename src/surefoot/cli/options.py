"""What the commands share in reading their options: seeds, and the two stages in which hyper-parameters are read.

The first stage reads algorithm, task and preset only; the preset then gives the defaults of the second, in which every
field of the algorithm is a flag, so that presets change defaults and the command line always wins.
"""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import tyro

from surefoot import presets
from surefoot.cli.flags import check_arguments, ranges_in_help, reworded
from surefoot.cli.terminal import cleaned_streams
from surefoot.errors import ConfigError, FieldError
from surefoot.numerics import start_jax
from surefoot.tasks import Task, get_task

WITHOUT_JAX = ("data", "simulators")
"""Commands that need no platform of JAX's."""
MOST_SEEDS = 1024
"""Of one run; they are trained side by side in memory."""

Options = TypeVar("Options")


@dataclass(frozen=True)
class Choice:
    """What the first stage found."""

    algorithm: str
    task: Task
    preset: str
    defaults: Any
    """The algorithm with the preset's hyper-parameters."""


def parse(kind: Any, arguments: Sequence[str], *, command: str, default: Any = None) -> Any:
    """The options of `surefoot COMMAND` as an instance of the dataclass `kind`; prints help or errors and exits.

    Then JAX is started for the commands that compute, so that a missing platform is known before any work. Raises
    `ConfigError`, in which fields are called by their flags, for values that cannot be used: all of those that lie
    outside of their ranges, or else the first that does not go with the others.
    """
    if not {"-h", "--help"} & set(arguments):
        check_arguments(kind, arguments)
    try:
        with cleaned_streams(arguments):
            options = tyro.cli(
                kind, args=list(arguments), prog=f"surefoot {command}", default=default, registry=ranges_in_help()
            )
    except FieldError as error:
        raise reworded(error, kind, arguments) from error
    if command.split()[0] not in WITHOUT_JAX:
        start_jax()
    return options


def choose(
    arguments: Sequence[str],
    *,
    algorithm: str = "fisor",
    task: str = "PointRobot",
    preset: str = presets.DEFAULT_PRESET,
) -> Choice:
    """The first stage. Raises `UnknownNameError`, listing the near names, `ConfigError` where a value is missing."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name, value in (("algorithm", algorithm), ("task", task), ("preset", preset)):
        parser.add_argument(f"--{name}", default=value)
    try:
        found, _ = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise ConfigError(f"{error.argument_name}: expected a name, found none.") from error
    chosen = get_task(found.task)
    defaults = presets.build(found.algorithm, chosen, preset=found.preset)
    return Choice(found.algorithm, chosen, found.preset, defaults)


def parse_with_hyperparameters(
    kind: Callable[..., Options], arguments: Sequence[str], choice: Choice, *, command: str, **defaults: Any
) -> Options:
    """The second stage: `kind` is a generic dataclass whose field `hyper` holds the algorithm, its flags unprefixed.

    `defaults` are those of fields that have none of their own in `kind`; `tyro.MISSING` makes one required.
    """
    generic: Any = kind
    default = kind(hyper=choice.defaults, **defaults)
    return parse(generic[type(choice.defaults)], arguments, command=command, default=default)


def one_thread_a_device(choice: Choice) -> None:
    """For the preset `small`, let XLA use one thread for each of the CPU's devices, which are one a core; to be called
    before its backend starts.

    Its networks do not gain from several threads. Measured on two cores, three seeds of FISOR:
    153 s of training with a device a core and one thread each, 235 s with one device of two threads.
    """
    if choice.preset == presets.DEFAULT_PRESET:
        os.environ.setdefault(
            "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_cpu_enable_concurrency_optimized_scheduler=false"
        )


def parse_seeds(text: str) -> tuple[int, ...]:
    """`0:3` as (0, 1, 2), `0,1,5` as it stands, `5` as (5,). Raises `ConfigError`."""
    if match := re.fullmatch(r"\s*(\d{1,10}):(\d{1,10})\s*", text):
        first, end = (int(number) for number in match.groups())
        if not 0 < end - first <= MOST_SEEDS:
            raise ConfigError(f"--seeds: expected 1 to {MOST_SEEDS} seeds, found {max(end - first, 0)} in '{text}'.")
        seeds = tuple(range(first, end))
    elif re.fullmatch(r"\s*\d{1,10}(\s*,\s*\d{1,10})*\s*", text):
        seeds = tuple(int(number) for number in text.split(","))
    else:
        raise ConfigError(f"--seeds: expected a range as 0:3, a list as 0,1,2 or a number, found '{text}'.")
    if len(set(seeds)) != len(seeds) or max(seeds) >= 2**31:
        raise ConfigError(f"--seeds: expected different whole numbers from 0 to 2**31 - 1, found '{text}'.")
    return seeds
