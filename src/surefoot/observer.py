"""Observers of long work. The library prints nothing: callers may listen."""

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from surefoot.errors import SurefootWarning
from surefoot.ranges import Ranged


@dataclass(frozen=True, kw_only=True)
class StrictOption(Ranged):
    """Option that turns remarks into errors; requests with remarks inherit it."""

    strict: bool = False
    """Treat warnings as errors."""


class Counter(Protocol):
    """Counter of the units of one piece of work."""

    def report(
        self, done: int, total: int, *, phase: str = "", rate: float | None = None, remaining: float | None = None,
        unit: str | None = None,
    ) -> None:  # fmt: skip
        """Report progress.

        Args:
            done: Units that are done.
            total: Units in all.
            phase: Name of the present part of the work.
            rate: Units per second, where the caller knows better than the counter.
            remaining: Seconds that are left, where the caller knows better.
            unit: Name of the units, where it differs.
        """
        ...


class _Silent:
    def report(self, done: int, total: int, **details: Any) -> None:
        """Ignore progress."""


class Observer:
    """Observer of long work. This one turns remarks into Python warnings and ignores all else."""

    def progress(self, what: str, *, unit: str, compiles: bool = False) -> AbstractContextManager[Counter]:
        """Context with a counter for a piece of work.

        Args:
            what: Name of the work.
            unit: Name of its units.
            compiles: Whether programs are compiled first.

        Returns:
            Context that gives the counter.
        """
        return nullcontext(_Silent())

    def reading(self, what: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Context with a function that is called with (bytes read, bytes in all)."""
        return nullcontext(lambda done, total: None)

    def remark(self, sentences: Iterable[str]) -> None:
        """Receive sentences on input that is suspicious but plausible."""
        for sentence in sentences:
            self.warn(sentence)

    def warn(self, sentence: str) -> None:
        """Receive a fault beside the work, which continues."""
        warnings.warn(sentence, SurefootWarning, stacklevel=3)

    def warn_of_death(self, death: Any) -> None:
        """Receive the death of a worker process."""
        self.warn(death.sentence)

    def say(self, sentence: str) -> None:
        """Receive a result, in a sentence."""

    def note(self, sentence: str) -> None:
        """Receive a sentence that is neither result nor warning."""
