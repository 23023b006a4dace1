"""The data card of a collected file: its origin, its making, its coverage, and missed targets."""

from typing import Any

import numpy as np

from surefoot.checkpoint import versions
from surefoot.collection.density_filter import reached
from surefoot.data import Dataset
from surefoot.envs.simulators.install import simulator_versions
from surefoot.tasks import Task

ORIGIN = "recreated by Surefoot, not the published file"
COST_RANGE_BINS = 10
"""Equal parts of the reference cost range, over which the coverage is counted."""

NOTES: dict[str, str] = {
    "BallRun": "What is safe is bounded by the speed limit of 2.5 m/s: 100 steps of 1/30 s at 60 a metre give a "
    "return of 500, normalised 0.36, and a ball that starts at rest stays below that.",
    "AntCircle": "The ant does not walk after 1,500,000 steps: no episode, safe or not, has a return above 0.06.",
    "DroneCircle": "It grows with the learner's steps: 0.05 in 1,500,000, 0.45 in 3,000,000.",
}
"""Remarks for readers who judge a task's figures."""

_SAFE_RETURNS: dict[str, float] = dict.fromkeys(("AntRun", "BallRun", "CarRun", "DroneRun"), 0.7)
"""Normalised return that the best safe episode of a file should reach, 0.5 elsewhere."""


def normalized_return(task: Task, returns: np.ndarray) -> np.ndarray:
    """Normalized returns (R - R_min) / (R_max - R_min).

    Args:
        task: Task with its reference returns.
        returns: Undiscounted returns, [E].

    Returns:
        Normalized returns, [E].
    """
    return (returns - task.return_min) / (task.return_max - task.return_min)


def coverage(dataset: Dataset, task: Task) -> dict[str, Any]:
    """Coverage of a dataset: episodes by cost, safe episodes, best returns.

    Args:
        dataset: Collected episodes.
        task: Task with its reference ranges.

    Returns:
        JSON values; returns are normalized.
    """
    costs, returns = dataset.cost_returns, normalized_return(task, dataset.returns)
    safe = costs <= task.cost_limit
    low, high = task.cost_return_min, task.cost_return_max
    counts, _ = np.histogram(costs, bins=COST_RANGE_BINS, range=(low, high))
    return {
        "transitions": len(dataset),
        "episodes": len(costs),
        "cost_range": [low, high],
        "episodes_per_cost_bin": counts.tolist(),
        "cost_bins_reached": int(reached(costs, low=low, high=high, bins=COST_RANGE_BINS).sum()),
        "episodes_above_cost_range": int((costs > high).sum()),
        "cost_return_max": _most(costs),
        "safe_episodes": int(safe.sum()),
        "safe_episode_share": float(safe.mean()) if len(costs) else None,
        "best_safe_normalized_return": _most(returns[safe]),
        "costless_episodes": int((costs == 0).sum()),
        "best_costless_normalized_return": _most(returns[costs == 0]),
        "best_normalized_return": _most(returns),
        "mean_normalized_return": float(returns.mean()) if len(returns) else None,
        "lowest_normalized_return": float(returns.min()) if len(returns) else None,
    }


def targets(found: dict[str, Any], task: Task, *, transitions: int) -> list[dict[str, Any]]:
    """Targets of a collected file, with what it reached.

    Args:
        found: Coverage of the file.
        task: The task.
        transitions: Wanted rows.

    Returns:
        A record for each target: name, wanted, found, met.
    """
    safe = _SAFE_RETURNS.get(task.name, 0.5)
    wanted = (
        ("transitions", transitions),
        ("cost_bins_reached", 8),
        ("safe_episode_share", 0.05),
        ("best_safe_normalized_return", safe),
        ("best_normalized_return", 0.85),
    )
    return [
        {"name": name, "wanted": least, "found": found[name], "met": found[name] is not None and found[name] >= least}
        for name, least in wanted
    ]


def shortfalls(rows: list[dict[str, Any]]) -> list[str]:
    """A sentence for each target that was missed."""
    return [
        f"{row['name'].replace('_', ' ')}: wanted at least {row['wanted']:,}, found {_number(row['found'])}."
        for row in rows
        if not row["met"]
    ]


def make_card(dataset: Dataset, task: Task, *, transitions: int, made: dict[str, Any]) -> dict[str, Any]:
    """The data card of a dataset.

    Args:
        dataset: Collected episodes.
        task: The task.
        transitions: Wanted rows.
        made: How the data were made, as JSON values.

    Returns:
        JSON values.
    """
    found = coverage(dataset, task)
    rows = targets(found, task, transitions=transitions)
    note = NOTES.get(task.name)
    return {
        "task": task.name,
        "origin": ORIGIN,
        "published_file": task.dsrl_file,
        **made,
        "versions": {**versions(), **simulator_versions(task)},
        "coverage": found,
        "targets": rows,
        "falls_short": shortfalls(rows),
        **({} if note is None else {"note": note}),
    }


def _most(values: np.ndarray) -> float | None:
    return float(values.max()) if len(values) else None


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:,.3g}" if isinstance(value, float) else f"{value:,}"
