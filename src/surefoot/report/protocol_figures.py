"""Figures of a run's evaluation on a simulator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from surefoot.data import Dataset
from surefoot.errors import ConfigError
from surefoot.evaluation.protocol import normalised_cost, normalised_return
from surefoot.evaluation.rows import evaluation_rows_of
from surefoot.report.html import Animation
from surefoot.report.protocol_plots import Scores, cost_against_return, scores_of
from surefoot.runs.evaluation_files import kept
from surefoot.runs.loaded import FOLDER
from surefoot.tasks import Task

Figures = dict[str, tuple[Figure, str]]
Points = tuple[np.ndarray, np.ndarray]


def scores(path: Path, name: str) -> Scores | None:
    """Normalized scores of a run's episodes.

    Args:
        path: Folder of the run.
        name: Name of the method.

    Returns:
        The scores; None where the run was not evaluated by a protocol.

    Raises:
        ConfigError: The rows have another form.
    """
    rows = evaluation_rows_of(path)
    try:
        return scores_of(name, rows) if rows and "normalised_cost" in rows[0] else None
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path / FOLDER}: expected rows of an evaluation, found others; evaluate again.") from error


def data_points(dataset: Dataset | None, task: Task, summary: Mapping[str, Any]) -> Points | None:
    """Normalized returns and costs of the data's episodes, by the limits of the evaluation.

    Args:
        dataset: Training data, or None.
        task: The task.
        summary: Summary of the run.

    Returns:
        (returns, costs), or None.
    """
    if dataset is None or dataset.rewards is None or not len(dataset.episode_ends) or "protocol" not in summary:
        return None
    limits = [record["limit"] for record in summary["protocol"]["limits"]]
    returns = np.array([normalised_return(value, task) for value in dataset.returns])
    costs = np.array([np.mean([normalised_cost(value, limit) for limit in limits]) for value in dataset.cost_returns])
    return returns, costs


def scatter_figure(path: Path, *, name: str, data: Points | None) -> Figures:
    """Figure of cost against return of one run; empty where it was not evaluated by a protocol.

    Args:
        path: Folder of the run.
        name: Name of the method.
        data: (returns, costs) of the data, or None.

    Returns:
        Name -> (figure, caption).
    """
    found = scores(path, name)
    if found is None:
        return {}
    caption = (
        "Every episode's normalised cost against its normalised return (small), and the means of the seeds (large). "
        "Shaded: within the cost limit. Grey: the episodes that the policy learned from."
    )
    return {"cost-return": (cost_against_return([found], data=data), caption)}


def animations(path: Path, summary: Mapping[str, Any]) -> list[Animation]:
    """Animations that the evaluation drew, as far as their files exist.

    Args:
        path: Folder of the run.
        summary: Content of summary.json.

    Returns:
        The animations.
    """
    found = []
    for record in summary.get("rollouts", []):
        file = kept(path, "rollouts", str(record["file"]))
        if file is not None:
            found.append(Animation(file.stem, file.read_bytes(), str(record["caption"])))
    return found
