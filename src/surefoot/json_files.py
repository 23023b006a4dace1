"""JSON with declared types: the one way to read a file, an attribute or a line of JSON.

`kind` says what the content must be: a dataclass, a TypedDict, `dict[str, float]`, a union, ... It is checked by
pydantic, strictly: "3" is no number and 1 is no boolean. Keys that `kind` does not know are left out.
"""

import functools
import json
import os
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from surefoot.errors import ConfigError, SurefootError

Kind = TypeVar("Kind")
MOST_BYTES = 2**28
"""Size of a file from which on it is none of ours."""
_SHOWN = 60
"""Characters of a wrong value that a message shows."""


def read_json(
    path: str | os.PathLike[str], kind: type[Kind] | Any, *, what: str, error: type[SurefootError] = ConfigError
) -> Kind:
    """Read the file at `path` as `kind`.

    Args:
        path: A file of JSON in UTF-8.
        kind: The type of its content.
        what: What the file should hold, for messages: "the configuration of a run".
        error: The class of error that is raised.

    Raises:
        error: One sentence that names the file, the key, the expected and the found, where the file is missing, cannot
            be read, is not JSON, or holds something else.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise error(f"{path}: expected {what}, found a folder or a device.")
        if size > MOST_BYTES:
            raise error(f"{path}: expected {what}, found a file of {size / 1e6:,.0f} MB.")
        content = path.read_bytes()
    except FileNotFoundError as fault:
        raise error(f"{path}: expected {what}, found no such file.") from fault
    except OSError as fault:
        reason = fault.strerror or type(fault).__name__
        raise error(f"{path}: expected {what}, found a file that cannot be read ({reason}).") from fault
    return parse_json(content, kind, place=str(path), what=what, error=error)


def parse_json(
    text: str | bytes, kind: type[Kind] | Any, *, place: str, what: str, error: type[SurefootError] = ConfigError
) -> Kind:
    """Read `text` as `kind`; `place` is named in messages. Arguments and errors as those of `read_json`."""
    from pydantic import ValidationError

    def no_number(name: str) -> NoReturn:
        raise error(f"{place}: expected {what}, found {name}, which JSON has not.")

    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        value = json.loads(decoded, parse_constant=no_number)
    except RecursionError as fault:
        raise error(f"{place}: expected {what}, found JSON that is nested too deeply.") from fault
    except ValueError as fault:  # text that is not UTF-8 included
        raise error(f"{place}: expected {what} as JSON, found something that cannot be read.") from fault
    try:
        # From text, because lists stand for tuples only there.
        return _adapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_context=False)[0]
        raise error(f"{place}: {_sentence(first, what)}.") from fault
    except RecursionError as fault:
        raise error(f"{place}: expected {what}, found JSON that is nested too deeply.") from fault


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
    elif fault["type"] == "json_invalid":
        expected, found = what, "JSON that cannot be read"
    else:
        text = json.dumps(fault["input"], default=str)
        found = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return f"{key}: expected {expected}, found {found}" if key else f"expected {what} ({expected}), found {found}"
