"""Cells as tasks of Ray, on this machine or on a cluster whose nodes share the store's folder."""

import importlib
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self

from surefoot.errors import ConfigError
from surefoot.experiments.cell import Cell, Outcome
from surefoot.experiments.executors.base import Ended, Task
from surefoot.experiments.executors.processes import CELLS_A_PROCESS, GRACE_SECONDS

OBJECT_STORE_BYTES = 100 * 2**20
"""Bytes of the object store of a cluster that is started here: cells are small, and Ray would take a third of the
memory."""


def check_installed() -> Any:
    """The module of Ray. Raises `ConfigError` where it is not installed."""
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError("the executor ray needs Ray; install it by: pip install 'surefoot[ray]'") from error


class RayExecutor:
    """Runs each attempt as a task that takes one CPU.

    The death of its process or its node is reported, and not repeated by Ray: the caller counts attempts.
    """

    def __init__(self, task: Task, *, slots: int | None, address: str | None, environment: Mapping[str, str]) -> None:
        """Connect to nothing yet.

        Args:
            task: An attempt; pickled by reference.
            slots: Attempts at once; by default as many as the cluster has CPUs.
            address: Of a cluster; by default one is started here.
            environment: Variables that are set in a process before its first attempt.

        Raises:
            ConfigError: Where Ray is not installed.
        """
        self._ray = check_installed()
        self.slots = slots or os.cpu_count() or 1
        self._all = slots is None
        self._task, self._address, self._environment = task, address, dict(environment)
        self._running: dict[Any, Cell] = {}
        self._remote: Any = None

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine unasked
        # "local": without an address Ray joins whatever cluster was started last on this machine.
        here = {
            "address": "local",
            "num_cpus": self.slots,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
        try:
            with warnings.catch_warnings(), _own_handlers():
                # JAX warns where a process forks in which it runs; Ray's children become other programs at once.
                warnings.filterwarnings("ignore", message=r"os\.fork", category=RuntimeWarning)
                self._ray.init(
                    **({"address": self._address} if self._address else here),
                    log_to_driver=False,
                    logging_level="error",
                )
        except Exception as error:  # Ray raises bare ones, too, as where it starts too slowly
            place = f"Ray at {self._address}" if self._address else "Ray"
            first = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
            raise ConfigError(f"{place}: expected a cluster to run on, found none ({first}).") from error
        if self._all:
            self.slots = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        # A process serves some cells: compiled programs fill the memory.
        self._remote = self._ray.remote(num_cpus=1, max_retries=0, max_calls=CELLS_A_PROCESS)(_attempt)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is not None and self._running:
                for reference in self._running:
                    with suppress(Exception):
                        self._ray.cancel(reference)
                self._ray.wait(list(self._running), num_returns=len(self._running), timeout=GRACE_SECONDS)
        finally:
            self._ray.shutdown()

    def submit(self, cell: Cell) -> None:
        self._running[self._remote.remote(self._environment, self._task, cell)] = cell

    def wait(self, seconds: float) -> list[Ended]:
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [self._ended(reference) for reference in ready]

    def _ended(self, reference: Any) -> Ended:
        cell = self._running.pop(reference)
        try:
            return Ended(cell.key, self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            return Ended(cell.key, None, f"{type(error).__name__}, {first:.200}" if first else type(error).__name__)


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep this process's handlers of signals: Ray puts one in the place of SIGTERM's, which ends it with a dump."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _attempt(environment: Mapping[str, str], task: Task, cell: Cell) -> Outcome:
    # Not by Ray's own environments: they cost processes of their own, and seconds. A task imports JAX as it works only.
    os.environ.update(environment)
    return task(cell)
