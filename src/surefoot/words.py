"""Words of a command line, and values of TOML, as values of a field: how many it takes, and what is wrong with one."""

import math
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from surefoot.ranges import Declared, fault_of, shown


def word_fault(word: str, declared: Declared) -> str | None:
    """Fault of a word as a value.

    Args:
        word: Word of a command line.
        declared: Values that the field allows.

    Returns:
        Text "expected ..., found ...", or None where the word is a value.
    """
    if known := known_words(declared):
        return None if word in known else f"expected one of {', '.join(known)}, found {shown(word)}"
    assert declared.range is not None
    whole = float not in declared.kinds
    value = number_of(word, whole=whole)
    if value is not None:
        return fault_of(value, declared.range, whole=whole)
    others = not {int, float}.issuperset(declared.kinds)
    return None if others else f"expected a {'whole ' if whole else ''}number, found {shown(word)}"


def known_words(declared: Declared) -> tuple[str, ...]:
    """The words that a flag takes alone; empty where it takes any."""
    if len(declared.kinds) != 1 or typing.get_origin(declared.kinds[0]) is not typing.Literal:
        return ()
    return tuple(map(str, typing.get_args(declared.kinds[0])))


def words_after(declared: Declared) -> float:
    """How many words follow a flag; infinity where any number may."""
    if declared.kinds == (bool,):
        return 0
    if declared.variadic is None:
        return 1
    return math.inf if declared.length is None else declared.length


def expected_words(declared: Declared) -> str:
    """What a flag takes, in words."""
    if declared.length is not None:
        return f"{declared.length} numbers" if declared.numeric else f"{declared.length} words"
    (kind, *_) = declared.kinds
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    if declared.numeric:
        return "a whole number" if float not in declared.kinds else "a number"
    return "a path" if kind.__name__ == "Path" else "a value"


def fits(value: Any, kinds: Sequence[Any]) -> bool:
    """Whether a value of TOML is of an allowed type.

    Args:
        value: Value.
        kinds: Allowed types.

    Returns:
        Whether it fits.
    """
    for kind in kinds:
        if typing.get_origin(kind) is typing.Literal:
            if value in typing.get_args(kind):
                return True
        elif kind is bool:
            if isinstance(value, bool):
                return True
        elif isinstance(value, bool):
            continue
        elif (
            (kind in (str, Path) and isinstance(value, str))
            or (kind is int and isinstance(value, int))
            or (kind is float and isinstance(value, int | float))
        ):
            return True
    return False


def number_of(word: str, *, whole: bool) -> int | float | None:
    """Number that a word means.

    Args:
        word: Word of a command line.
        whole: Whether it must be a whole number.

    Returns:
        The number, or None where the word is none.
    """
    try:
        return int(word) if whole else float(word)
    except ValueError:
        return None
