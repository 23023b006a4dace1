"""Stderr of a command: whoever reads it may leave, and the work goes on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, TextIO, cast


class DeafStream:
    """A stream to write to that drops everything once writing fails; in all else the stream that it is made of."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._deaf = stream, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop."""
        self._unless_deaf(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, where somebody reads."""
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
    """Let nothing that is written to stderr end the work."""
    with redirect_stderr(cast(TextIO, DeafStream(sys.stderr))):
        yield
