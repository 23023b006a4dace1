"""One file over HTTP: resumed where it broke off, tried again with growing pauses, checked before it takes its name.

The bytes so far lie beside the target as `<name>.part`, with the server's name for that version of the file (its ETag,
or when it was changed) in `<name>.part.version`: a resumed download asks for the rest of that version and starts anew
where the file has changed.
"""

import contextlib
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from surefoot.data.checks import refuse
from surefoot.data.writing import blaming, check_room
from surefoot.errors import DataError
from surefoot.files import sync_directory

ATTEMPTS = 5
"""Tries in a row that bring no byte before giving up."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds; each pause is twice the one before."""
TIMEOUT = 30.0
"""Seconds without an answer."""
BLOCK = 2**20
"""Bytes read at a time."""
RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""HTTP's answers that may be others in a moment."""


@dataclass(frozen=True)
class Downloaded:
    """What was fetched."""

    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal."""


class _Broken(Exception):
    """An attempt that may be repeated, with the reason in words."""


def fetch(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    on_bytes: Callable[[int, int], None] | None = None,
    check: Callable[[Path], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Downloaded:
    """Download `url` to `path`, which appears only when whole; its folder must be there.

    `size` and `sha256` are what it must be, where known; without a size the server's word is taken. `check` looks at
    the whole file before that and raises `DataError` for a bad one.

    Raises `DataError`, one sentence, where it cannot be had (what came so far is kept and the next call goes on with
    it) or its bytes are not the expected ones (they are removed).
    """
    if not url.startswith(("http://", "https://")):
        refuse(path, "", expected="an address of http or https to download from", found=f"'{url}'")
    part = path.with_name(path.name + ".part")
    failures, pause = 0, FIRST_PAUSE
    while True:
        before = _size(part)
        try:
            with blaming(path, "", "a place that can be written to"):
                total = _attempt(url, part, size=size, on_bytes=on_bytes)
            break
        except _Broken as broken:
            progressed = _size(part) > before
            failures, pause = (1, FIRST_PAUSE) if progressed else (failures + 1, pause)
            if failures >= ATTEMPTS:
                _give_up(url, part, str(broken))
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
    found = Downloaded(_size(part), _sha256(part))
    wanted_size = total if size is None else size
    if found.size != wanted_size or (sha256 is not None and found.sha256 != sha256):
        _remove(part)
        wanted = f"SHA-256 {sha256}" if found.size == wanted_size else f"{wanted_size:,} bytes"
        seen = found.sha256 if found.size == wanted_size else f"{found.size:,}; they were removed"
        refuse(path, "", expected=f"{wanted} from {url}", found=seen)
    try:
        if check is not None:
            check(part)
    except DataError:
        _remove(part)
        raise
    os.replace(part, path)
    _remove(part)
    sync_directory(path.parent)
    return found


def _attempt(url: str, part: Path, *, size: int | None, on_bytes: Callable[[int, int], None] | None) -> int:
    """Add to `part` what the server sends; returns the whole's size. Raises `_Broken` where it stopped short."""
    done, tag_path = _size(part), _version_of(part)
    headers = {"User-Agent": "surefoot", "Accept-Encoding": "identity"}
    tag = tag_path.read_text(encoding="utf-8") if tag_path.is_file() else ""
    if done and tag:
        headers |= {"Range": f"bytes={done}-", "If-Range": tag}
    elif done:  # of which version they are is not known
        _remove(part)
        done = 0
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and done:  # nothing after our bytes: whole, or of another version
                return _whole_or_anew(error, part, done)
            if error.code in RETRIED:
                raise _Broken(f"the server's answer {error.code}") from error
            _give_up(url, part, f"the server's answer {error.code}")
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_reason(error)) from error
    with answer:
        if answer.status != 206:
            _remove(part)
            done = 0
        total = _total(answer, done)
        if size is not None and total is not None and total != size:
            _remove(part)
            raise _Broken(f"a file of {total:,} bytes instead of {size:,}")
        if done == 0:
            tag_path.write_text(_validator(answer), encoding="utf-8")
        check_room(part, (size or total or 0) - done)
        _append(answer, part, done, total or size or 0, on_bytes)
    received, expected = _size(part), size if total is None else total
    if expected is not None and received < expected:
        raise _Broken(f"only {received:,} of {expected:,} bytes")
    return received if expected is None else expected


def _append(answer: Any, part: Path, done: int, total: int, on_bytes: Callable[[int, int], None] | None) -> None:
    with part.open("ab") as file:
        try:
            while True:
                try:
                    block = answer.read(BLOCK)
                except (OSError, http.client.HTTPException) as error:
                    if isinstance(error, http.client.IncompleteRead):
                        file.write(error.partial)
                    raise _Broken(_reason(error)) from error
                if not block:
                    break
                file.write(block)
                done += len(block)
                if on_bytes is not None:
                    on_bytes(done, max(total, done))
        finally:
            file.flush()
            os.fsync(file.fileno())


def _whole_or_anew(error: urllib.error.HTTPError, part: Path, done: int) -> int:
    """After "no such range": the size of the whole file where that is what we have; else everything is fetched anew."""
    stated = error.headers.get("Content-Range", "").removeprefix("bytes */")
    if stated.isdecimal() and int(stated) == done:
        return done
    _remove(part)
    raise _Broken(f"a file that does not go on after {done:,} bytes") from error


def _total(answer: Any, done: int) -> int | None:
    """The whole file's size as the server states it."""
    stated = answer.headers.get("Content-Range", "").rpartition("/")[2]
    if answer.status == 206 and stated.isdecimal():
        return int(stated)
    length = answer.headers.get("Content-Length", "")
    return int(length) + done if length.isdecimal() else None


def _validator(answer: Any) -> str:
    """What names this version of the file for "If-Range": a strong ETag, or when it was changed; empty if neither."""
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _version_of(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _give_up(url: str, part: Path, reason: str) -> NoReturn:
    path = part.with_name(part.name.removesuffix(".part"))
    kept = "; what came so far is kept, and the same command goes on with it" if _size(part) else ""
    refuse(path, "", expected=f"the file from {url}", found=f"{reason}{kept}")


def _reason(error: BaseException) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "a connection that broke off"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return f"no connection ({' '.join(text.split()).strip('. ') or type(cause).__name__})"


def _remove(part: Path) -> None:
    for path in (part, _version_of(part)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
