"""The work on a cell of a benchmark: train its run, or resume it, and evaluate it by the strict protocol."""

import os
import time
from pathlib import Path
from typing import Any

from surefoot.algorithms import algorithm_class
from surefoot.checkpoint import versions
from surefoot.data.own_tasks import find_task
from surefoot.evaluation import evaluation
from surefoot.evaluation.kinds.limits import by_protocol
from surefoot.evaluation.rows import evaluation_rows_of
from surefoot.experiments.cell import Cell, Measured
from surefoot.experiments.sources import check_unchanged
from surefoot.experiments.train import train_run
from surefoot.experiments.train_request import TrainRequest
from surefoot.hyperparameters import from_hyperparameters
from surefoot.numerics import pinned
from surefoot.observer import Observer
from surefoot.protocols import PlansUnderBudget
from surefoot.runs.loaded import load_run


def train_and_measure(cell: Cell, folder: Path, observer: Observer) -> Measured:
    """Train a cell's run, or resume it, and evaluate it.

    Args:
        cell: The cell.
        folder: Folder of the run.
        observer: Receives progress.

    Returns:
        Rows of its episodes, and details.

    Raises:
        DataError: The data are gone or have changed.
    """
    check_unchanged(cell)
    algorithm = from_hyperparameters(algorithm_class(cell.algorithm), cell.hyperparameters, source=cell.method)
    started = time.perf_counter()
    with pinned(start=False):
        request = TrainRequest(
            algorithm=algorithm,
            name=cell.algorithm,
            preset=cell.preset,
            task=find_task(cell.task, data=Path(cell.data)),
            data=Path(cell.data),
            out=folder,
            data_filter=cell.data_filter,  # pyright: ignore[reportArgumentType]
            filter_cost_limit=cell.filter_cost_limit,
            fraction=cell.fraction,
            held_out=cell.held_out_share,
            seeds=tuple(cell.seeds),
            resume=True,
        )
        train_run(request, command=("surefoot", "benchmark", cell.method, cell.task), observer=observer)
        trained = time.perf_counter()
        run, task = load_run(folder, {}), request.task
        given: Any = {"workers": cell.workers, "observer": observer}
        summary = evaluation.evaluate(by_protocol(task, episodes=cell.episodes), run, **given)
        rows = evaluation_rows_of(folder)
        further = [limit for limit in task.dsrl_cost_limits if limit != task.cost_limit]
        if isinstance(run.algorithm, PlansUnderBudget) and further:  # it is told each limit, in episodes of their own
            evaluation.evaluate(by_protocol(task, "dsrl", episodes=cell.episodes, limits=further), run, **given)
            rows += evaluation_rows_of(folder)
    details = {
        "train_seconds": round(trained - started, 1),
        "evaluate_seconds": round(time.perf_counter() - trained, 1),
        "updates": summary.get("training", {}).get("updates"),
        "versions": versions(),
        "simulator": summary.get("simulator", {}),
        "held_out": summary.get("held_out", {}),
        "processors": os.cpu_count(),
    }
    return Measured(rows, details)
