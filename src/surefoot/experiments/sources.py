"""Data of a plan's tasks: their state when the plan began, and whether it is unchanged."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from surefoot.data import library
from surefoot.data.own_tasks import find_task
from surefoot.errors import DataError
from surefoot.evaluation.protocol import normalised_return
from surefoot.experiments.cell import Cell
from surefoot.experiments.plan import Plan
from surefoot.experiments.store import DataRecord

_AGAIN = "put them back, or begin in another store"


def data_path(plan: Plan, task: str, folder: Path) -> Path:
    """Absolute path of a task's data.

    Args:
        plan: The plan.
        task: Name of the task.
        folder: Folder of relative paths.

    Returns:
        The path.
    """
    return Path(folder, plan.tasks[task].data).absolute()


def data_records(
    plan: Plan, tasks: list[str], folder: Path, known: Mapping[str, DataRecord],
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, DataRecord]:  # fmt: skip
    """Records of the data of tasks; unchanged files are not read again.

    Args:
        plan: The plan.
        tasks: Names of tasks of the plan.
        folder: Folder of relative paths.
        known: Records of when the plan began.
        on_progress: Called with (tasks done, tasks in all).

    Returns:
        Task -> record.

    Raises:
        DataError: Data are missing, bad, or have changed since the plan began.
    """
    found = {}
    for number, task in enumerate(tasks):
        if on_progress is not None:
            on_progress(number, len(tasks))
        path = data_path(plan, task, folder)
        before = known.get(task)
        if before is not None and path.exists() and _stamp(path) == (before.size, before.modified):
            found[task] = before
            continue
        if not path.exists():
            raise DataError(f"{path}: expected the data of {task}, found nothing of that name.")
        found[task] = describe(path, task)
        if before is not None and found[task].fingerprint != before.fingerprint:
            raise DataError(
                f"{path}: expected the data of {task} with which the plan began, fingerprint "
                f"{before.fingerprint[:16]}..., found {found[task].fingerprint[:16]}...; {_AGAIN}."
            )
    if on_progress is not None:
        on_progress(len(tasks), len(tasks))
    return found


def describe(path: Path, task: str) -> DataRecord:
    """Record of a task's data.

    Args:
        path: The data.
        task: Name of the task.

    Returns:
        Fingerprint, counts and best returns.

    Raises:
        DataError: The data cannot be used.
    """
    known = find_task(task, data=path)
    size, modified = _stamp(path)
    dataset = library.load(path, known)
    safe = dataset.cost_returns <= known.cost_limit
    rewarded = dataset.rewards is not None
    scores = np.array([normalised_return(value, known) for value in dataset.returns] if rewarded else [])
    return DataRecord(
        file=path.name,
        fingerprint=dataset.fingerprint(),
        size=size,
        modified=modified,
        episodes=len(safe),
        transitions=len(dataset),
        safe_share=float(safe.mean()) if len(safe) else 0.0,
        best_safe_return=float(scores[safe].max()) if rewarded and safe.any() else None,
        best_return=None if not rewarded else float(scores.max()) if len(scores) else 0.0,
    )


def check_unchanged(cell: Cell) -> None:
    """Raise `DataError` where a cell's data are gone, or have changed since its plan was read."""
    path = Path(cell.data)
    if not path.exists():
        raise DataError(f"{path}: expected the data of {cell.task}, found nothing of that name.")
    if _stamp(path) != (cell.data_size, cell.data_modified):
        raise DataError(f"{path}: expected the data of {cell.task} as the plan began, found changed ones; {_AGAIN}.")


def _stamp(path: Path) -> tuple[int, int]:
    """Bytes of a file, or of a folder's files, and when they last changed, in nanoseconds."""
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    stats = [one.stat() for one in files] or [path.stat()]
    return sum(one.st_size for one in stats), max(one.st_mtime_ns for one in stats)
