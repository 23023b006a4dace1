"""Several files that belong together: written side by side, then given their names, the one that lists them last.

A disk that fills up leaves what was there before, for nothing is replaced until everything lies on the disk. A process
that is killed among the renames leaves a list that does not fit the files, which `fault_of` names.
"""

import errno
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from surefoot.errors import ConfigError
from surefoot.files import aside, is_special, remove, sweep, sync_directory, write_bytes
from surefoot.interrupts import deferred_interrupts

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says when there is no room."""


@dataclass(frozen=True)
class Mark:
    """What a file's content must be, or that of the first `size` bytes of one that grows."""

    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal."""


def mark(content: bytes) -> Mark:
    """That of a content."""
    return Mark(len(content), hashlib.sha256(content).hexdigest())


def fault_of(content: bytes, expected: Mark, *, grows: bool = False) -> str | None:
    """How a content differs from what it must be, as "expected ..., found ..."; None where it does not."""
    found = mark(content[: expected.size] if grows else content)
    if found == expected:
        return None
    if found.size != expected.size:
        return f"expected {expected.size:,} bytes, found {found.size:,}"
    return f"expected the sha256 {expected.sha256[:16]}..., found {found.sha256[:16]}..."


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Replace files, making their folders if missing: none of them before all contents lie on the disk, the last one
    last. Raises `OSError` that names the file."""
    waiting: dict[Path, Path] = {}
    try:
        for folder in {path.parent for path in contents}:
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
        for path, content in contents.items():
            waiting[path] = aside(path)
            with Naming(path, waiting[path]):
                write_bytes(waiting[path], content)
        with deferred_interrupts():  # a signal finds the old set or the new one
            for path, temporary in waiting.items():
                with Naming(path, temporary):
                    os.replace(temporary, path)
    except BaseException:
        for temporary in waiting.values():
            with suppress(OSError):
                remove(temporary)
        raise
    for folder in {path.parent for path in contents}:
        sync_directory(folder)


class Naming:
    """Let an `OSError` of the block name `path`, which the user knows, and not where it was written aside."""

    def __init__(self, path: Path, temporary: Path) -> None:
        self._path, self._temporary = path, temporary

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(self._temporary)):
            error.filename = str(self._path)


def check_writable(folder: Path) -> None:
    """Raise `ConfigError` where no file can be made in a folder, or in the nearest one above it that exists: to be
    called before the work whose results go there. Leaves nothing behind."""
    place = Path(os.path.abspath(folder))
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise ConfigError(f"{place}: expected a folder to write to, found something else.")
    probe = aside(place / "probe")
    try:
        write_bytes(probe, b"\0")
    except OSError as error:
        raise ConfigError(f"{place}: expected a folder that can be written to, found {reason(error)}.") from error
    finally:
        with suppress(OSError):
            remove(probe)


def check_file_place(path: Path) -> None:
    """Raise `ConfigError` where no file can be written at `path`, as `check_writable` of its folder, or where something
    has the name that is no file."""
    if path.is_dir() or is_special(path):
        found = "a folder" if path.is_dir() else "a device, a pipe or a socket"
        raise ConfigError(f"{path}: expected a name for a file, found {found}.")
    check_writable(path.parent)


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it comes from, says that there is no room on the disk."""
    while error is not None and not (isinstance(error, OSError) and error.errno in FULL):
        error = error.__cause__
    return error is not None


def reason(error: OSError) -> str:
    """What the system says, as the end of a sentence: "a full disk; free some space", "one that ...cannot"."""
    if error.errno in FULL:
        return "a full disk; free some space"
    return f"one that cannot ({(error.strerror or str(error) or type(error).__name__).lower()})"
