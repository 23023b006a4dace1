"""Guesses at what went wrong with data that cannot be right: keys or columns that were swapped. They only add words to
a refusal; nothing is mended by itself."""

import numpy as np
from jaxtyping import Float

from surefoot.data.dataset import Dataset
from surefoot.data.frames import FrameData
from surefoot.data.mapping import blocks

SAMPLE_ROWS = 4096
"""Rows that a guess at swapped columns looks at."""


def rewards_look_like_costs(dataset: Dataset | FrameData) -> bool:
    """Whether every reward is 0 or 1, with some of both, while costs hold fractions."""
    if dataset.rewards is None:
        return False
    seen: set[bool] = set()
    for _, (block,) in blocks(dataset.rewards):
        if ((block != 0) & (block != 1)).any():
            return False
        seen |= set(np.unique(block == 1).tolist())
    return len(seen) == 2 and any((block != np.round(block)).any() for _, (block,) in blocks(dataset.costs))


def explain_gap(dataset: Dataset, tolerance: Float[np.ndarray, " obs"]) -> str:
    """Why next observations may not be the observations that follow, as the end of a sentence; empty if unknown."""
    rows = slice(0, SAMPLE_ROWS)
    inside = ~(dataset.terminated | dataset.truncated)[rows][:-1]
    here, entered = dataset.observations[rows], dataset.next_observations[rows]
    if not inside.any():
        return ""
    # Exchanged keys: what is called next observation is left, and what is called observation entered.
    if (np.abs(here[:-1].astype(np.float64) - entered[1:])[inside] <= tolerance).all():
        return "; observations and next_observations look swapped"
    following, entered = here[1:][inside].astype(np.float64), entered[:-1][inside]
    for column in np.flatnonzero((np.abs(entered - following) > tolerance).any(0)):
        same = (np.abs(entered[:, [column]] - following) <= tolerance).all(0)
        if same.any():
            return f"; its column {column} looks like column {same.argmax()} of observations"
    return ""
