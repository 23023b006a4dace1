"""The store of a benchmark and who runs its cells: none twice, none lost, failures named."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests import fake_cells
from tests.fake_cells import make_cell, rows_of_cell, simple_work

from surefoot.errors import CheckpointError, ConfigError
from surefoot.experiments.attempt import attempt
from surefoot.experiments.cell import Cell, Measured, Outcome
from surefoot.experiments.executors.base import Ended
from surefoot.experiments.executors.inline import InlineExecutor
from surefoot.experiments.executors.processes import ProcessesExecutor
from surefoot.experiments.executors.ray import RayExecutor
from surefoot.experiments.schedule import MOST_DEATHS, Event, run_cells
from surefoot.experiments.store import DataRecord, Store

RECORD = DataRecord("ball.hdf5", "f" * 64, 10, 20, 5, 500, 0.2, None, 0.9)


def run(store: Store, cells: list[Cell], work: Any = simple_work, **options: Any) -> dict[str, Outcome]:
    task = partial(attempt, store=str(store.path), work=work, began=options.pop("began", time.time()))
    with InlineExecutor(task) as executor:
        return run_cells(cells, executor, store=store, on_event=options.pop("on_event", lambda event: None), **options)


def events_of(store: Store) -> list[tuple[str, str]]:
    lines = (store.path / "journal.jsonl").read_text().splitlines()
    return [(line["event"], line["key"]) for line in map(json.loads, lines)]


def test_cells_end_once_and_their_rows_come_back(tmp_path: Path) -> None:
    store, cells = Store(tmp_path), [make_cell(0), make_cell(1)]
    told: list[Event] = []
    outcomes = run(store, cells, on_event=told.append)
    assert {key: one.status for key, one in outcomes.items()} == {"cell0": "done", "cell1": "done"}
    assert store.rows("cell0") == rows_of_cell(cells[0])
    assert [(event.kind, event.done) for event in told] == [("began", 0), ("ended", 1), ("began", 1), ("ended", 2)]
    assert (store.folder("cell0") / "cell.log").read_text() == "work on cell0\nwarning: few episodes.\n"
    assert store.warnings("cell0") == ["few episodes."]
    assert store.warnings("cell7") == []
    run(store, cells)  # again: nothing is done twice
    assert events_of(store) == [("began", "cell0"), ("done", "cell0"), ("began", "cell1"), ("done", "cell1")]


def test_more_episodes_are_measured_anew_and_fewer_are_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run(store, [make_cell(0)])
    assert store.is_done(make_cell(0, episodes=1))
    assert not store.is_done(make_cell(0, episodes=3))
    run(store, [make_cell(0, episodes=3)])
    assert len(store.rows("cell0")) == 6


def test_failures_are_named_and_others_go_on(tmp_path: Path) -> None:
    store, cells = Store(tmp_path), [make_cell(number) for number in range(4)]
    outcomes = run(store, cells, fake_cells.failing_work)
    assert [outcomes[cell.key].status for cell in cells] == ["done", "failed", "failed", "done"]
    assert outcomes["cell1"].reason == "training diverged: metric 'loss' of seed 0 became nan."
    assert outcomes["cell2"].reason == "ZeroDivisionError: division by zero"
    assert "Traceback" in (store.folder("cell2") / "cell.log").read_text()
    record = store.record("cell1")
    assert record is not None
    assert (record.status, record.reason) == ("failed", outcomes["cell1"].reason)
    # What failed since a command began is not tried again by it, as where two of them share a store; later it is.
    assert run(store, [cells[1]], began=record.at)["cell1"].status == "failed"
    assert run(store, [cells[1]], began=record.at + 1)["cell1"].status == "done"


def test_a_full_disk_ends_the_command_and_is_no_cells_failure(tmp_path: Path) -> None:
    """Before, each cell was trained up to its first checkpoint, and counted as failed."""
    store, seen = Store(tmp_path), []

    def work(cell: Cell, folder: Path) -> Measured:
        seen.append(cell.key)
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise CheckpointError(f"{folder}: the checkpoint cannot be written (No space left on device).") from full

    with pytest.raises(CheckpointError, match="run: the checkpoint cannot be written"):
        run(store, [make_cell(0), make_cell(1)], work)
    assert (seen, store.record("cell0")) == (["cell0"], None)


def test_a_cell_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    store, slept, told = Store(tmp_path), [], []
    claim = store.claim("cell0")
    assert claim.__enter__()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:  # the other process ends it
            store.finish(make_cell(0), Measured(rows_of_cell(make_cell(0)), {"process": "another"}))
            claim.__exit__(None, None, None)

    outcomes = run(store, [make_cell(0), make_cell(1)], sleep=sleep, on_event=told.append)
    assert {key: one.status for key, one in outcomes.items()} == {"cell0": "done", "cell1": "done"}
    assert len(slept) == 2
    assert [event.kind for event in told].count("elsewhere") == 1
    assert ("began", "cell0") not in events_of(store)


class Mortal:
    """An executor in which the processes of some cells die."""

    slots = 2

    def __init__(self, store: Store, deaths: dict[str, int]) -> None:
        self.deaths, self.running, self.most = deaths, [], 0
        self.task = partial(attempt, store=str(store.path), work=simple_work, began=time.time())

    def submit(self, cell: Cell) -> None:
        self.running.append(cell)
        self.most = max(self.most, len(self.running))

    def wait(self, seconds: float) -> list[Ended]:
        cell = self.running.pop(0)
        if self.deaths.get(cell.key, 0):
            self.deaths[cell.key] -= 1
            return [Ended(cell.key, None, "signal SIGKILL")]
        return [Ended(cell.key, self.task(cell))]


def test_a_cell_whose_process_died_is_tried_again_a_few_times(tmp_path: Path) -> None:
    store, cells = Store(tmp_path), [make_cell(number) for number in range(4)]
    executor: Any = Mortal(store, {"cell0": 1, "cell2": MOST_DEATHS})
    outcomes = run_cells(cells, executor, store=store, on_event=lambda event: None)
    assert [outcomes[cell.key].status for cell in cells] == ["done", "done", "failed", "done"]
    assert outcomes["cell2"].reason == "its process died 3 times, the last time by: signal SIGKILL"
    assert executor.most == 2
    assert events_of(store).count(("died", "cell2")) == 3


def test_an_interrupt_leaves_the_cell_open_and_free(tmp_path: Path) -> None:
    def work(cell: Cell, folder: Path) -> Measured:
        raise KeyboardInterrupt

    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(store, [make_cell(0)], work)
    assert store.record("cell0") is None
    assert run(store, [make_cell(0)])["cell0"].status == "done"


def test_one_store_holds_one_plan(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.keep_data("first", {"BallRun": RECORD})
    with pytest.raises(ConfigError, match="expected the store of the plan second, found that of first"):
        store.keep_data("second", {"BallRun": RECORD})
    store.keep_data("first", {"CarRun": RECORD})
    found = store.read_manifest()
    assert found is not None
    assert list(found.data) == ["BallRun", "CarRun"]


def test_other_folders_are_no_stores(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"expected a store or an empty folder, found other files \(notes.txt\)"):
        Store(tmp_path).check_plan("a")
    with pytest.raises(ConfigError, match="expected a folder for the store, found a file"):
        Store(tmp_path / "notes.txt").check_plan("a")


def test_rows_that_were_changed_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run(store, [make_cell(0)])
    path = store.folder("cell0") / "rows.jsonl.gz"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ConfigError, match="expected the sha256"):
        store.rows("cell0")


def test_records_that_were_changed_are_refused(tmp_path: Path) -> None:
    """Before, figures of other episodes were taken for the cell's, and a verdict of 3 was a traceback."""
    store, cell = Store(tmp_path), make_cell(0)
    run(store, [cell])
    path = store.folder("cell0") / "cell.json"
    text = path.read_text()
    for old, new, said in (
        ('"task": "BallRun"', '"task": "CarRun"', 'task: expected "BallRun", found "CarRun"'),
        ('"seeds": [\n    0,', '"seeds": [\n    5,', r"seeds: expected \[0, 1\], found \[5, 1\]"),
        ('"fraction": 1.0', '"fraction": 0.5', "fraction: expected 1.0, found 0.5"),
        ('"details": {', '"details": {"held_out": 3,', "details: held_out: expected .*, found 3"),
        ('"details": {', '"details": {"held_out": {"training": [1]},', "details: held_out.training: expected"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(ConfigError, match=said):
            store.is_done(cell)
    path.write_text(text.replace('"episodes": 2', '"episodes": 3'))
    with pytest.raises(ConfigError, match="expected 6 rows, found 4"):
        store.rows("cell0")


def test_a_cells_folder_under_another_cells_key_is_refused(tmp_path: Path) -> None:
    """Before, the copy counted as done: another method's episodes stood in its row."""
    store, other = Store(tmp_path), make_cell(1, method="fisor")
    run(store, [make_cell(0)])
    shutil.copytree(store.folder("cell0"), store.folder("cell1"))
    for work in (lambda: store.is_done(other), lambda: store.rows("cell1"), lambda: store.fail(other, "a reason")):
        with pytest.raises(
            ConfigError, match=r"cell1.cell\.json: key: expected cell1 .*, found cell0; remove the cell's"
        ):
            work()
    path = store.folder("cell1") / "cell.json"
    path.write_text(path.read_text().replace('"key": "cell0",\n', ""))  # as earlier versions wrote it
    assert store.is_done(other)
    run(store, [make_cell(2)], fake_cells.failing_work)
    assert store.record("cell2") is not None
    assert json.loads((store.folder("cell2") / "cell.json").read_text())["key"] == "cell2"


@pytest.mark.parametrize("name", ["journal.jsonl", "cells/cell0/cell.log"])
def test_a_pipe_in_a_store_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(ConfigError, match=f"{name}: expected a file of a benchmark's store, found a folder or"):
        run(Store(tmp_path), [make_cell(0)])


# --- processes ---


def run_in_processes(store: Store, cells: list[Cell], work: Any, slots: int = 2) -> dict[str, Outcome]:
    task = partial(attempt, store=str(store.path), work=work, began=time.time())
    options: Any = {"slots": slots, "environment": {"A_VARIABLE": "set"}, "log": str(store.path / "processes.log")}
    store.path.mkdir(exist_ok=True)
    with ProcessesExecutor(task, **options) as executor:
        return run_cells(cells, executor, store=store, on_event=lambda event: None)


def test_processes_that_die_are_noticed_and_their_cells_tried_again(tmp_path: Path) -> None:
    store, cells = Store(tmp_path), [make_cell(number) for number in range(4)]
    outcomes = run_in_processes(store, cells, fake_cells.dying_work)
    assert [outcomes[cell.key].status for cell in cells] == ["done", "failed", "done", "done"]
    assert outcomes["cell1"].reason == "its process died 3 times, the last time by: signal SIGKILL"
    events = events_of(store)
    assert events.count(("died", "cell0")) == 1
    assert [events.count(("done", cell.key)) for cell in cells] == [1, 0, 1, 1]
    record = store.record("cell2")
    assert record is not None
    assert record.details["process"] != os.getpid()
    assert "work on cell2" in (store.folder("cell2") / "cell.log").read_text()


def test_a_store_without_room_ends_the_command_and_names_the_file(tmp_path: Path) -> None:
    """Before, the process died with a traceback in processes.log, three times, and inline no file was named."""
    store, cells = Store(tmp_path), [make_cell(0)]
    with pytest.raises(OSError, match="File too large") as found:
        run_in_processes(store, cells, fake_cells.full_work, slots=1)
    assert found.value.filename == str(store.folder("cell0") / "cell.log")
    assert (tmp_path / "processes.log").read_text() == ""
    assert events_of(store) == [("began", "cell0")]
    assert [path.name for path in store.folder("cell0").iterdir()] == [".lock", "cell.log"]
    assert run(store, cells)["cell0"].status == "done"


def test_an_interrupt_ends_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surefoot.experiments.schedule.POLL_SECONDS", 0.4)
    store, cells = Store(tmp_path), [make_cell(0), make_cell(1)]

    kinds: list[str] = []

    def interrupted(event: Event) -> None:
        """A terminal that closes tells all processes; then the command ends the cells."""
        if kinds:
            kinds.append(event.kind)
            raise KeyboardInterrupt
        begun = [(store.folder(cell.key) / "run" / "begun").exists() for cell in cells]
        if event.kind == "waiting" and all(begun):
            kinds.append(event.kind)
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGHUP)

    task = partial(attempt, store=str(store.path), work=fake_cells.slow_work, began=time.time())
    executor = ProcessesExecutor(task, slots=2, environment={}, log=str(tmp_path / "processes.log"))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), executor:
        run_cells(cells, executor, store=store, on_event=interrupted)
    assert time.monotonic() - began < 30  # not the minute that the work takes
    assert kinds == ["waiting", "waiting"]  # before, the first signal ended them, and the second their checkpoints
    for cell in cells:  # their claims are free, and nothing is recorded
        with store.claim(cell.key) as ours:
            assert ours
        assert store.record(cell.key) is None


# --- Ray ---


class FakeRay:
    """The parts of Ray that are used, in this process; the task of the cell `lost` is on a node that dies once."""

    class exceptions:
        class RayError(Exception):
            pass

    def __init__(self, lost: str = "") -> None:
        self.lost, self.calls, self.tasks = lost, [], {}

    def init(self, **options: Any) -> None:
        warnings.warn("os.fork() was called.", RuntimeWarning, stacklevel=1)  # JAX's, as Ray starts its processes
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Ray has a handler of its own
        self.calls.append(("init", options))

    def shutdown(self) -> None:
        self.calls.append(("shutdown", {}))

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 3.0}

    def remote(self, **options: Any) -> Any:
        return lambda function: SimpleNamespace(remote=lambda *words: self._submit(function, *words))

    def _submit(self, function: Any, *words: Any) -> int:
        self.tasks[len(self.tasks)] = partial(function, *words)
        return len(self.tasks) - 1

    def wait(self, references: list[int], *, num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        return references[:num_returns], references[num_returns:]

    def get(self, reference: int) -> Any:
        task = self.tasks[reference]
        if task.args[2].key == self.lost:
            self.lost = ""
            raise self.exceptions.RayError("The node died.\nIts last words.")
        return task()

    def cancel(self, reference: int) -> None:
        self.calls.append(("cancel", {"task": reference}))


def ray_executor(monkeypatch: pytest.MonkeyPatch, fake: FakeRay, store: Store, **options: Any) -> RayExecutor:
    monkeypatch.setenv("A_RAY_VARIABLE", "0")
    monkeypatch.setattr("surefoot.experiments.executors.ray.importlib.import_module", lambda name: fake)
    task = partial(attempt, store=str(store.path), work=simple_work, began=time.time())
    return RayExecutor(task, **{"slots": 2, "address": None, "environment": {"A_RAY_VARIABLE": "1"}, **options})


def test_ray_runs_cells_and_those_of_a_lost_node_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, cells, fake = Store(tmp_path), [make_cell(number) for number in range(3)], FakeRay("cell1")
    before = signal.getsignal(signal.SIGTERM)
    with ray_executor(monkeypatch, fake, store) as executor:
        outcomes = run_cells(cells, executor, store=store, on_event=lambda event: None)
    assert {one.status for one in outcomes.values()} == {"done"}
    assert signal.getsignal(signal.SIGTERM) == before
    assert events_of(store).count(("died", "cell1")) == 1
    assert [call for call, _ in fake.calls] == ["init", "shutdown"]
    options = fake.calls[0][1]
    assert (options["address"], options["num_cpus"]) == ("local", 2)
    assert os.environ["A_RAY_VARIABLE"] == "1"


def test_a_cluster_has_as_many_slots_as_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    with ray_executor(monkeypatch, fake, Store(tmp_path), slots=None, address="10.0.0.1:6379") as executor:
        assert executor.slots == 3
    assert fake.calls[0][1]["address"] == "10.0.0.1:6379"
    assert "num_cpus" not in fake.calls[0][1]


def fake_interrupt(references: list[int], *, num_returns: int, timeout: float, wait: Any) -> Any:
    """Ctrl-C at the first look at what runs."""
    if timeout < 10:
        raise KeyboardInterrupt
    return wait(references, num_returns=num_returns, timeout=timeout)


def test_an_interrupt_cancels_rays_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    monkeypatch.setattr(fake, "wait", partial(fake_interrupt, wait=fake.wait))
    with pytest.raises(KeyboardInterrupt), ray_executor(monkeypatch, fake, Store(tmp_path)) as executor:
        run_cells([make_cell(0)], executor, store=Store(tmp_path), on_event=lambda event: None)
    assert [call for call, _ in fake.calls] == ["init", "cancel", "shutdown"]


def test_without_ray_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"needs Ray; install it by: pip install 'surefoot\[ray\]'"):
        RayExecutor(simple_work, slots=1, address=None, environment={})  # pyright: ignore[reportArgumentType]


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()

    def init(**options: Any) -> None:
        raise Exception("Could not find any running Ray instance.\nMore words.")

    monkeypatch.setattr(fake, "init", init)
    executor = ray_executor(monkeypatch, fake, Store(tmp_path), address="nowhere:1")
    sentence = "Ray at nowhere:1: expected a cluster to run on, found none (Could not find any running Ray instance)."
    with pytest.raises(ConfigError) as error, executor:
        pass
    assert str(error.value) == sentence
