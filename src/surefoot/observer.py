"""What long work tells while it runs. The library prints nothing: whoever calls it may listen."""

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from surefoot.errors import SurefootWarning
from surefoot.ranges import Ranged


@dataclass(frozen=True, kw_only=True)
class StrictOption(Ranged):
    """The option that turns remarks into errors, for whoever makes the observer; requests that remark inherit it."""

    strict: bool = False
    """Treat warnings as errors."""


class Counter(Protocol):
    """Counts the units of one piece of work."""

    def report(
        self, done: int, total: int, *, phase: str = "", rate: float | None = None, remaining: float | None = None,
        unit: str | None = None,
    ) -> None:  # fmt: skip
        """`done` of `total` units; `rate` per second, `remaining` seconds and `unit` where the caller knows better."""
        ...


class _Silent:
    def report(self, done: int, total: int, **details: Any) -> None:
        """Say nothing."""


class Observer:
    """Listens to long work. This one passes on what is suspicious as Python's warnings, and nothing else."""

    def progress(self, what: str, *, unit: str, compiles: bool = False) -> AbstractContextManager[Counter]:
        """A counter for a piece of work, in which programs are compiled first if `compiles`."""
        return nullcontext(_Silent())

    def reading(self, what: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """What counts bytes that are read, done and in all."""
        return nullcontext(lambda done, total: None)

    def remark(self, sentences: Iterable[str]) -> None:
        """Input that is suspicious but plausible, a sentence each."""
        for sentence in sentences:
            self.warn(sentence)

    def warn(self, sentence: str) -> None:
        """Something that went wrong beside the work, which goes on."""
        warnings.warn(sentence, SurefootWarning, stacklevel=3)

    def warn_of_death(self, death: Any) -> None:
        """A worker process that died."""
        self.warn(death.sentence)

    def say(self, sentence: str) -> None:
        """A result, in a sentence."""

    def note(self, sentence: str) -> None:
        """What is no result and no warning."""
