"""What an executor offers."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, Self

from surefoot.experiments.cell import Cell, Outcome

Task = Callable[[Cell], Outcome]
"""An attempt at a cell, which can be sent to another process."""


class Ended(NamedTuple):
    """An attempt that is over."""

    key: str
    outcome: Outcome | None
    """None where its process died."""
    death: str = ""
    """How the process died."""


class Executor(Protocol):
    """Runs attempts side by side; a context manager. Leaving it by an error asks what runs to end, and waits."""

    @property
    def slots(self) -> int:
        """Attempts that run at once."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None: ...

    def submit(self, cell: Cell) -> None:
        """Begin an attempt; never more than `slots` at once."""
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """The attempts that are over; waits for the first for at most so long."""
        ...
