"""One line of progress with rate and remaining time: redrawn on a terminal, elsewhere a line every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from surefoot.cli.terminal import note, remark, say, warn
from surefoot.observer import Observer
from surefoot.text import duration, printable

PLAIN_INTERVAL = 10.0
"""Seconds between two plain lines."""
SHOWN_BYTES = 2**30
"""Of data to read, from which on that takes long enough for a line."""


class ProgressLine:
    """Progress of one long piece of work, on stderr; a context manager.

    `unit` names what is counted. Without a rate from the caller it is that since the line began; with `compiles`, since
    the first units were done, in whose time programs were compiled, so that they foretell nothing.
    """

    def __init__(self, what: str, *, unit: str, compiles: bool = False, console: Console | None = None) -> None:
        self._what = printable(what)
        self._unit = unit
        self._console = console or Console(file=sys.stderr, force_terminal=sys.stderr.isatty())
        self._bar: Progress | None = None
        self._task: Any = None
        self._began = self._printed = time.perf_counter()
        self._first: int | None = None
        self._compiles = compiles
        self._ended: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        # A dumb terminal cannot redraw a line; FORCE_COLOR makes no terminal of a file.
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            plain = TextColumn("{task.description}", markup=False)
            note = TextColumn("{task.fields[note]}", markup=False)
            spinner = SpinnerColumn("dots" if self._console.encoding.startswith("utf") else "line")
            self._bar = Progress(
                spinner, plain, BarColumn(bar_width=24), note, console=self._console, refresh_per_second=4
            )
            self._task = self._bar.add_task(self._what, total=None, note="starting")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def report(
        self,
        done: int,
        total: int,
        *,
        phase: str = "",
        rate: float | None = None,
        remaining: float | None = None,
        unit: str | None = None,
    ) -> None:
        """`done` of `total` units; `rate` per second, `remaining` seconds and `unit` where the caller knows better."""
        now = time.perf_counter()
        compiled = self._compiles and self._first is not None and done > self._first
        if self._first is None or compiled:
            self._first, self._began = done, now
            self._compiles &= not compiled
        if rate is None and done > self._first and now > self._began:
            rate = (done - self._first) / (now - self._began)
        if remaining is None and rate:
            remaining = (total - done) / rate
        title = f"{self._what} · {printable(phase)}" if phase else self._what
        note = f"{done:,} of {total:,} {unit or self._unit}{_speed(rate, remaining, done < total)}"
        if self._bar is not None:
            self._bar.update(self._task, description=title, completed=done, total=total, note=note)
        elif now - self._printed >= PLAIN_INTERVAL or done >= total:
            ended = (title, total) if done >= total else None
            if ended and ended == self._ended:  # told by the last part and by the whole
                return
            self._printed, self._ended = now, ended
            self._console.print(f"{title}: {note}", markup=False, emoji=False, highlight=False, soft_wrap=True)


class Terminal(Observer):
    """Shows on stderr what long work tells; with `strict` a remark is an error."""

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict

    def progress(self, what: str, *, unit: str, compiles: bool = False) -> ProgressLine:
        return ProgressLine(what, unit=unit, compiles=compiles)

    def reading(self, what: str) -> AbstractContextManager[Callable[[int, int], None]]:
        return reading_progress(what)

    def say(self, sentence: str) -> None:
        say(sentence)

    def remark(self, sentences: Iterable[str]) -> None:
        remark(sentences, strict=self._strict)

    def warn(self, sentence: str) -> None:
        warn(sentence)

    def note(self, sentence: str) -> None:
        note(sentence)


@contextmanager
def reading_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """What counts bytes, done and in all, on a line that appears where they are many."""
    with ExitStack() as stack:
        lines: list[ProgressLine] = []

        def report(done: int, total: int) -> None:
            if total < SHOWN_BYTES:
                return
            if not lines:
                lines.append(stack.enter_context(ProgressLine(what, unit="MB")))
            lines[0].report(done // 10**6 if done < total else -(-total // 10**6), -(-total // 10**6))

        yield report


def _speed(rate: float | None, remaining: float | None, running: bool) -> str:
    text = "" if rate is None else f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.2g}/s"
    return f"{text}, {duration(remaining)} left" if remaining is not None and running else text
