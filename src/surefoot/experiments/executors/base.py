"""The interface of executors."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, Self

from surefoot.experiments.cell import Cell, Outcome

Task = Callable[[Cell], Outcome]
"""An attempt at a cell, which can be sent to another process."""


class Ended(NamedTuple):
    """An attempt that has ended."""

    key: str
    outcome: Outcome | None
    """Its outcome; None where its process died."""
    death: str = ""
    """How the process died."""


class Executor(Protocol):
    """Runs attempts side by side; a context manager. An error that leaves it asks running attempts to end, and
    waits."""

    @property
    def slots(self) -> int:
        """Number of attempts that run at once."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None: ...

    def submit(self, cell: Cell) -> None:
        """Begin an attempt at a cell; never more than `slots` at once."""
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """Attempts that have ended; waits for the first of them, at most so many seconds."""
        ...
