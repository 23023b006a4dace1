"""Errors that a user can cause. The command line prints their one sentence and exits with code 2."""

import difflib
from collections.abc import Iterable
from typing import Any


class SurefootError(Exception):
    """Something the user can mend. The message is one sentence: what, where, expected, found."""


class DataError(SurefootError):
    """A data file that cannot be used: names the file, the key, the expected and the found."""


class CheckpointError(SurefootError):
    """A checkpoint of another format, task, shape or version."""


class ConfigError(SurefootError):
    """An option whose value cannot be used."""


class SimulatorError(SurefootError):
    """A simulator that is missing, cannot draw, or died; names the task and, where there is one, the way out."""


class UnknownNameError(SurefootError, ValueError):
    """A name that is not in a table; the message lists the near ones."""


class DivergenceError(SurefootError):
    """A loss that stopped being finite; names the step and the checkpoint that was kept."""


class OutputError(SurefootError):
    """A number that a policy computed from good input and that is not finite; names what and where."""


class DeviceMemoryError(SurefootError):
    """Memory of the device or the host that ran out; names what was computed and what to lower."""


class SurefootWarning(UserWarning):
    """Something that went wrong beside the work, which goes on. The command line prints its one sentence."""


def flag(name: str) -> str:
    """A field's name as it is given on the command line: `--log-interval`."""
    return f"--{name.replace('_', '-')}"


def check_least(config: Any, least: float, *names: str, part: str = "", flags: bool = False) -> None:
    """Raise `ConfigError` where one of these fields is below `least`; None is left to its owner. `part`: the field that
    holds `config` in a larger one ("guide": it is called guide.steps). `flags`: they are options of a command, and
    called so."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= least:  # not a number is refused, too
            raise ConfigError(f"{_called(name, part, flags)}: expected at least {least:g}, found {value:g}.")


def check_within(config: Any, interval: str, *names: str, part: str = "", flags: bool = False) -> None:
    """Raise `ConfigError` where one of these fields is outside of an interval that is written as in mathematics: 0 is
    in "[0, 1)", and 1 is not. `part` and `flags` as in `check_least`."""
    low, high = (float(end) for end in interval[1:-1].split(","))
    for name in names:
        value = getattr(config, name)
        above = low <= value if interval[0] == "[" else low < value
        below = value <= high if interval[-1] == "]" else value < high
        if not (above and below):
            raise ConfigError(f"{_called(name, part, flags)}: expected a number in {interval}, found {value:g}.")


def _called(name: str, part: str, flags: bool) -> str:
    return flag(name) if flags else f"{part}.{name}" if part else name


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return `name` if it is known; otherwise raise `UnknownNameError` naming the nearest known ones."""
    names = sorted(known)
    if name in names:
        return name
    lowered = {candidate.lower(): candidate for candidate in names}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}."
    raise UnknownNameError(f"unknown {kind} '{name}'; {hint}")
