"""The executor ray of `surefoot benchmark`: a node that is killed in the middle, and what Ray costs beside processes.

    pip install 'surefoot[ray]'
    python benchmarks/ray_executor.py [--seconds 60] [--out benchmarks/results/ray_executor.json]
    python benchmarks/ray_executor.py --part overhead --out benchmarks/results/ray_overhead.json

killed_node: two local nodes of one CPU each run six cells; one of them is killed without grace as it works on a cell.
Every cell must end, none twice, and the lost cell go on from its checkpoint.
overhead: the same eight cells by two local processes and by two CPUs of Ray. A cell imports what training imports and
then waits, as long as `--seconds` says, so that a busy machine tells little beside the executors' own costs: starting,
sending, noticing the end. A cell of the plan flagship takes three to five minutes.
Exits with 1 where a cell is lost or done twice.
"""

import argparse
import importlib
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _machine import head, write_public
from surefoot.experiments.attempt import Work, attempt
from surefoot.experiments.cell import Cell, Measured
from surefoot.experiments.executors.base import Executor
from surefoot.experiments.executors.processes import ProcessesExecutor
from surefoot.experiments.executors.ray import RayExecutor
from surefoot.experiments.schedule import Event, run_cells
from surefoot.experiments.store import Store

STEPS = 10
"""Of a cell; after each it has written what a checkpoint would hold."""
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
TARGET_PERCENT = 5.0


def stepping_work(cell: Cell, folder: Path, *, seconds: float) -> Measured:
    """Take the steps that are not taken yet, and note who took each."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = folder / "steps.jsonl"
    done = len(taken.read_text().splitlines()) if taken.exists() else 0
    for step in range(done, STEPS):
        time.sleep(seconds / STEPS)
        with taken.open("a") as file:
            file.write(json.dumps({"step": step}) + "\n")
    return Measured([{"cell": cell.key, "steps": STEPS}], {"resumed_at": done})


def waiting_work(cell: Cell, folder: Path, *, seconds: float) -> Measured:
    """Import what training a cell imports, then wait."""
    import surefoot.evaluation.simulated
    import surefoot.training  # noqa: F401

    time.sleep(seconds)
    return Measured([{"cell": cell.key}], {})


def make_cells(count: int) -> list[Cell]:
    """Cells whose work reads nothing of them but the key."""
    return [
        Cell(
            key=f"cell{number}", task="BallRun", method="none", fraction=1.0, seeds=(0,), episodes=1, algorithm="bc",
            preset="small", hyperparameters={}, data_filter="all", filter_cost_limit=None,
            held_out_share=0.0, data="", data_size=0, data_modified=0,
        )
        for number in range(count)
    ]  # fmt: skip


def task_of(store: Store, work: Work) -> Any:
    """An attempt at a cell of the store."""
    return partial(attempt, store=str(store.path), work=work, began=time.time())


def killed_node(seconds: float, folder: Path) -> dict[str, Any]:
    """Run cells on two nodes, kill one as it works, and say what became of them."""
    # Not everyone has Ray.
    cluster = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20}
    )
    second = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    cluster.wait_for_nodes()
    store, cells = Store(folder), make_cells(6)
    executor = RayExecutor(
        task_of(store, partial(stepping_work, seconds=seconds)), slots=None, address=cluster.address, environment={}
    )
    killed: list[float] = []

    def kill() -> None:
        killed.append(time.time())
        cluster.remove_node(second, allow_graceful=False)

    def on_event(event: Event) -> None:
        if event.done == 2 and not killed:
            # Both nodes have taken a cell each again: in the middle of the work on them.
            timer = threading.Timer(seconds / 2, kill)
            timer.start()
            killed.append(0.0)

    began = time.perf_counter()
    try:
        with executor:
            outcomes = run_cells(cells, executor, store=store, on_event=on_event)
    finally:
        cluster.shutdown()
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    ended = Counter(line["key"] for line in lines if line["event"] == "done")
    records = [store.record(cell.key) for cell in cells]
    return {
        "cells": len(cells),
        "seconds_of_a_cell": seconds,
        "done": sum(outcome.status == "done" for outcome in outcomes.values()),
        "done_twice": sum(count > 1 for count in ended.values()),
        "attempts": sum(line["event"] == "began" for line in lines),
        "lost_attempts": [line["how"] for line in lines if line["event"] == "died"],
        "resumed_at_step": [
            record.details["resumed_at"] for record in records if record and record.details["resumed_at"]
        ],
        "steps_of_a_cell": STEPS,
        "wall_seconds": round(time.perf_counter() - began, 1),
    }


def timed(executor: Executor, store: Store, cells: list[Cell], seconds: float) -> dict[str, float]:
    """Run the cells; wall time from before the executor starts until it has ended, and its parts."""
    started, began = time.time(), time.perf_counter()
    with executor:
        outcomes = run_cells(cells, executor, store=store, on_event=lambda event: None)
        ended = time.time()
    wall = time.perf_counter() - began
    assert all(outcome.status == "done" for outcome in outcomes.values()), outcomes
    lines = [json.loads(line) for line in (store.path / "journal.jsonl").read_text().splitlines()]
    longer = sorted(line["seconds"] - seconds for line in lines if line["event"] == "done")
    return {
        "wall_seconds": round(wall, 2),
        "until_the_first_cell_began": round(min(line["time"] for line in lines) - started, 2),
        "imports_of_the_first_two_cells": round(sum(longer[-2:]) / 2, 2),
        "imports_of_later_cells": round(sum(longer[:-2]) / max(1, len(longer) - 2), 2),
        "from_the_last_end_to_knowing_it": round(ended - max(line["time"] for line in lines), 2),
    }


def overhead(seconds: float, folder: Path, rounds: int) -> dict[str, Any]:
    """Wall time of the same cells by processes and by Ray, alternating."""
    times: dict[str, list[dict[str, float]]] = {"processes": [], "ray": []}
    for number in range(rounds):
        for name, found in times.items():
            store = Store(folder / f"{name}{number}")
            store.path.mkdir(parents=True)
            task = task_of(store, partial(waiting_work, seconds=seconds))
            executor: Executor = (
                ProcessesExecutor(task, slots=2, environment={}, log=str(store.path / "processes.log"))
                if name == "processes"
                else RayExecutor(task, slots=2, address=None, environment={})
            )
            found.append(timed(executor, store, make_cells(8), seconds))
            print(name, found[-1], flush=True)
    processes, ray = (min(one["wall_seconds"] for one in times[name]) for name in times)
    return {
        "cells": 8,
        "at_once": 2,
        "seconds_of_a_cell": seconds,
        "seconds": times,
        "overhead_seconds": round(ray - processes, 2),
        "overhead_percent": round(100 * (ray / processes - 1), 2),
        "target_percent": TARGET_PERCENT,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--part", choices=("both", "killed_node", "overhead"), default="both")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ray_executor.json"))
    options = parser.parse_args()
    result = head()
    result["versions"]["ray"] = version("ray")
    with tempfile.TemporaryDirectory() as folder:
        if options.part != "overhead":
            result["killed_node"] = killed_node(min(20.0, options.seconds / 3), Path(folder) / "killed")
        if options.part != "killed_node":
            result["overhead"] = overhead(options.seconds, Path(folder), options.rounds)
    write_public(options.out, result)
    print(json.dumps(result, indent=2))
    killed = result.get("killed_node")
    if killed and (killed["done"] != killed["cells"] or killed["done_twice"]):
        sys.exit("a cell was lost or done twice")


if __name__ == "__main__":
    main()
