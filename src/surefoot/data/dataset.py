"""Logged transitions in NumPy, flat over episodes, and statistics of the episodes."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike, DTypeLike

from surefoot.data.mapping import Meter, blocks, read_rows, take_rows
from surefoot.errors import DataError, MissingRewardsError

FINGERPRINT_ROWS = 65_536
"""Rows whose bytes are hashed at a time."""
EPISODES_AT_A_TIME = 4096
"""Episodes whose rewards are widened to float64 at a time."""


def fingerprint_of(arrays: Mapping[str, np.ndarray], *, on_progress: Callable[[int, int], None] | None = None) -> str:
    """SHA-256 of the names, shapes and bytes of arrays.

    Args:
        arrays: Arrays by name, in memory or mapped.
        on_progress: Called with (bytes done, bytes in all).

    Returns:
        Hash in hexadecimal.
    """
    digest = hashlib.sha256()
    meter = Meter(sum(array.nbytes for array in arrays.values()), on_progress or (lambda done, total: None))
    for name, array in arrays.items():
        dtype = array.dtype.newbyteorder("<")
        digest.update(f"{name} {dtype.str} {array.shape}\n".encode())
        for _, (block,) in blocks(array, rows=FINGERPRINT_ROWS, meter=meter):
            digest.update(np.ascontiguousarray(block, dtype).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """N logged transitions of one task, episode after episode. Two datasets are equal if their fingerprints are.

    An episode ends where `terminated` or `truncated` is set. Rows after the last end are an unfinished episode: they
    count as transitions, and are left out of the episode statistics. Raises `DataError` where an array's shape or dtype
    is not the declared one.
    """

    task: str
    """Name of the task."""
    observations: Float[np.ndarray, "N obs"]
    """Observation before each step."""
    actions: Float[np.ndarray, "N act"]
    """Action of each step, in [-1, 1]."""
    rewards: Float[np.ndarray, " N"] | None
    """Reward of each step in the task's units; None where the data hold none, as imitation needs none."""
    costs: Float[np.ndarray, " N"]
    """Cost of each step, at least 0."""
    next_observations: Float[np.ndarray, "N obs"]
    """Observation after each step."""
    terminated: Bool[np.ndarray, " N"]
    """Whether the task ended the episode with the step."""
    truncated: Bool[np.ndarray, " N"]
    """Whether the episode was cut after the step."""
    constraints: Float[np.ndarray, " N"] | None = None
    """Constraint signal h of the state that the step enters; > 0 is a violation."""

    def __post_init__(self) -> None:
        rows = len(self.observations)
        for name, array in self.arrays():
            rank = 2 if name in ("observations", "actions", "next_observations") else 1
            dtype = np.bool_ if name in ("terminated", "truncated") else np.float32
            if array.ndim != rank or len(array) != rows or array.dtype != dtype:
                expected = f"{rank} axes, {rows} rows of {np.dtype(dtype)}"
                raise DataError(
                    f"dataset of {self.task}: {name}: expected {expected}, found {array.dtype} {list(array.shape)}."
                )
        if self.next_observations.shape != self.observations.shape:
            raise DataError(
                f"dataset of {self.task}: next_observations: expected shape {list(self.observations.shape)} "
                f"as in observations, found {list(self.next_observations.shape)}."
            )

    def __len__(self) -> int:
        """Number of transitions, unfinished episode included."""
        return len(self.observations)

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name and array of every field that is not None, in a fixed order."""
        fields = vars(self).items()
        return ((name, array) for name, array in fields if name != "task" and array is not None)

    @property
    def episode_ends(self) -> Int[np.ndarray, " E"]:
        """Row after the last one of every complete episode: episode i is rows starts[i] to ends[i], half-open."""
        return np.flatnonzero(self.terminated | self.truncated) + 1

    @property
    def episode_starts(self) -> Int[np.ndarray, " E"]:
        """First row of every complete episode."""
        ends = self.episode_ends
        return np.concatenate([np.zeros(1, ends.dtype), ends])[: len(ends)]

    @property
    def lengths(self) -> Int[np.ndarray, " E"]:
        """Number of steps of every complete episode."""
        return self.episode_ends - self.episode_starts

    @property
    def returns(self) -> Float[np.ndarray, " E"]:
        """Undiscounted return of every complete episode, float64. Raises `MissingRewardsError`."""
        return self._episode_sums(self.required_rewards, np.float64)

    @property
    def required_rewards(self) -> Float[np.ndarray, " N"]:
        """Rewards. Raises `MissingRewardsError` where there are none."""
        if self.rewards is None:
            raise MissingRewardsError(f"dataset of {self.task}: rewards: expected a number for every step, found none.")
        return self.rewards

    @property
    def cost_returns(self) -> Float[np.ndarray, " E"]:
        """Undiscounted cost of every complete episode, float64."""
        return self._episode_sums(self.costs, np.float64)

    @property
    def violating_steps(self) -> Int[np.ndarray, " E"]:
        """Steps of every complete episode that enter a violation: h > 0, or cost > 0 where h is not logged."""
        return self._episode_sums(self.violating, np.int64)

    @property
    def violating(self) -> Bool[np.ndarray, " N"]:
        """Whether each step enters a violation: h > 0, or cost > 0 where h is not logged."""
        signal = self.costs if self.constraints is None else self.constraints
        violating = [block > 0 for _, (block,) in blocks(signal, rows=FINGERPRINT_ROWS)]
        return np.concatenate([np.zeros(0, bool), *violating])

    def fingerprint(self, *, on_progress: Callable[[int, int], None] | None = None) -> str:
        """SHA-256, in hexadecimal, of the names, shapes and bytes of all arrays: of the data, not of the file.

        `on_progress(done, total)` is called with numbers of bytes.
        """
        return fingerprint_of(dict(self.arrays()), on_progress=on_progress)

    def select(self, episodes: ArrayLike) -> "Dataset":
        """Complete episodes with these indices, in this order, in memory; the unfinished one is left out.

        Raises `DataError` for an empty selection.
        """
        chosen = np.asarray(episodes, np.int64)
        if not len(chosen):
            raise DataError(f"dataset of {self.task}: expected at least one episode to be left, found none.")
        starts, ends = self.episode_starts, self.episode_ends
        rows = np.concatenate([np.arange(int(starts[index]), int(ends[index])) for index in chosen])
        return self.take(rows)

    def take(self, rows: Int[np.ndarray, " n"]) -> "Dataset":
        """Transitions of these rows [n], in memory, from any episodes."""
        return Dataset(self.task, **{"rewards": None, **take_rows(dict(self.arrays()), rows)})

    def _episode_sums(self, values: np.ndarray, dtype: DTypeLike) -> np.ndarray:
        """Sum over each complete episode, accumulated in `dtype`."""
        starts, ends = self.episode_starts, self.episode_ends
        sums = [np.zeros(0, dtype)]
        for first in range(0, len(ends), EPISODES_AT_A_TIME):
            part = slice(first, first + EPISODES_AT_A_TIME)
            begin, end = starts[first], ends[part][-1]
            sums.append(np.add.reduceat(read_rows(values, begin, end).astype(dtype), starts[part] - begin))
        return np.concatenate(sums)
