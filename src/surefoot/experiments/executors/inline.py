"""Cells one after the other in this process."""

from typing import Self

from surefoot.experiments.cell import Cell
from surefoot.experiments.executors.base import Ended, Task


class InlineExecutor:
    """Runs an attempt while it is waited for."""

    slots = 1

    def __init__(self, task: Task) -> None:
        self._task = task
        self._waiting: list[Cell] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        return None

    def submit(self, cell: Cell) -> None:
        self._waiting.append(cell)

    def wait(self, seconds: float) -> list[Ended]:
        waiting, self._waiting = self._waiting, []
        return [Ended(cell.key, self._task(cell)) for cell in waiting]
