"""Files that appear whole or not at all, whenever the process is killed: written aside, fsynced, renamed."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace `path` by `text` (UTF-8) in one step, making its folder if missing. Raises `OSError`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = aside(path)
    try:
        write_bytes(temporary, text.encode())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replace `path` by `value` as indented JSON in one step. Raises `OSError`, or `ValueError` for NaN and infinities,
    which JSON has not."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file and wait until it lies on the disk. Not atomic: for files that nobody looks for yet."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Wait until the names in a folder lie on the disk: a rename that is not synced can be lost with the power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def aside(path: Path) -> Path:
    """Where the next content of `path` is written: a hidden sibling, of this process alone."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
