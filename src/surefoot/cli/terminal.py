"""Everything that the command line prints: through these functions, and to streams that take any character.

Words from files go through `printable` here, once. Nothing else in surefoot prints.
"""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import TracebackType
from typing import Any, TextIO

from surefoot.errors import ConfigError
from surefoot.streams import CleanedStream, open_streams
from surefoot.text import printable

TABLE_WIDTH = 80
"""Columns that a table gets at least: a narrower terminal breaks its lines, where rich would cut its numbers."""


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


def remark(sentences: Iterable[str], *, strict: bool) -> None:
    """Print each sentence as a warning on stderr.

    Raises:
        ConfigError: Where `strict` is set and there is at least one; it names all.
    """
    found = [sentence.rstrip(".") for sentence in sentences]
    if strict and found:
        raise ConfigError(f"{'; '.join(found)} (an error because of --strict).")
    for sentence in found:
        warn(f"{sentence}.")


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
    with redirect_stdout(CleanedStream(sys.stdout, colors)), redirect_stderr(CleanedStream(sys.stderr, colors)):
        yield


def prepare_streams() -> None:
    """Make the process's streams and its terminal's size usable, and let warnings, tracebacks and other libraries'
    messages go through `printable`, too."""
    open_streams()
    warnings.formatwarning = _warning_line
    sys.excepthook = _print_traceback
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_CleanFormatter("%(message)s"))


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


class _CleanFormatter(logging.Formatter):
    """Of the messages of libraries, which repeat words from files."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), lines=True)


def _warning_line(message: Warning | str, *_: Any) -> str:
    return f"warning: {printable(message)}\n"


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Of a fault of our own, in whose message words from files may stand."""
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace)), lines=True))
