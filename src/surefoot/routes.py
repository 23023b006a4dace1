"""Which options each way of doing something takes: one that it does not read is refused, not ignored."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from surefoot.errors import ConfigError, option

Routes = Mapping[str, frozenset[str]]
"""Way of a command, in words -> the names of the options that it reads. An option of every command is in one of them,
and what is in none of its routes is no option."""

POSITIONAL, SWITCH = "positional", "switch"
"""Notes in the annotation of an option, for a command line: it is given by its place; it can be turned on alone."""


def refuse_others(options: Any, taken: Collection[str], whose: str, *, given: Collection[str] = ()) -> None:
    """Raise `ConfigError` where an option is set that is not among the `taken` ones; it names all of them.

    Args:
        options: Of a command, a dataclass.
        taken: Names of the options that are read.
        whose: What does not read the others, as the sentence calls it.
        given: Options that the command line names. Others count as set where they differ from their defaults.
    """
    refused = [
        field.name
        for field in dataclasses.fields(options)
        if field.name not in taken and (field.name in given or _differs(options, field))
    ]
    if refused:
        names = ", ".join(option(name) for name in refused)
        values = ", ".join(_worded(getattr(options, name)) for name in refused)
        raise ConfigError(f"{names}: expected none for {whose}, found {values}.")


def _differs(options: Any, field: "dataclasses.Field[Any]") -> bool:
    """Whether an option is not what it is by default. One without a default is always given."""
    if field.default_factory is not dataclasses.MISSING:
        return getattr(options, field.name) != field.default_factory()
    return getattr(options, field.name) != field.default


def _worded(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(map(_worded, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
