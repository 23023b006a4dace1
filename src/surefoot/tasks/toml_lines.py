"""TOML files as values and text, and the line in which a key stands: tomllib keeps none, and messages name it."""

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
    """The values of a TOML file and its text. Raises `ConfigError`, one sentence; `what` the file should hold."""
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
    """The line, from 1, of the key at `path` (`("constraint", 0, "unit")`) or of the nearest table around it."""
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
