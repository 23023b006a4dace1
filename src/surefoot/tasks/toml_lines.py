"""The line in which a key of a TOML text stands: tomllib keeps none, and messages name it."""

import re

Path = tuple[str | int, ...]
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


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
