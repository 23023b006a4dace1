"""Signals that ask the process to end: Ctrl-C, SIGTERM (Slurm, Kubernetes) and SIGHUP (a terminal that closes).

Signals that the caller handles or ignores (`nohup`) stay as they are, and so do all of them outside the main thread,
which alone may set handlers.
"""

import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""What asks to end beside Ctrl-C, of those that this system has."""
REPEATED_SECONDS = 1.0
"""A signal of `ENDING` that comes again so soon is the first one: some senders reach a process on two ways."""


class Stopped(KeyboardInterrupt):
    """A signal other than Ctrl-C's asked the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells count."""
        return 128 + self.number


class Interruption:
    """Whether a signal asked to stop, as a function; what to raise then."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.since = 0.0

    def __call__(self) -> bool:
        return self.number is not None

    def error(self) -> KeyboardInterrupt:
        """For the signal that came: `KeyboardInterrupt` or its subclass `Stopped`."""
        return KeyboardInterrupt() if self.number in (None, signal.SIGINT) else Stopped(self.number)

    def note(self, number: int) -> bool:
        """Take notice of a signal; whether it is another one than the first."""
        if self.number is None:
            self.number, self.since = number, time.monotonic()
            return False
        return number != self.number or number not in ENDING or time.monotonic() - self.since > REPEATED_SECONDS


class _Handler(ABC):
    """Handler that remembers the first signal."""

    def __init__(self) -> None:
        self.interruption = Interruption()

    @abstractmethod
    def __call__(self, number: int, frame: Any) -> None:
        """What Python calls."""


class _AtOnce(_Handler):
    """Raises `Stopped`; the second signal ends the process without a word."""

    def __call__(self, number: int, frame: Any) -> None:
        first = not self.interruption()
        if self.interruption.note(number):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif first:
            raise Stopped(number)


class _Deferred(_Handler):
    """Notes the signal; the second one raises, the third ends the process where it is no Ctrl-C."""

    def __call__(self, number: int, frame: Any) -> None:
        if not self.interruption.note(number):
            return
        if number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)


@contextmanager
def stopping() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Stopped`, as Ctrl-C raises `KeyboardInterrupt`; the second one ends the process."""
    with _handling(_AtOnce(), ENDING):
        yield


@contextmanager
def deferred_interrupts() -> Iterator[Interruption]:
    """Whether Ctrl-C, SIGTERM or SIGHUP asked to stop; the second one raises at once.

    Raises `KeyboardInterrupt` or `Stopped` at the end where the body did not.
    """
    handler = _Deferred()
    with _handling(handler, (signal.SIGINT, *ENDING)):
        yield handler.interruption
    if handler.interruption():
        raise handler.interruption.error()


@contextmanager
def _handling(handler: _Handler, numbers: tuple[int, ...]) -> Iterator[None]:
    before: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                if _is_free(number, found := signal.getsignal(number)):
                    with suppress(ValueError):  # a thread that is the main one of an embedded Python only
                        signal.signal(number, handler)
                        before[number] = found
        yield
    finally:
        for number, found in before.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, found)
            if isinstance(found, _Handler) and handler.interruption():  # what comes now is the second
                found.interruption = handler.interruption


def _is_free(number: int, found: Any) -> bool:
    """Whether nobody but Python, or this module, handles a signal."""
    plain = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    return found == plain or isinstance(found, _Handler)
