"""Errors that a user can cause. The command line prints their one sentence and exits with code 2."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

_called: ContextVar[Callable[[str], str]] = ContextVar("_called", default=lambda name: name)
"""Function from an option's name in Python to its name in sentences."""


class SurefootError(Exception):
    """Error that a user can mend. Its message is one sentence: what, where, expected, found."""


class DataError(SurefootError):
    """A data file that cannot be used: names the file, the key, the expected and the found."""


class MissingRewardsError(DataError):
    """Data without rewards, where they are needed."""


class CheckpointError(SurefootError):
    """A checkpoint of another format, task, shape or version."""


class ConfigError(SurefootError):
    """An option whose value cannot be used."""


class Fault(NamedTuple):
    """A field of a configuration whose value cannot be used."""

    kind: type
    """The configuration's class."""
    part: str
    """The field of a larger configuration that holds it, as "guide"; empty for one that stands alone."""
    field: str
    """The field's name."""
    sentence: str
    """What was expected and found, without a full stop."""
    others: tuple[str, ...] = ()
    """The fields that it does not agree with, as the largest configuration names them: "guide.steps", "batch_size"."""

    @property
    def name(self) -> str:
        """The field as Python calls it: "guide.steps"."""
        return f"{self.part}.{self.field}" if self.part else self.field


class FieldError(ConfigError):
    """All faults of a configuration's fields, in one message."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.name}: {fault.sentence}" for fault in faults) + ".")
        self.faults = tuple(faults)


class SimulatorError(SurefootError):
    """A simulator that is missing, cannot draw, or died; names the task and, where there is one, the remedy."""


class UnknownNameError(SurefootError, ValueError):
    """A name that is not in a table; the message lists the nearest known ones."""


class DivergenceError(SurefootError):
    """A loss that stopped being finite; names the step and the checkpoint that was kept."""


class OutputError(SurefootError):
    """A number that a policy computed from good input and that is not finite; names what and where."""


class DeviceMemoryError(SurefootError):
    """Memory of the device or the host ran out; names what was computed and what to lower."""


class SurefootWarning(UserWarning):
    """A fault beside the work, which continues. The command line prints its one sentence."""


def flag(name: str) -> str:
    """A field's name as it is given on the command line: `--log-interval`."""
    return f"--{name.replace('_', '-')}"


def option(name: str) -> str:
    """Name of an option in a sentence: `log_interval` in Python, `--log-interval` within `options_called(flag)`."""
    return _called.get()(name)


@contextmanager
def options_called(called: Callable[[str], str]) -> Iterator[None]:
    """Context in which error messages name options as a function says, as the command line does."""
    token = _called.set(called)
    try:
        yield
    finally:
        _called.reset(token)


def check_name(kind: str, name: str, known: Iterable[str], *, also: str = "") -> str:
    """Check that a name is known.

    Args:
        kind: What the name is of, such as "task", for the message.
        name: Name to check.
        known: Known names.
        also: What else the name may mean, in a few words, for the message.

    Returns:
        The name.

    Raises:
        UnknownNameError: The name is not known; the message lists the nearest known ones.
    """
    names = sorted(known)
    if name in names:
        return name
    lowered = {candidate.lower(): candidate for candidate in names}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    more = f", or {also}" if also else ""
    hint = f"did you mean {' or '.join(near)}{more}?" if near else f"known: {', '.join(names)}{more}."
    raise UnknownNameError(f"unknown {kind} '{name}'; {hint}")
