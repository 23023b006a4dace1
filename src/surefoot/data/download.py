"""Download of one file over HTTP, resumed where it broke off and checked before it gets its name.

Attempts are repeated with growing pauses. The bytes so far lie beside the target as `<name>.part`, and the server's
name for that version of the file (its ETag, or its date) in `<name>.part.version`. A resumed download asks for the rest
of that version and starts anew where the file has changed. One process at a time downloads a file.
"""

import contextlib
import hashlib
import http.client
import io
import os
import re
import stat
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from surefoot.data.checks import refuse
from surefoot.data.web import RefusedError, check_address, open_url
from surefoot.data.writing import blaming, check_room
from surefoot.errors import DataError
from surefoot.files import remove, sync_directory, write_text
from surefoot.locks import holding_file

ATTEMPTS = 5
"""Consecutive attempts that bring nothing, or too slowly, before giving up."""
MOST_ATTEMPTS = 100
"""Attempts of one call."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds; each pause is twice the previous one."""
LEAST_BYTES, WINDOW = 300_000, 60.0
"""Bytes and seconds: a connection that brings fewer bytes in that time is given up."""
MOST_BYTES = 64 * 2**30
"""Largest size in bytes of a file whose size is not known."""
BLOCK, HASHED_BYTES = 2**20, 4 * 2**20
"""Bytes read at a time, of a connection and of a file that is hashed."""
SYNCED_BYTES = 2**26
"""Bytes after which the download waits until they are on the disk, and checks the room for as many more."""
RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""HTTP's answers that may differ in a moment."""
OnBytes = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""
Sleep = Callable[[float], None]
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


@dataclass(frozen=True)
class Known:
    """Size and hash of a file's bytes."""

    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal."""


class _Broken(Exception):
    """An attempt that may be repeated, with the reason in words."""


class _TooSlow(_Broken):
    """An attempt that brought bytes, but fewer than are worth waiting for."""


def fetch(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    on_bytes: OnBytes | None = None,
    check: Callable[[Path], None] | None = None,
    sleep: Sleep = time.sleep,
) -> Known:
    """Download a file, which appears only when it is complete.

    A server that breaks off is asked for the rest. A server that brings less than `LEAST_BYTES` in `WINDOW` seconds, or
    nothing, is asked `ATTEMPTS` times in a row, any at most `MOST_ATTEMPTS` times.

    Args:
        url: Address.
        path: File to write, whose folder exists.
        size: Expected size in bytes; None: the server's, or up to `MOST_BYTES`.
        sha256: Expected hash; None: any.
        on_bytes: Called with (bytes done, bytes in all).
        check: Called with the complete file under another name; raises `DataError` for a bad one.
        sleep: Waits between attempts, in seconds.

    Returns:
        Size and hash.

    Raises:
        DataError: The file cannot be had (the bytes so far are kept, and the next call goes on), or its bytes are not
            the expected ones (they are removed).
    """
    try:
        check_address(url)
    except RefusedError as error:
        refuse(path, "", expected="an address of http or https to download from", found=str(error), cause=error)
    part = path.with_name(path.name + ".part")
    busy = "another process is downloading it; wait for that one, or end it and start the command again"
    with holding_file(path, busy=busy, error=DataError):
        total = _persist(url, path, part, size=size, on_bytes=on_bytes, sleep=sleep)
        found = Known(_size(part), sha256_of(part))
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


def _persist(url: str, path: Path, part: Path, *, size: int | None, on_bytes: OnBytes | None, sleep: Sleep) -> int:
    """Try until all of the file is in `part`; its size as the server states it."""
    failures, pause = 0, FIRST_PAUSE
    attempt = 0
    while True:
        attempt += 1
        before = _size(part)
        try:
            with blaming(path, "", "a place that can be written to"):
                return _attempt(url, part, size=size, on_bytes=on_bytes)
        except _Broken as broken:
            progressed = _size(part) > before and not isinstance(broken, _TooSlow)
            failures, pause = (1, FIRST_PAUSE) if progressed else (failures + 1, pause)
            if failures >= ATTEMPTS or attempt >= MOST_ATTEMPTS:
                _give_up(url, part, str(broken))
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _attempt(url: str, part: Path, *, size: int | None, on_bytes: OnBytes | None) -> int:
    """Add to `part` what the server sends; returns the whole's size. Raises `_Broken` where it stopped short."""
    try:
        answer = _ask(url, part)
    except urllib.error.HTTPError as error:
        with error:
            return _after_no(url, error, part)
    with answer:
        if answer.status != 206:
            _remove(part)
        done = _size(part)
        total = _total(answer, part, done)
        if size is not None and total is not None and total != size:
            _remove(part)
            raise _Broken(f"a file of {total:,} bytes instead of {size:,}")
        expected = size if total is None else total
        most = MOST_BYTES if expected is None else expected
        if size is None and most > MOST_BYTES:
            _give_up(url, part, f"one of {most:,} bytes, where at most {MOST_BYTES:,} are taken")
        if done == 0:
            write_text(_version_of(part), _validator(answer))
        check_room(part, (expected or 0) - done)
        _append(answer, part, done, most, lambda so_far: on_bytes and on_bytes(so_far, max(expected or 0, so_far)))
    received = _size(part)
    if received > most:
        _remove(part)
        _give_up(url, part, f"more than {most:,} bytes")
    if expected is None and received == 0:
        raise _Broken("no byte, and no word of how many there are")
    if expected is not None and received < expected:
        raise _Broken(f"only {received:,} of {expected:,} bytes")
    return received


def _ask(url: str, part: Path) -> Any:
    """The answer to a request for what comes after `part`, or for all where it is not known of what `part` is one."""
    headers, tag = {"User-Agent": "surefoot", "Accept-Encoding": "identity"}, _read_tag(_version_of(part))
    if (done := _size(part)) and tag:
        headers |= {"Range": f"bytes={done}-", "If-Range": tag}
    elif done:
        _remove(part)
    try:
        answer = open_url(url, headers)
    except RefusedError as error:
        _give_up(url, part, str(error))
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Broken(_reason(error)) from error
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity") or answer.status not in (200, 206):
        answer.close()
        what = f"the server's answer {answer.status}" if answer.status not in (200, 206) else (
            f"one that is encoded ({encoding[:40]}), which was not asked for"
        )  # fmt: skip
        _give_up(url, part, what)
    return answer


def _after_no(url: str, error: urllib.error.HTTPError, part: Path) -> int:
    """After an answer that is no file: the size of what is there where that is the whole. Raises otherwise."""
    if error.code == 416 and (done := _size(part)):  # nothing after our bytes: whole, or of another version
        return _whole_or_anew(error, part, done)
    if error.code in RETRIED:
        raise _Broken(f"the server's answer {error.code}") from error
    _give_up(url, part, f"the server's answer {error.code}")


def _append(answer: Any, part: Path, done: int, most: int, on_bytes: Callable[[int], Any]) -> None:
    """Write what comes, up to one byte more than `most`; each block is the system's at once."""
    synced, window_end, window_done = done, time.monotonic() + WINDOW, done
    with _opened(part) as file:
        try:
            while done <= most:
                try:
                    block = answer.read1(min(BLOCK, most + 1 - done))
                except (OSError, http.client.HTTPException, ValueError) as error:
                    raise _Broken(_reason(error)) from error
                if not block:
                    break
                file.write(block)
                done += len(block)
                on_bytes(done)
                if done - synced >= SYNCED_BYTES:
                    os.fsync(file.fileno())
                    check_room(part, min(SYNCED_BYTES, most - done))
                    synced = done
                if (now := time.monotonic()) > window_end:
                    if done - window_done < LEAST_BYTES:
                        raise _TooSlow(f"only {done - window_done:,} bytes in {WINDOW:g} seconds")
                    window_end, window_done = now + WINDOW, done
        finally:
            os.fsync(file.fileno())


def _opened(part: Path) -> BinaryIO:
    """`part`, to add to its end, unbuffered; no link is followed."""
    if os.path.lexists(part) and not stat.S_ISREG(part.lstat().st_mode):
        refuse(part, "", expected="the beginning of the file, or nothing", found="something else, such as a link")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return io.FileIO(os.open(part, flags, 0o666), "ab")


def _whole_or_anew(error: urllib.error.HTTPError, part: Path, done: int) -> int:
    """After "no such range": the size of the whole file where that is what we have; else everything is fetched anew."""
    stated = error.headers.get("Content-Range", "").removeprefix("bytes */")
    if stated.isdecimal() and int(stated) == done:
        return done
    _remove(part)
    raise _Broken(f"a file that does not go on after {done:,} bytes") from error


def _total(answer: Any, part: Path, done: int) -> int | None:
    """The whole file's size as the server states it. Raises `_Broken` for a part that was not asked for."""
    if answer.status == 206:
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != done or int(found[2]) < done:
            _remove(part)
            raise _Broken(f"another part of the file than that from byte {done:,} on")
        if found[3] != "*":
            return int(found[3])
    length = answer.headers.get("Content-Length", "")
    return int(length) + done if length.isdecimal() and len(length) <= 18 else None


def _read_tag(path: Path) -> str:
    """What `_validator` said before; empty where that cannot be read or sent."""
    try:
        tag = path.read_text(encoding="ascii") if path.is_file() and not path.is_symlink() else ""
    except (OSError, ValueError):
        return ""
    return tag if tag.isprintable() else ""


def _validator(answer: Any) -> str:
    """What names this version of the file for "If-Range": a strong ETag, or when it was changed; empty if neither."""
    tag = answer.headers.get("ETag", "")
    found = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
    return found if found.isascii() and found.isprintable() else ""


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
            remove(path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() and not path.is_symlink() else 0


def sha256_of(path: Path, on_bytes: OnBytes | None = None) -> str:
    """SHA-256 of a file.

    Args:
        path: File.
        on_bytes: Called with (bytes done, bytes in all).

    Returns:
        Hash in hexadecimal.
    """
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(HASHED_BYTES):
            digest.update(block)
            done += len(block)
            if on_bytes is not None:
                on_bytes(done, size)
    return digest.hexdigest()
