"""Windows of consecutive steps, cut out of whole episodes inside the compiled update.

The steps lie flat, episode after episode, once; a window is a first row and a length. So windows that overlap share
their memory, and images can stay uint8 until an update has drawn its few windows.
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
    """Any tree of arrays [N, ...], one row a step, episode after episode, each with its own dtype."""
    left: Int[Array, " N"]
    """Steps from this one to the end of its episode, this one included; int32."""
    starts: Int[Array, " M"]
    """Rows that a window may start at; int32."""


def gather(
    steps: Steps, left: Int[Array, " N"], starts: Int[Array, " B"], *, length: int
) -> tuple[Steps, Bool[Array, "B length"]]:
    """The windows [B, length, ...] that start at these rows, and where they are valid.

    After the end of its episode a window holds zeros of the leaf's own dtype, and is not valid.
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
    """Steps from each row to the end of its episode, this one included; 1 in the rows of an unfinished episode, which
    no window should start at."""
    left = np.ones(len(dataset), np.int32)
    complete = np.repeat(dataset.episode_ends, dataset.lengths)
    left[: len(complete)] = complete - np.arange(len(complete))
    return left


def steps_taken(dataset: Dataset) -> Int[np.ndarray, " N"]:
    """Environment steps before each row in its episode, 0 in the first; those of an unfinished episode go on alike."""
    ends = dataset.episode_ends
    firsts = np.concatenate([np.zeros(1, ends.dtype), ends[ends < len(dataset)]])
    counts = np.diff(np.append(firsts, len(dataset)))
    return (np.arange(len(dataset)) - np.repeat(firsts, counts)).astype(np.int32)


def window_starts(
    dataset: Dataset, *, length: int, longest: int, episodes: Int[np.ndarray, " E"] | None = None
) -> Int[np.ndarray, " M"]:
    """The rows 0, ..., min(L - 1, longest - length) of every complete episode of L steps (or of those numbered).

    `longest` is the task's horizon in steps: a window may reach beyond an early end, but not beyond the horizon
    (Janner et al., 2022, arXiv 2205.09991). Raises `DataError` where every episode is shorter than a window.
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
    """sum_k discount^k values_{t+k} from each row to the end of its episode, in float64 and O(N).

    `at_termination` is added, once, to the value of the last step of an episode that terminated. Rows of an unfinished
    episode keep their own value alone.
    """
    sums = np.asarray(values, np.float64).copy()
    sums[dataset.terminated] += at_termination
    starts, ends = dataset.episode_starts, dataset.episode_ends
    for back in range(2, int(dataset.lengths.max(initial=0)) + 1):
        rows = ends - back
        rows = rows[rows >= starts]
        sums[rows] += discount * sums[rows + 1]
    return sums
