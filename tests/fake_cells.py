"""Cells of a benchmark whose work is to write numbers, in whichever process; no JAX."""

import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surefoot.errors import DivergenceError
from surefoot.experiments.cell import Cell, Measured


def make_cell(number: int, **changes: Any) -> Cell:
    """A cell of the task BallRun with the key "cell0", "cell1", ..."""
    values: dict[str, Any] = {
        "key": f"cell{number}", "task": "BallRun", "method": "bc", "fraction": 1.0, "seeds": (0, 1), "episodes": 2,
        "algorithm": "bc", "preset": "small", "hyperparameters": {}, "data_filter": "all", "filter_cost_limit": None,
        "held_out_share": 0.0,
        "data": "nowhere.hdf5", "data_size": 0, "data_modified": 0,
    }  # fmt: skip
    return Cell(**{**values, **changes})


def rows_of_cell(cell: Cell, *, reached: float = 0.5, cost: float = 0.0) -> list[dict[str, Any]]:
    """Episodes as `surefoot evaluate` writes them; every seed's and episode's return differs a little."""
    return [
        {
            "task": cell.task, "algorithm": cell.algorithm, "data": "all", "extraction": "single", "protocol": "strict",
            "limit": 5.0, "seed": seed, "episode": episode, "simulator_seed": 1_000_000 + episode, "return": 100.0,
            "cost": cost, "length": 100, "normalised_return": reached + 0.01 * seed + 0.001 * episode,
            "normalised_cost": cost / 5.0, "terminated": False, "restarts": 0,
        }
        for seed in cell.seeds
        for episode in range(cell.episodes)
    ]  # fmt: skip


def simple_work(cell: Cell, folder: Path) -> Measured:
    """Rows at once; prints a line."""
    print(f"work on {cell.key}")
    print("warning: few episodes.", file=sys.stderr)
    return Measured(rows_of_cell(cell), {"process": os.getpid()})


def failing_work(cell: Cell, folder: Path) -> Measured:
    """Cell 1 diverges, cell 2 has a fault of ours."""
    if cell.key == "cell1":
        raise DivergenceError("training diverged: metric 'loss' of seed 0 became nan.")
    if cell.key == "cell2":
        raise ZeroDivisionError("division by zero")
    return simple_work(cell, folder)


def dying_work(cell: Cell, folder: Path) -> Measured:
    """Cell 0's process dies at the first attempt, cell 1's at every one."""
    folder.mkdir(parents=True, exist_ok=True)
    first = not (folder / "begun").exists()
    (folder / "begun").touch()
    if cell.key == "cell1" or (cell.key == "cell0" and first):
        os.kill(os.getpid(), signal.SIGKILL)
    return simple_work(cell, folder)


def full_work(cell: Cell, folder: Path) -> Measured:
    """Work after which no file has room for a byte."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    return simple_work(cell, folder)


def slow_work(cell: Cell, folder: Path) -> Measured:
    """Work that lasts until the file "go" lies beside the cells, at most a minute."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "begun").touch()
    for _ in range(1200):
        if (folder.parents[1] / "go").exists():
            break
        time.sleep(0.05)
    return simple_work(cell, folder)


def keys(cells: Sequence[Cell]) -> list[str]:
    return [cell.key for cell in cells]
