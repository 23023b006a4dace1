"""Steps inside episodes: their rows, and the observations before and after them, with little memory."""

import numpy as np

from surefoot.data.dataset import Dataset
from surefoot.data.frames import FrameData, transition_rows
from surefoot.data.mapping import read_rows, take_rows

IMAGES = 20_000
"""Frames of images that are examined: a reader of compressed images takes about a minute for 100,000."""
_BLOCK_NUMBERS = 4 * 2**20
"""Numbers of observations that are processed at a time."""


def inner_steps(data: Dataset | FrameData) -> tuple[np.ndarray, np.ndarray]:
    """(rows of steps that end no episode, rows that start episodes)."""
    if isinstance(data, FrameData):
        rows = transition_rows(data)
        return (rows if data.observations.ndim == 2 else rows[rows < IMAGES]), data.episode_starts
    starts = np.append(0, data.episode_ends)
    return np.flatnonzero(~(data.terminated | data.truncated)), starts[starts < len(data)]


def rows_within(data: Dataset | FrameData, most: int) -> int:
    """Rows of a block that takes little memory: fewer for wide observations.

    Args:
        data: Transitions or frames.
        most: Largest number of rows.

    Returns:
        Number of rows.
    """
    return max(32, min(most, _BLOCK_NUMBERS // max(1, int(np.prod(data.observations.shape[1:])))))


def step_pairs(data: Dataset | FrameData, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Observations before and after steps.

    Args:
        data: Transitions or frames.
        rows: Rows of the steps [n].

    Returns:
        (before, after), each [n, columns], float32.
    """
    if isinstance(data, Dataset):
        taken = take_rows({"before": data.observations, "after": data.next_observations}, rows)
        return taken["before"], taken["after"]
    low, high = int(rows.min()), int(rows.max()) + 2
    if high - low > 4 * len(rows):  # a thin sample of images: each pair is read alone
        found = [read_rows(data.observations, row, row + 2) for row in rows.tolist()]
        seen = np.stack(found).reshape(len(rows), 2, -1).astype(np.float32)
        return seen[:, 0], seen[:, 1]
    block = read_rows(data.observations, low, high)
    block = block.reshape(len(block), -1).astype(np.float32)
    return block[rows - low], block[rows - low + 1]
