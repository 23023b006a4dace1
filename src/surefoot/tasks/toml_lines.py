"""TOML files as values and text, and the line of a key for messages, which tomllib does not keep."""

import os
import re
import tomllib
from typing import Any

from surefoot.errors import ConfigError
from surefoot.json_files import read_content

MOST_BYTES = 2**20

Path = tuple[str | int, ...]
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def read_toml(path: str | os.PathLike[str], *, what: str) -> tuple[dict[str, Any], str]:
    """Read a TOML file.

    Args:
        path: TOML file.
        what: Expected contents, for messages.

    Returns:
        (values, text).

    Raises:
        ConfigError: The file cannot be read or is no TOML.
    """
    content = read_content(path, what=what, most=MOST_BYTES)
    try:
        text = content.decode().removeprefix("\ufeff")  # editors on Windows put a mark before the text
        return tomllib.loads(text), text
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line}: expected text in UTF-8, found other bytes.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {_fault(error)}.") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: expected {what}, found TOML that is nested too deeply.") from error


def _fault(error: tomllib.TOMLDecodeError) -> str:
    words = str(error)
    if place := re.search(r" \(at (line \d+), column \d+\)$", words):
        return f"{place[1]}: expected TOML, found a fault ({words[: place.start()]})"
    return f"expected TOML, found a fault ({words})"


def line_of(text: str, path: Path) -> int | None:
    """Line of a key, or of the nearest table around it.

    Args:
        text: Text of the file.
        path: Path of the key, such as ("constraint", 0, "unit").

    Returns:
        Line from 1, or None where there is none.
    """
    lines = key_lines(text)
    return next((lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines), None)


def key_lines(text: str) -> dict[Path, int]:
    """Path of every table and key -> its line. Inline tables count as one key."""
    found: dict[Path, int] = {}
    table: Path = ()
    count: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            table = _parts(header[2])
            if header[1] == "[[":
                found.setdefault(table, number)
                count[table] = count.get(table, -1) + 1
                table = (*table, count[table])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_parts(key[1])), number)
    return found


def _parts(words: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(words))
