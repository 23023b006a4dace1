"""Streams of a process: usable whatever the caller has left of them, without escape sequences, and silent once a reader
has left."""

import codecs
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, TextIO, cast

from surefoot.text import printable

NARROWEST, WIDEST = 40, 10_000
"""Bounds of a terminal's columns that are accepted; tyro's help never ends below four."""
PLAIN = {
    "─": "-", "━": "-", "—": "-", "\N{EN DASH}": "-", "\N{MINUS SIGN}": "-", "│": "|", "█": "#", "╭": "+", "╮": "+",
    "╰": "+", "╯": "+", "·": "*", "•": "*", "…": "~", "✓": "+", "✗": "x", "≥": ">=", "≤": "<=", "→": "->",
    "\N{MULTIPLICATION SIGN}": "x", "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "“": '"', "”": '"', "°": " deg",
}  # fmt: skip
"""Replacements of characters where a terminal has ASCII only; others become a question mark."""
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def open_streams() -> None:
    """Make the process's streams and its terminal's size usable, whatever the caller has left of them.

    A closed stdin, stdout or stderr becomes the null device: the next file that is opened would take its number
    otherwise, and be written into. Characters that an output lacks are replaced.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdin = _open(sys.stdin) or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _open(sys.stdout) or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = _open(sys.stderr) or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    codecs.register_error("surefoot.plain", _plain_character)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surefoot.plain")
    _bound_terminal()


def _open(stream: TextIO | None) -> TextIO | None:
    """A stream of Python's; None where there is none, or the caller has closed it."""
    return None if stream is None or stream.closed else stream


def _plain_character(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: a character as ASCII. A sign of two swallows the space behind it, so that tables keep their
    columns."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain, end = PLAIN.get(error.object[error.start], "?"), error.start + 1
    return plain, end + (len(plain) == 2 and error.object[end : end + 1] == " ")


def _bound_terminal() -> None:
    """Correct COLUMNS and LINES, which rich and tyro believe whatever they hold, and a terminal that is too narrow."""
    for name, least, most in (("COLUMNS", NARROWEST, WIDEST), ("LINES", 10, WIDEST)):
        given = os.environ.get(name)
        if given is None:
            continue
        if re.fullmatch(r"0*[1-9][0-9]{0,18}", given, re.ASCII):
            os.environ[name] = str(min(max(int(given), least), most))
        else:
            del os.environ[name]
    if "COLUMNS" not in os.environ:
        try:
            width = os.get_terminal_size(1).columns
        except OSError:
            return
        if 0 < width < NARROWEST:
            os.environ["COLUMNS"] = str(NARROWEST)


class CleanedStream(io.TextIOBase):
    """Stream that passes text on to another one after `printable`."""

    def __init__(self, stream: TextIO, colors: bool) -> None:
        self._stream = stream
        self._colors = colors

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._colors

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        self._stream.flush()

    def write(self, text: str, /) -> int:
        shown, end = [], 0
        for color in _COLORS.finditer(text) if self._colors else ():
            shown += [printable(text[end : color.start()], lines=True), color[0]]
            end = color.end()
        self._stream.write("".join([*shown, printable(text[end:], lines=True)]))
        return len(text)


class DeafStream:
    """Stream that drops everything once writing fails; in all else the stream that it wraps."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._deaf = stream, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        self._unless_deaf(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, unless the reader has left."""
        self._unless_deaf(self._stream.flush)

    def _unless_deaf(self, action: Callable[[], Any]) -> None:
        if self._deaf:
            return
        try:
            action()
        except UnicodeError:  # text that the stream cannot say is no fault of the reader's
            raise
        except (OSError, ValueError):  # the reader left, or the file is closed
            self._deaf = True


@contextmanager
def forgiving_stderr() -> Iterator[None]:
    """Context in which writing to stderr never fails."""
    with redirect_stderr(cast(TextIO, DeafStream(sys.stderr))):
        yield
