"""What the commands share in reading their options: seeds, and the two stages in which hyper-parameters are read.

The first stage reads algorithm, task and preset only; the preset then gives the defaults of the second, in which every
field of the algorithm is a flag, so that presets change defaults and the command line always wins.
"""

import argparse
import dataclasses
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro

from surefoot import presets
from surefoot.cli.arguments import check_words
from surefoot.cli.config_file import active_config
from surefoot.cli.config_options import checked_config
from surefoot.cli.flags import argument_faults, flags_of, given_flags, ranges_in_help, with_todays_names, without_flags
from surefoot.cli.terminal import cleaned_streams
from surefoot.data.own_tasks import find_task
from surefoot.errors import ConfigError, FieldError, SurefootError
from surefoot.experiments.unread import limits_elsewhere
from surefoot.faults import Faults
from surefoot.numerics import start_jax
from surefoot.tasks import Task

WITHOUT_JAX = ("data", "simulators", "task")
"""Commands that need no platform of JAX's."""

Options = TypeVar("Options")


@dataclass(frozen=True)
class Choice:
    """What the first stage found."""

    algorithm: str
    task: Task
    preset: str
    defaults: Any
    """The algorithm with the preset's hyper-parameters."""


def parse(
    kind: Any, arguments: Sequence[str], *, command: str, default: Any = None,
    elsewhere: dict[str, str] | None = None, faults: Faults | None = None,
) -> Any:  # fmt: skip
    """The options of `surefoot COMMAND` as an instance of the dataclass `kind`; prints help and exits.

    Then JAX is started for the commands that compute, so that a missing platform is known before any work. Words that
    are no options, and values that lie outside of their ranges or do not go with the others, are gathered in `faults`,
    and the options are then those of a command line without them. Without `faults`, and where a required one is
    lacking, they all are one `ConfigError`. Fields are called by their flags. `elsewhere`: names that are no options of
    the command, and what is to be said of each.
    """
    with Faults() if faults is None else nullcontext(faults) as gathered:
        words = given = list(arguments)
        if not {"-h", "--help"} & set(arguments):
            if (config := active_config()) is not None:
                words = checked_config(kind, words, config, default=default, elsewhere=elsewhere or {}, faults=gathered)
            words = given = with_todays_names(kind, words)
            checked = check_words(kind, words, command=command, default=default, elsewhere=elsewhere)
            for sentence in checked.faults:
                gathered.add(sentence)
            words = without_flags(kind, checked.words, _gather(kind, checked.words, gathered))
            if not (checked.complete and check_words(kind, words, command=command, default=default).complete):
                gathered.settle()  # a required option is lacking, or was refused
        options = _built(kind, words, prog=f"surefoot {command}", default=default, given=given, faults=gathered)
    if command.split()[0] not in WITHOUT_JAX:
        start_jax()
    return options


def given_options(kind: Any, arguments: Sequence[str], *, refused: Collection[str] = ()) -> frozenset[str]:
    """The fields of a command's options that a command line names, whatever values it gives them; without those of
    which the flags were refused already."""
    arguments = with_todays_names(kind, arguments, quietly=True)
    words = {word[2:].split("=", 1)[0].replace("-", "_") for word in arguments if word.startswith("--")}
    names = words - {name.removeprefix("--").replace("-", "_") for name in refused}
    return frozenset(field.name for field in dataclasses.fields(kind) if field.name in names)


@contextmanager
def gathering(kind: Any, arguments: Sequence[str], *, command: str) -> Iterator[tuple[Any, frozenset[str], Faults]]:
    """The options of a command, the names of those that are given, and the faults so far, which the work goes on to
    gather: they are all one `ConfigError` as the block ends, or as the work settles them."""
    with Faults() as faults:
        options = parse(kind, arguments, command=command, faults=faults)
        yield options, given_options(kind, arguments, refused=faults.flags), faults


def _gather(kind: Any, arguments: Sequence[str], faults: Faults) -> set[str]:
    """The flags whose values cannot be used, which are gathered."""
    found = argument_faults(kind, arguments)
    for name, sentence in found:
        faults.add(f"{name}: {sentence}")
        faults.flags.add(name)
    return {name for name, _ in found}


def _built(kind: Any, words: list[str], *, prog: str, default: Any, given: Sequence[str], faults: Faults) -> Any:
    """The options, without those that do not go with others: these are gathered. A fault that is there only because
    of what was left out says nothing."""
    while True:
        left_out = given_flags(given) - given_flags(words)
        try:
            return _parsed(kind, words, prog=prog, default=default, given=given)
        except FieldError as error:
            blamed: set[str] = set()
            for fault in error.faults:
                names, others = flags_of(fault, kind, given)
                if not left_out & {*names, *others}:
                    faults.add(f"{' and '.join(names)}: {fault.sentence}")
                    faults.flags |= {*names}
                blamed |= {*names, *others}
            shorter = without_flags(kind, words, blamed)
            if shorter == words:
                faults.settle()
                raise
            words = shorter


def _parsed(kind: Any, words: list[str], *, prog: str, default: Any, given: Sequence[str]) -> Any:
    """The options that tyro makes of the words, or its help and the end. What it says against them is one sentence."""
    said = io.StringIO()
    try:
        with redirect_stderr(said), cleaned_streams(given):
            return tyro.cli(kind, args=words, prog=prog, default=default, registry=ranges_in_help())
    except SystemExit as stop:
        if not stop.code:
            raise
        lines = [line.strip(" │|") for line in said.getvalue().splitlines()]
        text = [line for line in lines if line and not line.startswith(("╭", "╰", "─", "+", "-"))]
        advice = next((number for number, line in enumerate(text) if line.startswith("For full helptext")), len(text))
        raise ConfigError(f"{' '.join(text[:advice]).rstrip('.')}; {prog} --help shows all options.") from stop


def peek(arguments: Sequence[str], *switches: str, **defaults: Any) -> argparse.Namespace:
    """The values of a few flags among the words, before all are read; those in `switches` have none. Raises
    `argparse.ArgumentError`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", default=value)
    for name in switches:
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_known_args(list(arguments))[0]


def choose(
    arguments: Sequence[str], *, algorithm: str = "fisor", task: str = "PointRobot",
    preset: str = presets.DEFAULT_PRESET, known: Task | None = None,
) -> Choice:  # fmt: skip
    """The first stage; `known` is a task that a run keeps.

    Raises `UnknownNameError`, listing the near names, `ConfigError` where a value is missing.
    """
    try:
        found = peek(arguments, algorithm=algorithm, task=task, preset=preset, data=None)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{error.argument_name}: expected a name, found none.") from error
    data = None if found.data is None else Path(found.data)
    chosen = known if known is not None and found.task == known.name else find_task(found.task, data=data)
    defaults = presets.build(found.algorithm, chosen, preset=found.preset)
    return Choice(found.algorithm, chosen, found.preset, defaults)


def choose_or_refuse(kind: Any, arguments: Sequence[str], faults: Faults) -> Choice:
    """The first stage for a command with the options `kind`. Where a name is unknown, `faults` gathers it and all
    numbers that cannot be used of those that are no hyper-parameters, before it raises."""
    try:
        return choose(arguments)
    except SurefootError as error:
        faults.add(str(error))
        _gather(kind, arguments, faults)
        raise


def parse_with_hyperparameters(
    kind: Callable[..., Options], arguments: Sequence[str], choice: Choice, *, command: str,
    faults: Faults | None = None, **defaults: Any,
) -> Options:  # fmt: skip
    """The second stage: `kind` is a generic dataclass whose field `hyper` holds the algorithm, its flags unprefixed.

    `faults` gathers values that cannot be used, as in `parse`. `defaults` are those of fields that have none of their
    own in `kind`; `tyro.MISSING` makes one required.
    """
    generic: Any = kind
    chosen = {"algorithm": choice.algorithm, "task": choice.task.name, "preset": choice.preset}
    own = {field.name: chosen[field.name] for field in dataclasses.fields(generic) if field.name in chosen}
    default = kind(hyper=choice.defaults, **{**own, **defaults})
    return parse(
        generic[type(choice.defaults)], arguments, command=command, default=default,
        elsewhere=limits_elsewhere(choice.algorithm, choice.defaults), faults=faults,
    )  # fmt: skip
