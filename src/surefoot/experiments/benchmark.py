"""Run a benchmark: methods on tasks, each cell trained and evaluated once, into one store."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from surefoot.errors import ConfigError, SurefootError, check_name, option
from surefoot.experiments.attempt import Work, attempt
from surefoot.experiments.cell import Cell
from surefoot.experiments.executors.base import Executor, Task
from surefoot.experiments.executors.inline import InlineExecutor
from surefoot.experiments.executors.processes import ProcessesExecutor
from surefoot.experiments.executors.ray import RayExecutor, check_installed
from surefoot.experiments.looks import is_noted, note_look
from surefoot.experiments.plan import HELD_OUT, Plan, read_plan
from surefoot.experiments.resolve import resolve_cells, resolve_methods
from surefoot.experiments.results import Results, gather
from surefoot.experiments.schedule import Event, run_cells
from surefoot.experiments.sources import data_records
from surefoot.experiments.store import DataRecord, Store, check_appendable
from surefoot.file_sets import check_writable
from surefoot.observer import Counter, Observer
from surefoot.ranges import Range, Ranged
from surefoot.routes import Routes
from surefoot.text import duration

ExecutorName = Literal["inline", "processes", "ray"]


@dataclass(frozen=True, kw_only=True)
class BenchmarkRequest(Ranged):
    """Options of a benchmark: plan, selection, executor."""

    plan: Path
    """The plan, a TOML file (docs/benchmark.md)."""
    out: Path | None = None
    """Folder of the store (default: beside the plan, named after it)."""
    data: Path | None = None
    """Folder in which relative paths of data begin (default: the plan's)."""
    tasks: tuple[str, ...] = ()
    """Run these tasks of the plan only."""
    methods: tuple[str, ...] = ()
    """Run these methods of the plan only."""
    held_out_look: str | None = None
    """Run held-out tasks, too, for this reason, which the log of looks keeps."""
    executor: ExecutorName = "inline"
    """Who runs cells: this process, processes beside it, or a Ray cluster."""
    processes: Annotated[int | None, Range("[1, 1024]")] = None
    """Cells that run at once with processes (default: one a core) or ray (default: one a CPU of the cluster)."""
    ray_address: str | None = None
    """Of the Ray cluster (default: one that is started here); its nodes share the store's folder."""
    workers: Annotated[int, Range("[1, 1024]")] = 1
    """Processes that step a simulator, for each cell."""
    results_only: bool = False
    """Run nothing: gather the results of what is done."""
    strict: bool = False
    """Treat warnings as errors."""


_COMMON = frozenset(
    ("plan", "out", "data", "tasks", "methods", "held_out_look", "executor", "workers", "results_only", "strict")
)
ROUTES: Routes = {
    "inline": _COMMON,
    "processes": _COMMON | {"processes"},
    "ray": _COMMON | {"processes", "ray_address"},
}
"""Options that each executor reads."""


class Benchmarked(NamedTuple):
    """Result of a benchmark."""

    plan: Plan
    results: Results
    store: Store


def run_benchmark(request: BenchmarkRequest, *, work: Work, observer: Observer | None = None) -> Benchmarked:
    """Run the cells that are not done yet, and gather the results.

    Args:
        request: Plan, selection and executor.
        work: Trains and evaluates a cell, in any process.
        observer: Receives progress and results.

    Returns:
        Plan, results and store.

    Raises:
        ConfigError: The plan, the selection or the store cannot be used.
    """
    observer = observer or Observer()
    plan = read_plan(request.plan)
    store = Store(request.plan.with_suffix("") if request.out is None else request.out)
    folder = request.plan.parent if request.data is None else request.data
    resolved = resolve_methods(plan, str(request.plan), folder)
    tasks, methods = _chosen(request, plan, observer)
    _check_reason(request, plan, tasks)
    if request.executor == "ray" and not request.results_only:
        check_installed()
    store.check_plan(plan.name)
    for place in (store.path, store.path / "cells", store.results_path):
        check_writable(place)
    data = _data(request, plan, tasks, folder, store, observer)
    whole = resolve_cells(plan, resolved, data, folder, strict=request.strict, workers=request.workers)
    cells = [cell for cell in whole if cell.task in tasks and cell.method in methods]
    if not request.results_only:
        _look(request, plan, store, cells, observer)
        _run_open(request, cells, store, work, observer)
    shown = [cell for cell in whole if cell in cells or store.record(cell.key) is not None]
    return Benchmarked(plan, gather(plan, resolved, shown, data, store), store)


def _chosen(request: BenchmarkRequest, plan: Plan, observer: Observer) -> tuple[list[str], list[str]]:
    """The tasks and methods to run. Raises `ConfigError` where a held-out task is named and no look asked for."""
    for name in request.tasks:
        check_name(f"task of the plan ({option('tasks')})", name, plan.tasks)
    for name in request.methods:
        check_name(f"method of the plan ({option('methods')})", name, plan.methods)
    held_out = [name for name, entry in plan.tasks.items() if entry.role == HELD_OUT]
    named = [name for name in plan.tasks if not request.tasks or name in request.tasks]
    if request.held_out_look is None and not request.results_only:
        if refused := [name for name in request.tasks if name in held_out]:
            raise ConfigError(
                f"{option('tasks')}: expected development tasks, found {', '.join(refused)}, held out by the plan; "
                f"look at held-out tasks with {option('held_out_look')} REASON."
            )
        if held_out:
            some = "one held-out task is" if len(held_out) == 1 else f"{len(held_out)} held-out tasks are"
            observer.note(f"{some} left out; look at held-out tasks with {option('held_out_look')} REASON.")
        named = [name for name in named if name not in held_out]
    if not named:
        raise ConfigError(f"{request.plan}: expected a development task to run, found none.")
    return named, [key for key in plan.methods if not request.methods or key in request.methods]


def _data(
    request: BenchmarkRequest, plan: Plan, tasks: list[str], folder: Path, store: Store, observer: Observer
) -> dict[str, DataRecord]:
    """The data of the tasks to run, checked, and what is known of others, in the plan's order."""
    known = store.read_manifest()
    if request.results_only:
        if known is None:
            raise ConfigError(f"{store.path}: expected the store of a benchmark, found none.")
        found = known.data
    else:
        before = {} if known is None else known.data
        with observer.progress("reading data", unit="tasks") as line:
            now = data_records(plan, tasks, folder, before, line.report)
        store.keep_data(plan.name, now)
        found = {**before, **now}
    return {name: found[name] for name in plan.tasks if name in found}


def _check_reason(request: BenchmarkRequest, plan: Plan, tasks: Sequence[str]) -> None:
    """Raise `ConfigError` where a look has no reason, or nothing that it could look at."""
    reason = request.held_out_look
    if reason is None or request.results_only:
        return
    if not reason.strip():
        raise ConfigError(f"{option('held_out_look')}: expected the reason of the look, found no words.")
    if not any(plan.tasks[name].role == HELD_OUT for name in tasks):
        raise ConfigError(f"{option('held_out_look')}: expected held-out tasks among those to run, found none.")


def _look(request: BenchmarkRequest, plan: Plan, store: Store, cells: Sequence[Cell], observer: Observer) -> None:
    """Write the look at held-out tasks into the log, unless it goes on or all its cells are done."""
    held_out = [cell for cell in cells if cell.held_out]
    reason = request.held_out_look
    if reason is None:
        return
    if all(store.is_done(cell) for cell in held_out):
        return
    path = request.plan.parent / plan.held_out_log
    with store.locked():
        if is_noted(path, plan.name, held_out):
            return
        number = note_look(
            path, plan=plan.name, cells=held_out, reason=reason, most=plan.held_out_looks, now=datetime.now(UTC)
        )
    observer.say(f"{path}: look {number} of {plan.held_out_looks} at held-out tasks.")


def _run_open(request: BenchmarkRequest, cells: Sequence[Cell], store: Store, work: Work, observer: Observer) -> None:
    """Run the cells that are not done. Cells of the same key are one."""
    unique = list({cell.key: cell for cell in cells}.values())
    waiting = [cell for cell in unique if not store.is_done(cell)]
    observer.say(f"{store.path}: {len(unique)} cells, {len(unique) - len(waiting)} of them done.")
    if not waiting:
        return
    inline = request.executor == "inline"
    task = partial(attempt, store=str(store.path.absolute()), work=work, began=time.time(), quiet=not inline)
    with ExitStack() as stack:
        # Inline, training and evaluation have lines of their own.
        line = None if inline else stack.enter_context(observer.progress("benchmark", unit="cells"))
        executor = stack.enter_context(_executor(request, task, store))
        try:
            run_cells(waiting, executor, store=store, on_event=_Teller(line, store, len(waiting), observer))
        except KeyboardInterrupt:
            if not inline:
                observer.note("ending: the cells that run write their checkpoints.")
            raise


def _executor(request: BenchmarkRequest, task: Task, store: Store) -> Executor:
    if request.executor == "inline":
        return InlineExecutor(task)
    environment = {name: os.environ[name] for name in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS") if name in os.environ}
    if request.executor == "ray":
        return RayExecutor(task, slots=request.processes, address=request.ray_address, environment=environment)
    slots = request.processes or os.cpu_count() or 1
    log = store.path / "processes.log"
    check_appendable(log)
    return ProcessesExecutor(task, slots=slots, environment=environment, log=str(log))


class _Teller:
    """Tells what happens: a line for each cell that ended, progress between them."""

    def __init__(self, line: Counter | None, store: Store, total: int, observer: Observer) -> None:
        self._line, self._store, self._total, self._observer = line, store, total, observer
        self._started = time.perf_counter()
        self._began: dict[str, float] = {}
        self._warned: set[str] = set()

    def __call__(self, event: Event) -> None:
        cell = event.cell
        if cell is not None:
            self._tell(event, cell)
        if self._line is not None:
            running = ", ".join(one.label for one in event.running[:3])
            self._line.report(event.done, self._total, phase=running, remaining=self._remaining(event))

    def _tell(self, event: Event, cell: Cell) -> None:
        now = time.perf_counter()
        began = self._began.setdefault(cell.key, now)
        outcome = event.outcome
        if outcome is not None:
            self._warn(cell)
        if outcome is not None and outcome.status == "failed":
            self._observer.warn(f"{cell.label} failed: {outcome.reason}")
        elif outcome is not None:
            scores, place = _scores(self._store, cell), self._place(event)
            self._observer.say(f"{cell.label}: {scores} in {duration(now - began)}{place}.")
        elif event.kind == "died":
            self._observer.warn(f"the process of {cell.label} died ({event.text}).")
        elif event.kind == "elsewhere":
            self._observer.note(f"{cell.label}: another process is at it.")
        elif self._line is None:
            self._observer.say(f"{cell.label} ({event.done + 1} of {self._total}).")

    def _warn(self, cell: Cell) -> None:
        """Repeat warnings that went into the cell's log; what many cells say, once."""
        for sentence in self._store.warnings(cell.key):
            if sentence not in self._warned:
                self._warned.add(sentence)
                self._observer.warn(sentence)

    def _place(self, event: Event) -> str:
        remaining = self._remaining(event)
        left = "" if remaining is None or event.done == self._total else f", about {duration(remaining)} left"
        return f" ({event.done} of {self._total}{left})"

    def _remaining(self, event: Event) -> float | None:
        """Seconds, if the cells to come take as long as those that ended."""
        seconds = time.perf_counter() - self._started
        return (self._total - event.done) * seconds / event.done if event.done else None


def _scores(store: Store, cell: Cell) -> str:
    """Mean normalised return at mean normalised cost."""
    try:
        rows = store.rows(cell.key)
    except SurefootError:
        return "done"
    reached = sum(row["normalised_return"] for row in rows) / len(rows)
    cost = sum(row["normalised_cost"] for row in rows) / len(rows)
    return f"{reached:.2f} at {cost:.2f}"
