"""One attempt at a cell, in any process: claim it, do its work, record the outcome."""

import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path

from surefoot.errors import SurefootError
from surefoot.experiments.cell import Cell, Measured, Outcome
from surefoot.experiments.store import Store, check_appendable
from surefoot.file_sets import Naming, is_full

Work = Callable[[Cell, Path], Measured]
"""From (cell, folder of its run) to its results; it resumes an earlier attempt in the folder."""


def attempt(cell: Cell, *, store: str, work: Work, began: float, quiet: bool = True) -> Outcome:
    """Do the work of a cell, unless it is done or another process works on it.

    Args:
        cell: The cell.
        store: Folder of the store.
        work: Trains and evaluates.
        began: Seconds since the epoch; failures since then are not repeated.
        quiet: Redirect printed output into the cell's log.

    Returns:
        The outcome; a failure of the work is recorded with its sentence, not raised.

    Raises:
        ConfigError: The store holds something else.
        OSError: The store cannot be written to, or the disk is full.
    """
    place = Store(Path(store))
    with place.claim(cell.key) as ours:
        if not ours:
            return Outcome(cell.key, "elsewhere")
        if place.is_done(cell):
            return Outcome(cell.key, "done")
        found = place.record_of(cell)
        if found is not None and found.status == "failed" and found.at >= began:
            return Outcome(cell.key, "failed", found.reason)
        folder = place.folder(cell.key)
        path = folder / "cell.log"
        check_appendable(path)
        place.note("began", cell)
        started = time.perf_counter()
        with ExitStack() as stack:
            stack.enter_context(Naming(path, path))  # a full disk is noticed when the log is closed
            log = stack.enter_context(path.open("a", encoding="utf-8", errors="backslashreplace"))
            if quiet:
                stack.enter_context(redirect_stdout(log))
                stack.enter_context(redirect_stderr(log))
            try:
                measured = work(cell, folder / "run")
            except Exception as error:
                traceback.print_exc(file=log)
                if is_full(error):  # no fault of the cell's, and others would end like it
                    raise
                reason = sentence_of(error)
                place.fail(cell, reason)
                place.note("failed", cell, reason=reason)
                return Outcome(cell.key, "failed", reason)
        place.finish(cell, measured)
        place.note("done", cell, seconds=round(time.perf_counter() - started, 3))
        return Outcome(cell.key, "done")


def sentence_of(error: Exception) -> str:
    """Sentence about a failure: the message of Surefoot's errors, kind and first line of others."""
    if isinstance(error, SurefootError):
        return str(error)
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first:.300}" if first else type(error).__name__
