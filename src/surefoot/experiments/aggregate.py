"""Figures over many tasks: means of scores with intervals by a bootstrap that is stratified by task."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

RESAMPLES = 2000
Scores = Float[np.ndarray, "seed episode"]


def mean_over_tasks(tasks: Sequence[Scores], *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Mean over tasks of each task's mean score, with a 95 % interval by a stratified bootstrap.

    Tasks stay; in each, seeds are drawn with replacement, and episodes of each drawn seed. So the interval says how
    much other seeds and other episodes would move the figure.

    Args:
        tasks: Scores of each task's episodes, [seed, episode].
        resamples: Draws of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        "mean" and "interval", both None without tasks.
    """
    if not tasks:
        return {"mean": None, "interval": None}
    random = np.random.default_rng(seed)
    total = np.zeros(resamples)
    for scores in tasks:
        seeds, episodes = scores.shape
        drawn = random.integers(seeds, size=(resamples, seeds, 1))
        chosen = random.integers(episodes, size=(resamples, seeds, episodes))
        total += scores[drawn, chosen].mean((1, 2))
    low, high = np.quantile(total / len(tasks), [0.025, 0.975])
    return {"mean": float(np.mean([scores.mean() for scores in tasks])), "interval": [float(low), float(high)]}


def scores_by_task(rows: Sequence[Mapping[str, Any]], column: str) -> Scores:
    """Scores of a task by seed and episode, averaged over cost limits where there are several.

    Args:
        rows: Rows of the task's episodes.
        column: Name of the score.

    Returns:
        Scores, [seed, episode].
    """
    seeds = sorted({row["seed"] for row in rows})
    episodes = sorted({row["episode"] for row in rows})
    sums, counts = np.zeros((len(seeds), len(episodes))), np.zeros((len(seeds), len(episodes)))
    for row in rows:
        place = seeds.index(row["seed"]), episodes.index(row["episode"])
        sums[place] += row[column]
        counts[place] += 1
    return sums / np.maximum(counts, 1)
