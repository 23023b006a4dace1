"""Everything that the command line prints: through these functions, and to streams that take any character.

Words from files go through `printable` here, once. Nothing else in surefoot prints.
"""

import codecs
import io
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import TracebackType
from typing import Any, TextIO

from surefoot.text import printable

NARROWEST, WIDEST = 40, 10_000
"""Columns of a terminal that are believed; tyro's help never ends below four."""
TABLE_WIDTH = 80
"""Columns that a table gets at least: a narrower terminal breaks its lines, where rich would cut its numbers."""
PLAIN = {
    "─": "-", "━": "-", "—": "-", "\N{EN DASH}": "-", "\N{MINUS SIGN}": "-", "│": "|", "█": "#", "╭": "+", "╮": "+",
    "╰": "+", "╯": "+", "·": "*", "•": "*", "…": "~", "✓": "+", "✗": "x", "≥": ">=", "≤": "<=", "→": "->",
    "\N{MULTIPLICATION SIGN}": "x", "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "“": '"', "”": '"', "°": " deg",
}  # fmt: skip
"""What stands for our own characters where a terminal has ASCII only; others become a question mark."""
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def say(line: object = "") -> None:
    """Print one line on stdout."""
    with _standard_output():
        print(printable(line))


def say_lines(text: str) -> None:
    """Print a table or another text of several lines on stdout."""
    with _standard_output():
        print(printable(text, lines=True))


def note(line: object) -> None:
    """Print one line on stderr: what is no result. Where stderr's reader has left, nothing is said any more."""
    try:
        print(printable(line), file=sys.stderr, flush=True)
    except OSError:
        drop(sys.stderr)


def warn(sentence: object) -> None:
    """Print a warning on stderr."""
    note(f"warning: {sentence}")


def show(*tables: Any, soft_wrap: bool = False) -> None:
    """Print rich's tables on stdout, their words as they are: no markup, no emoji codes, no terminal sequences."""
    from rich.console import Console  # takes its time: only where there are tables
    from rich.text import Text

    class PlainConsole(Console):
        """Every text that rich is given as a string passes here, to be measured and to be printed."""

        def render_str(self, text: str, **look: Any) -> Text:
            return super().render_str(printable(text, lines=True), **look)

        def on_broken_pipe(self) -> None:
            """Raise the error again: rich would end the process, with a code that says something failed."""
            raise BrokenPipeError

    plain = PlainConsole(markup=False, emoji=False, highlight=False, soft_wrap=soft_wrap)
    plain.width = max(plain.width, TABLE_WIDTH)
    with _standard_output():
        for table in tables:
            plain.print(table)


@contextmanager
def cleaned_streams(arguments: Sequence[str]) -> Iterator[None]:
    """While another library prints (tyro's help and errors): its colours pass, escapes in words do not."""
    # tyro asks stdout about both.
    terminal = sys.stdout.isatty() and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    colors = terminal and all(printable(word) == word for word in arguments)
    with redirect_stdout(_Cleaned(sys.stdout, colors)), redirect_stderr(_Cleaned(sys.stderr, colors)):
        yield


def prepare_streams() -> None:
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
    warnings.formatwarning = _warning_line
    sys.excepthook = _print_traceback
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_CleanFormatter("%(message)s"))


def _open(stream: TextIO | None) -> TextIO | None:
    """A stream of Python's; None where there is none, or the caller has closed it."""
    return None if stream is None or stream.closed else stream


def flush_output() -> None:
    """Write what stdout holds back: here and not at exit, where a failure could not be answered any more."""
    with _standard_output():
        sys.stdout.flush()


def drop(stream: TextIO) -> None:
    """Let nothing more be written to a stream whose reader has left or whose disk is full: Python would try at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


@contextmanager
def _standard_output() -> Iterator[None]:
    """Name the place where writing fails."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


class _Cleaned(io.TextIOBase):
    """A stream before another one, into which everything goes `printable`."""

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


class _CleanFormatter(logging.Formatter):
    """Of the messages of libraries, which repeat words from files."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), lines=True)


def _warning_line(message: Warning | str, *_: Any) -> str:
    return f"warning: {printable(message)}\n"


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Of a fault of our own, in whose message words from files may stand."""
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace)), lines=True))


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
