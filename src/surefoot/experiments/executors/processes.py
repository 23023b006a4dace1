"""Cells in processes of this machine, spawned: JAX's threads survive no fork."""

import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from surefoot.errors import ConfigError, SurefootError
from surefoot.experiments.cell import Cell, Outcome
from surefoot.experiments.executors.base import Ended, Task
from surefoot.interrupts import stopping

CELLS_A_PROCESS = 8
"""Cells after which a process is replaced, as compiled programs fill its memory."""
GRACE_SECONDS = 120.0
"""Seconds in which a process that is asked to end can write its checkpoint."""


class ProcessesExecutor:
    """Runs `slots` attempts at once, each in a process that serves several, one after the other."""

    def __init__(self, task: Task, *, slots: int, environment: Mapping[str, str], log: str) -> None:
        """Start nothing yet.

        Args:
            task: An attempt; pickled by reference.
            slots: Processes.
            environment: Variables that are set in a process before it imports the task.
            log: File that the processes' own output is appended to, as that of libraries in C.
        """
        self.slots = slots
        self._task, self._environment, self._log = task, dict(environment), log
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        workers, self._idle, self._busy = [*self._idle, *self._busy], [], []
        try:
            for worker in workers:
                worker.end(at_once=error is not None)
            deadline = time.monotonic() + GRACE_SECONDS
            for worker in workers:
                worker.process.join(max(0.0, deadline - time.monotonic()))
        finally:  # after the time, or a second interrupt
            for worker in workers:
                worker.kill()

    def submit(self, cell: Cell) -> None:
        worker = self._idle.pop() if self._idle else _Worker(self._task, self._environment, self._log)
        self._busy.append(worker)
        worker.begin(cell)

    def wait(self, seconds: float) -> list[Ended]:
        wait([one for worker in self._busy for one in (worker.connection, worker.process.sentinel)], seconds)
        ended = []
        for worker in list(self._busy):
            if (found := worker.result()) is None:
                continue
            ended.append(found)
            self._busy.remove(worker)
            if found.outcome is None or worker.served >= CELLS_A_PROCESS:
                worker.end(at_once=False)
            else:
                self._idle.append(worker)
        return ended


class _Worker:
    """A process and the pipe to it."""

    def __init__(self, task: Task, environment: dict[str, str], log: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, environment, log), daemon=True)
        self.process.start()
        theirs.close()
        self.served = 0
        self._cell: Cell | None = None
        self._send(task)

    def begin(self, cell: Cell) -> None:
        """Send a cell."""
        self._cell = cell
        self.served += 1
        self._send(cell)

    def result(self) -> Ended | None:
        """How the cell at hand ended; None while it runs. Raises what kept the process from recording it."""
        assert self._cell is not None
        answer = None
        try:
            if self.connection.poll():
                answer = self.connection.recv()
            elif self.process.is_alive():
                return None
        except (EOFError, OSError):  # the other end is closed: the process is about to be gone
            pass
        if answer is not None:
            return Ended(self._cell.key, _found(answer))
        self.process.join()
        return Ended(self._cell.key, None, death_of(self.process.exitcode))

    def end(self, *, at_once: bool) -> None:
        """Ask the process to end: after its cell, or at the next checkpoint."""
        if at_once and self.process.is_alive():
            self.process.terminate()
        self.connection.close()

    def kill(self) -> None:
        """End the process if it is still there."""
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _send(self, value: Any) -> None:
        with suppress(OSError):  # a process that died is noticed where it is waited for
            self.connection.send(value)


def death_of(code: int | None) -> str:
    """Sentence on how a process ended, by its exit code: "signal SIGKILL", "exit code 1"."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _attempted(task: Task, cell: Cell) -> Outcome | SurefootError | OSError:
    """How an attempt ended, or what kept it from being recorded, as a full disk: no other process does better."""
    try:
        return task(cell)
    except SurefootError as error:
        return ConfigError(str(error))  # others may not be pickled
    except OSError as error:
        return error


def _found(answer: Outcome | SurefootError | OSError) -> Outcome:
    """The outcome that a process sent; raises what it could not record it for."""
    if isinstance(answer, Exception):
        raise answer
    return answer


def _serve(connection: Connection, environment: dict[str, str], log: str) -> None:
    """Attempt cells until the pipe closes or a signal asks to end."""
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(output, stream)
    # Ctrl-C and a terminal that closes reach all processes: the one that is waited on tells the others, and what it
    # says would be taken for a second signal, which waits for no checkpoint.
    for name in {"SIGINT", "SIGHUP"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    code = 0
    with stopping():
        try:
            task = connection.recv()
            while True:
                connection.send(_attempted(task, connection.recv()))
        except (EOFError, BrokenPipeError):
            pass
        except KeyboardInterrupt:
            code = 128 + signal.SIGTERM
    # What was compiled or computed when the signal came may still be: a Python that ends beside it crashes.
    os._exit(code)
