"""Run cells by an executor: each once, again where its process died, later where another process works on it."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from surefoot.experiments.cell import Cell, Outcome
from surefoot.experiments.executors.base import Ended, Executor
from surefoot.experiments.store import Store

MOST_DEATHS = 3
"""Deaths of processes at a cell after which it counts as failed."""
POLL_SECONDS, BUSY_SECONDS = 1.0, 2.0
"""Seconds between two checks of running cells, and of cells that run elsewhere."""


class Event(NamedTuple):
    """Event for the caller's report."""

    kind: Literal["began", "ended", "died", "elsewhere", "waiting"]
    """waiting: nothing happened for a while."""
    running: tuple[Cell, ...]
    done: int
    """Cells that ended so far, failed ones included."""
    cell: Cell | None = None
    outcome: Outcome | None = None
    text: str = ""
    """How a process died."""


def run_cells(
    cells: Sequence[Cell],
    executor: Executor,
    *,
    store: Store,
    on_event: Callable[[Event], None],
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Outcome]:
    """Run cells.

    Args:
        cells: Cells in the order in which they begin.
        executor: Executor, entered already.
        store: Records failures of cells whose processes died.
        on_event: Called with every event.
        sleep: Waits for cells that other processes work on.

    Returns:
        Key -> outcome.
    """
    run = _Run(cells, executor, store, on_event)
    while run.open:
        run.fill()
        if run.running:
            ended = executor.wait(POLL_SECONDS)
            for one in ended:
                run.take(one)
            if not ended:
                run.tell("waiting")
        elif run.elsewhere:
            run.tell("waiting")
            sleep(BUSY_SECONDS)
            run.ask_again()
    return run.outcomes


class _Run:
    """Where the cells of one call are."""

    def __init__(
        self, cells: Sequence[Cell], executor: Executor, store: Store, on_event: Callable[[Event], None]
    ) -> None:
        self.queue = deque(cells)
        self.running: dict[str, Cell] = {}
        self.elsewhere: list[Cell] = []
        self.outcomes: dict[str, Outcome] = {}
        self._deaths: Counter[str] = Counter()
        self._told: set[str] = set()
        self._executor, self._store, self._on_event = executor, store, on_event

    @property
    def open(self) -> bool:
        """Whether any cell has not ended."""
        return bool(self.queue or self.running or self.elsewhere)

    def tell(self, kind: Literal["began", "ended", "died", "elsewhere", "waiting"], cell: Cell | None = None,
             outcome: Outcome | None = None, text: str = "") -> None:  # fmt: skip
        """Call the listener."""
        running = tuple(self.running.values())
        self._on_event(Event(kind, running, len(self.outcomes), cell, outcome, text))

    def fill(self) -> None:
        """Begin attempts as long as there are slots."""
        while self.queue and len(self.running) < self._executor.slots:
            cell = self.queue.popleft()
            self.running[cell.key] = cell
            self._executor.submit(cell)
            if cell.key not in self._told:
                self.tell("began", cell)

    def take(self, ended: Ended) -> None:
        """An attempt is over."""
        cell = self.running.pop(ended.key)
        if ended.outcome is None:
            self._buried(cell, ended.death)
        elif ended.outcome.status == "elsewhere":
            self.elsewhere.append(cell)
            if cell.key not in self._told:
                self._told.add(cell.key)
                self.tell("elsewhere", cell)
        else:
            self._end(cell, ended.outcome)

    def ask_again(self) -> None:
        """Try the cells that other processes were at."""
        self.queue.extend(self.elsewhere)
        self.elsewhere.clear()

    def _buried(self, cell: Cell, death: str) -> None:
        self._deaths[cell.key] += 1
        self._store.note("died", cell, how=death)
        self.tell("died", cell, text=death)
        if self._deaths[cell.key] < MOST_DEATHS:
            self.queue.append(cell)
            return
        reason = f"its process died {MOST_DEATHS} times, the last time by: {death}"
        with self._store.claim(cell.key) as ours:
            if ours and not self._store.is_done(cell):
                self._store.fail(cell, reason)
        self._end(cell, Outcome(cell.key, "failed", reason))

    def _end(self, cell: Cell, outcome: Outcome) -> None:
        self.outcomes[cell.key] = outcome
        self.tell("ended", cell, outcome)
