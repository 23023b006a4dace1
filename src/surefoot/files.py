"""Files that appear whole or not at all, whenever the process is killed: written aside, fsynced, renamed.

What is written aside has a name of the form `.NAME.PID-HOST-PROCESS-NUMBER.surefoot.tmp`, created exclusively. A writer
that is killed leaves it behind; `sweep` recognises it by its name, and removes it once its writer is dead.
"""

import errno
import functools
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from surefoot.system import process_runs

FOREIGN_SECONDS = 24 * 3600.0
"""Seconds without a change after which a temporary file of another machine counts as left behind."""
_NAME_BYTES = 180
"""Bytes of a name that are kept in the temporary name; file systems allow 255."""
_OURS = re.compile(
    r"\..*\.(?P<pid>[1-9][0-9]{0,9})-(?P<host>[0-9a-f]{8})-(?P<process>[0-9a-f]{8})-[0-9a-f]{8}\.surefoot\.tmp",
    re.DOTALL,
)
_FORMER = re.compile(r"\.(?P<name>.+)\.[1-9][0-9]{0,9}\.(?:tmp|old)", re.DOTALL)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file (UTF-8) in one step.

    Args:
        path: File; its folder is made if missing.
        text: Text.

    Raises:
        OSError: It cannot be written.
    """
    write_whole(Path(path), text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a file of indented JSON in one step.

    Args:
        path: File; its folder is made if missing.
        value: JSON value.

    Raises:
        OSError: It cannot be written.
        ValueError: A number is NaN or infinite, which JSON lacks.
    """
    write_whole(Path(path), json_content(value))


def json_content(value: Any) -> bytes:
    """Bytes of a value as indented JSON. Raises `ValueError` for NaN and infinities."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def json_rows(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Bytes of rows as JSON lines. Raises `ValueError` for NaN and infinities."""
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step; leftovers of dead writers in its folder are removed first.

    Args:
        path: File; its folder is made if missing.
        content: Bytes.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    with replacement(path) as temporary:
        write_bytes(temporary, content)


def write_bytes(path: Path, content: bytes) -> None:
    """Create a file and wait until it is on the disk. Not atomic: for files that nobody looks for yet.

    Args:
        path: New file.
        content: Bytes.

    Raises:
        FileExistsError: Anything has the name, a link included.
    """
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A name to create a file or folder under, which takes the name `path` at the end; on any error it is removed.

    The caller waits until its bytes are on the disk (`sync_file`). Raises `OSError`, before anything is written where
    `path` is a device, a pipe or a socket: the name of /dev/null would be a file's from then on, for all programs.
    """
    if is_special(path):
        raise FileExistsError(errno.EEXIST, "no file but a device, a pipe or a socket has this name", str(path))
    temporary = aside(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            remove(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(path)  # the name that the user knows
        raise
    sync_directory(path.parent)


def is_special(path: Path) -> bool:
    """Whether a name is that of a device, a pipe or a socket; a link to one is a link."""
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def sync_file(path: Path) -> None:
    """Wait until the bytes of a closed file lie on the disk."""
    with path.open("r+b") as file:  # Windows flushes what is open for writing only
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Wait until the names in a folder lie on the disk: a rename that is not synced can be lost with the power.

    Does nothing where the system has no such thing, as Windows and some network file systems.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# --- temporary names -------------------------------------------------------------------------------------------------


def aside(path: Path) -> Path:
    """Where the next content of `path` is written: a hidden sibling with a new name that `sweep` recognises.

    To be created exclusively: `open("xb")`, `mkdir()`.
    """
    name = os.fsencode(path.name)[:_NAME_BYTES].decode(errors="ignore")
    return path.with_name(f".{name}.{os.getpid()}-{_host()}-{_process()}-{secrets.token_hex(4)}.surefoot.tmp")


def is_temporary(name: str) -> bool:
    """Whether `aside` made the name."""
    return _OURS.fullmatch(name) is not None


def sweep(folder: Path, *, exclusive: bool = False, former: str | None = None) -> None:
    """Remove from `folder` what dead writers left: files and folders with a name of `aside`, and nothing else.

    A link is never followed or removed. `exclusive`: the caller holds the folder's lock, so that all other writers are
    dead. `former` matches names that only the holder of a lock writes: their leftovers of earlier versions
    (`.NAME.PID.tmp`, `.NAME.PID.old`) are removed, too. What cannot be removed stays.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            with suppress(OSError):
                if _is_leftover(entry, exclusive=exclusive, former=former):
                    remove(Path(entry.path))


def remove(path: Path) -> None:
    """Remove a file of ours, or a folder of ours with all that is in it; anything else, such as a link, stays.

    Raises `OSError`.
    """
    mode = path.lstat().st_mode
    if stat.S_ISREG(mode):
        path.unlink()
    elif stat.S_ISDIR(mode):
        shutil.rmtree(path)


def remove_file(path: Path) -> None:
    """Remove a file of ours where it is there and can be; a link or a folder of its name stays."""
    with suppress(OSError):
        if stat.S_ISREG(path.lstat().st_mode):
            path.unlink()


def remove_folder(folder: Path, is_ours: Callable[[Path], bool], *, first: str) -> bool:
    """Remove what `is_ours` in a folder, and the folder where nothing else is in it; whether it is gone.

    A link to a folder stays, only what lies there is removed. The folder's name is taken away before anything else, or
    else the file `first` is removed before others: a kill in the middle leaves rubbish, never half of what was there.
    """
    with suppress(OSError):
        found = sorted(folder.iterdir(), key=lambda path: path.name != first)
        if not folder.is_symlink() and all(map(is_ours, found)):
            rubbish = aside(folder)
            os.rename(folder, rubbish)
            remove(rubbish)
            return True
        for path in filter(is_ours, found):
            remove(path)
    return False


def _is_leftover(entry: os.DirEntry[str], *, exclusive: bool, former: str | None) -> bool:
    if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
        return False
    if former is not None and (match := _FORMER.fullmatch(entry.name)):
        return re.fullmatch(former, match["name"]) is not None
    match = _OURS.fullmatch(entry.name)
    if match is None or match["process"] == _process():
        return False
    if exclusive:
        return True
    number, written = int(match["pid"]), entry.stat(follow_symlinks=False).st_mtime
    if match["host"] == _host():  # in a container all may have the number of this process
        return number == os.getpid() or not process_runs(number, wrote_at=written)
    return time.time() - written > FOREIGN_SECONDS


@functools.cache
def _host() -> str:
    """This machine, or this container: what process numbers are unique in, in eight letters."""
    space = ""
    with suppress(OSError):
        space = str(os.stat("/proc/self/ns/pid").st_ino)
    return hashlib.sha256(f"{platform.node()} {space}".encode(errors="replace")).hexdigest()[:8]


@functools.cache
def _process() -> str:
    """This process, in eight letters: numbers of processes are used again."""
    return secrets.token_hex(4)
