"""JSON with declared types: the one way to read a file, an attribute or a line of JSON.

`kind` says what the content must be: a dataclass, a TypedDict, `dict[str, float]`, a union, ... It is checked by
pydantic, strictly: "3" is no number and 1 is no boolean. A dataclass ignores keys that it does not know; tables without
one come back as they were read, unknown keys included.

What Python's reader of JSON lets through is refused: NaN, numbers too large for a float, a key twice, values nested
without end, and characters that neither a file's name nor UTF-8 takes.
"""

import functools
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn, Required, TypedDict, TypeVar, Unpack

from surefoot.errors import ConfigError, FieldError, SurefootError

Kind = TypeVar("Kind")
MOST_BYTES = 2**28
"""Size of a file from which on it is none of ours."""
MOST_NESTED = 60
"""Tables and lists within each other."""
_TOO_DEEP = "JSON that is nested too deeply"
_SHOWN = 60
"""Characters of a wrong value that a message shows."""


class Wording(TypedDict, total=False):
    """How a fault is said."""

    what: Required[str]
    """What the content should be: "the configuration of a run"."""
    error: type[SurefootError]
    """The class of error that is raised, by default `ConfigError`."""
    advice: str
    """The way out: "calibrate again"."""


def read_json(path: str | os.PathLike[str], kind: type[Kind] | Any, **wording: Unpack[Wording]) -> Kind:
    """Read the file at `path` as `kind`.

    Args:
        path: A file of JSON in UTF-8.
        kind: The type of its content.
        wording: What the file should hold, the error and the advice (`Wording`).

    Raises:
        wording["error"]: One sentence that names the file, the key, the expected and the found, where the file is
            missing, cannot be read, is not JSON, or holds something else.
    """
    return parse_json(read_content(path, **wording), kind, place=str(path), **wording)


def read_rows(
    path: str | os.PathLike[str],
    kind: type[Kind] | Any,
    *,
    cut_end: bool = False,
    size: int | None = None,
    **wording: Unpack[Wording],
) -> list[Kind]:
    """Read each line of the file at `path` as `kind`; empty lines are passed over. Raises as `read_json` does.

    `cut_end`: the begin of a row behind the last whole line, which a killed writer leaves, is passed over as well.
    `size`: read the first bytes of the file alone.
    """
    lines = read_content(path, most=None, **wording)[:size].split(b"\n")
    if cut_end and lines[-1][:1] in (b"{", b"\0", b""):  # else it is no part of a row: another's file
        lines.pop()
    return [
        parse_json(line, kind, place=f"{path}: line {number}", **wording)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def read_content(path: str | os.PathLike[str], *, most: int | None = MOST_BYTES, **wording: Unpack[Wording]) -> bytes:
    """The bytes of a regular file of at most `most` bytes. Raises the error, one sentence, where there is none."""
    path, what = Path(path), wording["what"]
    try:
        size = path.stat().st_size
        if not path.is_file():  # a pipe would keep us waiting for ever
            raise _error(wording, f"{path}: expected {what}, found a folder or a device")
        if most is not None and size > most:
            raise _error(wording, f"{path}: expected {what}, found a file of {size / 1e6:,.0f} MB")
        return path.read_bytes()
    except FileNotFoundError as fault:
        raise _error(wording, f"{path}: expected {what}, found no such file") from fault
    except (OSError, ValueError) as fault:  # ValueError: no path at all, as with a null character
        reason = (fault.strerror if isinstance(fault, OSError) else None) or type(fault).__name__
        raise _error(wording, f"{path}: expected {what}, found a file that cannot be read ({reason})") from fault


def parse_json(text: str | bytes, kind: type[Kind] | Any, *, place: str, **wording: Unpack[Wording]) -> Kind:
    """Read `text` as `kind`; `place` is named in messages. Arguments and errors as those of `read_json`."""
    what = wording["what"]
    try:
        value = _parse(text.decode() if isinstance(text, bytes) else text)
    except _Strange as fault:
        raise _error(wording, f"{place}: expected {what}, found {fault}") from fault
    except RecursionError as fault:
        raise _error(wording, f"{place}: expected {what}, found {_TOO_DEEP}") from fault
    except ValueError as fault:  # text that is not UTF-8 included
        raise _error(wording, f"{place}: expected {what} as JSON, found something that cannot be read") from fault
    return check_json(value, kind, place=place, **wording)


def check_json(value: Any, kind: type[Kind] | Any, *, place: str, **wording: Unpack[Wording]) -> Kind:
    """A value that was read from JSON before, as `kind`. Arguments and errors as those of `parse_json`."""
    from pydantic import ValidationError  # takes a tenth of a second, which `import surefoot` is spared

    try:
        # From text, because lists stand for tuples only there.
        found = _adapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_context=False)[0]
        raise _error(wording, f"{place}: {_sentence(first, wording['what'])}") from fault
    except FieldError as fault:  # of a dataclass that checks its numbers
        raise _error(wording, f"{place}: {str(fault).removesuffix('.')}") from fault
    return found if _holds_objects(found) else value


# --- JSON that is none -----------------------------------------------------------------------------------------------


class _Strange(Exception):
    """Something that Python's reader of JSON lets through; the message says what was found."""


def _parse(text: str) -> Any:
    value = json.loads(
        text, parse_constant=_no_constant, parse_float=_float, parse_int=_whole, object_pairs_hook=_table
    )
    # Few texts need the walk: all that is deep has many brackets, and all that is no text was escaped.
    if text.count("[") + text.count("{") > MOST_NESTED or "\\u" in text:
        _check_nodes(value)
    return value


def _no_constant(name: str) -> NoReturn:
    raise _Strange(f"{name}, which JSON has not")


def _float(digits: str) -> float:
    if math.isinf(value := float(digits)):
        raise _Strange(f"the number {digits[:20]}, which is too large")
    return value


def _whole(digits: str) -> int:
    if len(digits) > 21 or abs(value := int(digits)) >= 2**64:
        raise _Strange(f"the number {digits[:20]}..., which is too large")
    return value


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise _Strange(f"the key {json.dumps(twice[:_SHOWN])} twice")
    return found


def _check_nodes(value: Any) -> None:
    """Refuse deep nesting, which breaks whatever goes down in it, and characters that cannot be written again."""
    level, depth = [value], 0
    while level:
        if depth > MOST_NESTED:
            raise _Strange(_TOO_DEEP)
        for node in level:
            if isinstance(node, str) and ("\0" in node or any("\ud800" <= letter <= "\udfff" for letter in node)):
                raise _Strange("characters that are no text")
        level = [below for node in level for below in _below(node)]
        depth += 1


def _below(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return [*node, *node.values()]
    return node if isinstance(node, list) else []


# --- types -----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _sentence(fault: Any, what: str) -> str:
    """Key, expected and found of the first thing that pydantic found wrong."""
    key = ".".join(str(part) for part in fault["loc"])
    expected = fault["msg"].removeprefix("Input should be ").rstrip(".")
    if fault["type"] == "missing":
        expected, found = "a value", "none"
    else:
        text = json.dumps(fault["input"], default=str)
        found = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return f"{key}: expected {expected}, found {found}" if key else f"expected {what} ({expected}), found {found}"


def _holds_objects(value: Any) -> bool:
    """Whether pydantic made something that JSON has not, such as a dataclass or a tuple."""
    if isinstance(value, dict):
        return any(map(_holds_objects, value.values()))
    if isinstance(value, list):
        return any(map(_holds_objects, value))
    return value is not None and not isinstance(value, str | int | float)


def _error(wording: Wording, sentence: str) -> SurefootError:
    """The error that says a sentence, and the way out behind it."""
    advice = wording.get("advice")
    return wording.get("error", ConfigError)(f"{sentence}; {advice}." if advice else f"{sentence}.")
