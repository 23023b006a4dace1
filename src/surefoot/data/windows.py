"""Windows of consecutive steps, cut out of whole episodes inside the compiled update.

Steps lie flat, episode after episode; a window is a first row and a length. Overlapping windows share their memory, and
images stay uint8 until an update has drawn its few windows.
"""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from surefoot.data.dataset import Dataset
from surefoot.errors import DataError

Steps = TypeVar("Steps")


class Windows(NamedTuple):
    """Steps of N rows, and M rows at which a window may start."""

    steps: PyTree[Any]
    """Tree of arrays [N, ...], one row a step, episode after episode, of any dtypes."""
    left: Int[Array, " N"]
    """Steps from each row to the end of its episode, the row included; int32."""
    starts: Int[Array, " M"]
    """Rows at which a window may start; int32."""


def gather(
    steps: Steps, left: Int[Array, " N"], starts: Int[Array, " B"], *, length: int
) -> tuple[Steps, Bool[Array, "B length"]]:
    """Windows that start at given rows.

    After the end of its episode a window holds zeros and is not valid.

    Args:
        steps: Tree of arrays [N, ...].
        left: Steps from each row to the end of its episode [N].
        starts: First rows [B].
        length: Steps of a window.

    Returns:
        (windows, a tree of arrays [B, length, ...]; whether each step is valid [B, length]).
    """
    offset = jnp.arange(length)[None]
    valid = offset < jnp.asarray(left)[starts][:, None]
    rows = jnp.where(valid, starts[:, None] + offset, 0)

    def take(leaf: Array) -> Array:
        values = jnp.asarray(leaf)[rows]
        mask = valid.reshape(*valid.shape, *[1] * (values.ndim - 2))
        return jnp.where(mask, values, jnp.zeros((), values.dtype))

    return jax.tree.map(take, steps), valid


def steps_left(dataset: Dataset) -> Int[np.ndarray, " N"]:
    """Steps from each row to the end of its episode, the row included; 1 in rows of an unfinished episode."""
    left = np.ones(len(dataset), np.int32)
    complete = np.repeat(dataset.episode_ends, dataset.lengths)
    left[: len(complete)] = complete - np.arange(len(complete))
    return left


def steps_taken(dataset: Dataset) -> Int[np.ndarray, " N"]:
    """Environment steps before each row in its episode, 0 in the first; rows of an unfinished episode count, too."""
    ends = dataset.episode_ends
    firsts = np.concatenate([np.zeros(1, ends.dtype), ends[ends < len(dataset)]])
    counts = np.diff(np.append(firsts, len(dataset)))
    return (np.arange(len(dataset)) - np.repeat(firsts, counts)).astype(np.int32)


def window_starts(
    dataset: Dataset, *, length: int, longest: int, episodes: Int[np.ndarray, " E"] | None = None
) -> Int[np.ndarray, " M"]:
    """Rows at which windows may start: 0, ..., min(L - 1, longest - length) of every complete episode of L steps.

    A window may reach beyond an early end, but not beyond the horizon (Janner et al., 2022, arXiv 2205.09991).

    Args:
        dataset: N logged transitions.
        length: Steps of a window.
        longest: Horizon of the task in steps.
        episodes: Indices of the episodes; None: all.

    Returns:
        Rows [M], int32.

    Raises:
        DataError: There is no complete episode, or all are shorter than a window.
    """
    starts, lengths = dataset.episode_starts, dataset.lengths
    if not len(lengths):
        raise DataError(f"dataset of {dataset.task}: expected at least one complete episode, found none.")
    if length > lengths.max():
        raise DataError(
            f"dataset of {dataset.task}: horizon: expected at most {lengths.max()} steps, the longest episode's, "
            f"found {length}."
        )
    if episodes is not None:
        starts, lengths = starts[episodes], lengths[episodes]
    counts = np.minimum(lengths, max(longest, lengths.max(initial=0)) - length + 1)
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return (np.repeat(starts, counts) + offset).astype(np.int32)


def sums_to_go(
    values: Float[np.ndarray, " N"], dataset: Dataset, *, discount: float, at_termination: float = 0.0
) -> Float[np.ndarray, " N"]:
    """Discounted sums sum_k discount^k values_{t+k} from each row to the end of its episode, in float64.

    Rows of an unfinished episode keep their own value.

    Args:
        values: Rewards, costs or other numbers of the steps [N].
        dataset: Dataset of the steps.
        discount: Discount per step, in [0, 1].
        at_termination: Number added to the last step of a terminated episode.

    Returns:
        Sums [N].
    """
    sums = np.asarray(values, np.float64).copy()
    sums[dataset.terminated] += at_termination
    starts, ends = dataset.episode_starts, dataset.episode_ends
    for back in range(2, int(dataset.lengths.max(initial=0)) + 1):
        rows = ends - back
        rows = rows[rows >= starts]
        sums[rows] += discount * sums[rows + 1]
    return sums
