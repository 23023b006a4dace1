"""Errors that a user can cause. The command line prints their one sentence and exits with code 2."""

import difflib
from collections.abc import Iterable


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


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return `name` if it is known; otherwise raise `UnknownNameError` naming the nearest known ones."""
    names = sorted(known)
    if name in names:
        return name
    lowered = {candidate.lower(): candidate for candidate in names}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}."
    raise UnknownNameError(f"unknown {kind} '{name}'; {hint}")
