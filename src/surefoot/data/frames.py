"""Episodes frame by frame, for algorithms that learn from windows of them: images as uint8, or vectors.

Frame t of an episode holds the observation o_t, the action chosen at o_t, and the reward and cost received on arriving
at o_t, as in FOSP's code (arXiv 2407.04942). An episode of L steps has L + 1 frames; its first has no reward and no
cost, its last no action: zeros there. Elsewhere in surefoot rewards belong to the step that leaves a state:
`frames_of` turns such data into frames, once, and `transition_rows` says where a frame's step leads.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from surefoot.data.dataset import Dataset, fingerprint_of
from surefoot.errors import DataError


class Frames(NamedTuple):
    """Frames as algorithms see them: [B, T, ...] in a batch of windows, [N, ...] as a whole dataset."""

    observation: Array
    """uint8 [*b, height, width, channels] or float32 [*b, obs]."""
    action: Float[Array, "*b act"]
    """Action chosen at the frame."""
    reward: Float[Array, "*b"]
    """Reward received on arriving at the frame."""
    cost: Float[Array, "*b"]
    """Cost received on arriving at the frame."""
    is_first: Bool[Array, "*b"]
    """Whether an episode begins with the frame."""
    terminated: Bool[Array, "*b"]
    """Whether the task ended the episode on arriving at the frame."""


class ObservationScales(NamedTuple):
    """Mean and standard deviation of each number of an observation vector, in its own units, float32."""

    mean: Float[Array, " obs"]
    deviation: Float[Array, " obs"]
    """1 where a number never changes."""

    @staticmethod
    def none(width: int) -> "ObservationScales":
        """The identity scaling of vectors of `width` numbers."""
        return ObservationScales(jnp.zeros(width), jnp.ones(width))

    @staticmethod
    def of(observations: Float[np.ndarray, "N obs"]) -> "ObservationScales":
        """Mean and standard deviation of the rows [N, obs]; 1 in place of the deviation of a constant number."""
        mean, deviation = observations.mean(0, dtype=np.float64), observations.std(0, dtype=np.float64)
        known = deviation > 1e-6 * np.maximum(np.abs(mean), np.finfo(np.float32).tiny)
        return ObservationScales(
            jnp.asarray(mean, jnp.float32), jnp.asarray(np.where(known, deviation, 1), jnp.float32)
        )


def scaled(observation: Array, scales: ObservationScales | None) -> Array:
    """Standardize observations.

    Args:
        observation: Observations [*b, obs].
        scales: Mean and standard deviation; None: observations are unchanged.

    Returns:
        Observations minus their mean, in standard deviations [*b, obs].
    """
    if scales is None:
        return observation
    mean, deviation = (jnp.broadcast_to(part, observation.shape) for part in scales)
    return (observation - mean) / deviation


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FrameWindows:
    """All windows of `length` frames; a window may reach into the next episode, whose first frame is marked."""

    frames: Frames
    """[N, ...]"""
    length: int = field(metadata={"static": True})
    statistics: ObservationScales | None = None
    """Scales of the frames, for algorithms that standardize them."""

    @property
    def num_rows(self) -> int:
        """Number of windows."""
        return self.frames.reward.shape[0] - self.length + 1

    def take(self, rows: Int[Array, " B"]) -> Frames:
        """Windows with these indices [B], arrays [B, length, ...]; each begins afresh at its first frame."""
        places = rows[:, None] + jnp.arange(self.length)[None]
        taken = jax.tree.map(lambda leaf: jnp.asarray(leaf)[places], self.frames)
        return taken._replace(is_first=taken.is_first.at[:, 0].set(True))


@dataclass(frozen=True, eq=False)
class FrameData:
    """Frames of whole episodes in NumPy, one episode after the other. Raises `DataError` on wrong shapes."""

    task: str
    observations: np.ndarray
    """uint8 [N, height, width, channels] or float32 [N, obs]."""
    actions: Float[np.ndarray, "N act"]
    rewards: Float[np.ndarray, " N"]
    costs: Float[np.ndarray, " N"]
    is_first: Bool[np.ndarray, " N"]
    terminated: Bool[np.ndarray, " N"]
    truncated: Bool[np.ndarray, " N"]

    def __post_init__(self) -> None:
        count = len(self.observations)
        for name, array in self.arrays().items():
            if name == "observations":
                continue
            rank = 2 if name == "actions" else 1
            dtype = np.float32 if name in ("actions", "rewards", "costs") else np.bool_
            if array.ndim != rank or len(array) != count or array.dtype != dtype:
                raise DataError(
                    f"frames of {self.task}: {name}: expected {rank} axes, {count} rows of {np.dtype(dtype)}, "
                    f"found {array.dtype} {list(array.shape)}."
                )
        if not count or not self.is_first[0]:
            raise DataError(f"frames of {self.task}: is_first: expected an episode's start in row 0, found none.")

    def arrays(self) -> dict[str, np.ndarray]:
        """Every field but the task by name, in a fixed order."""
        return {name: value for name, value in vars(self).items() if name != "task"}

    def __len__(self) -> int:
        """Number of steps; each episode has one frame more."""
        return len(self.observations) - int(self.is_first.sum())

    @property
    def episode_starts(self) -> Int[np.ndarray, " E"]:
        """First frame of every episode."""
        return np.flatnonzero(self.is_first)

    @property
    def episode_ends(self) -> Int[np.ndarray, " E"]:
        """Frame after the last one of every episode."""
        return np.append(self.episode_starts[1:], len(self.observations))

    @property
    def lengths(self) -> Int[np.ndarray, " E"]:
        """Number of steps of every episode."""
        return self.episode_ends - self.episode_starts - 1

    @property
    def returns(self) -> Float[np.ndarray, " E"]:
        """Undiscounted return of every episode, float64."""
        return np.add.reduceat(self.rewards.astype(np.float64), self.episode_starts)

    @property
    def cost_returns(self) -> Float[np.ndarray, " E"]:
        """Undiscounted cost of every episode, float64."""
        return np.add.reduceat(self.costs.astype(np.float64), self.episode_starts)

    @property
    def violating_steps(self) -> Int[np.ndarray, " E"]:
        """Number of steps of every episode with a cost."""
        return np.add.reduceat((self.costs > 0).astype(np.int64), self.episode_starts)

    def fingerprint(self, *, on_progress: Callable[[int, int], None] | None = None) -> str:
        """SHA-256, in hexadecimal, of the names, shapes and bytes of all arrays: of the data, not of the file.

        `on_progress(done, total)` counts bytes.
        """
        return fingerprint_of(self.arrays(), on_progress=on_progress)

    def num_windows(self, length: int) -> int:
        """Number of windows of `length` frames. Raises `DataError` where there are fewer frames."""
        if len(self.observations) < length:
            raise DataError(
                f"frames of {self.task}: expected at least {length}, the length of a window, "
                f"found {len(self.observations)}."
            )
        return len(self.observations) - length + 1

    def windows(self, *, length: int, scales: bool = False) -> FrameWindows:
        """All windows of consecutive frames, for training.

        Args:
            length: Frames of a window.
            scales: Whether the scales of vectors are computed.

        Returns:
            The windows.

        Raises:
            DataError: There are fewer frames.
        """
        self.num_windows(length)
        arrays = (self.observations, self.actions, self.rewards, self.costs, self.is_first, self.terminated)
        # Declared with JAX arrays; NumPy ones serve as leaves until they are moved to a device.
        found = ObservationScales.of(self.observations) if scales else None
        return FrameWindows(Frames(*cast(tuple[Array, ...], arrays)), length, found)


def first_episodes(frames: FrameData, count: int) -> FrameData:
    """First episodes of frames, in memory.

    Args:
        frames: Frames.
        count: Number of episodes; all where there are fewer.

    Returns:
        Frames of these episodes.
    """
    end = int(frames.episode_ends[: max(1, count)][-1])
    return FrameData(frames.task, **{name: np.asarray(array[:end]) for name, array in frames.arrays().items()})


def join(parts: list[FrameData]) -> FrameData:
    """Episodes of several parts of one task, one after the other."""
    names = list(parts[0].arrays())
    return FrameData(parts[0].task, *(np.concatenate([vars(part)[name] for part in parts]) for name in names))


def from_episodes(
    task: str,
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    costs: np.ndarray,
    *,
    lengths: Int[np.ndarray, " n"] | None = None,
    terminated: Bool[np.ndarray, " n"] | None = None,
) -> FrameData:
    """Frames of n episodes of at most T steps.

    Args:
        task: Name of the task.
        observations: Observations [n, T + 1, ...].
        actions: Actions [n, T, act].
        rewards: Rewards by the step that earns them [n, T].
        costs: Costs by the step that causes them [n, T].
        lengths: Steps of each episode [n], behind which rows are left out; None: T.
        terminated: Whether the task ended the episode [n]; None: all were cut.

    Returns:
        Frames.
    """
    episodes, steps = rewards.shape
    lengths = np.full(episodes, steps) if lengths is None else lengths
    terminated = np.zeros(episodes, bool) if terminated is None else terminated
    before, after = ((0, 0), (1, 0)), ((0, 0), (0, 1), (0, 0))
    place = np.broadcast_to(np.arange(steps + 1), (episodes, steps + 1))
    there, last = place <= lengths[:, None], place == lengths[:, None]
    actions = np.where(last[..., None], 0.0, np.pad(actions, after))
    return FrameData(
        task,
        observations[there],
        actions[there].astype(np.float32),
        np.pad(rewards, before)[there].astype(np.float32),
        np.pad(costs, before)[there].astype(np.float32),
        (place == 0)[there],
        (last & terminated[:, None])[there],
        (last & ~terminated[:, None])[there],
    )


def frames_of(dataset: Dataset) -> FrameData:
    """Frames of the complete episodes of transitions: rewards and costs move to the frame that a step arrives at."""
    starts, lengths = dataset.episode_starts, dataset.lengths
    if not len(starts):
        raise DataError(f"dataset of {dataset.task}: expected at least one complete episode, found none.")
    frame_starts = starts + np.arange(len(starts))
    count = int(lengths.sum() + len(starts))
    leaving = np.ones(count, bool)
    leaving[frame_starts + lengths] = False  # the last frame of each episode
    arriving = np.ones(count, bool)
    arriving[frame_starts] = False
    steps = int(lengths.sum())

    def placed(values: np.ndarray, where: np.ndarray) -> np.ndarray:
        frames = np.zeros((count, *values.shape[1:]), values.dtype)
        frames[where] = values[:steps]
        return frames

    observations = placed(dataset.observations, leaving)
    observations[~leaving] = dataset.next_observations[starts + lengths - 1]
    return FrameData(
        dataset.task,
        observations,
        placed(np.clip(dataset.actions, -1.0, 1.0), leaving),
        placed(dataset.required_rewards, arriving),
        placed(dataset.costs, arriving),
        ~arriving,
        placed(dataset.terminated, arriving),
        placed(dataset.truncated, arriving),
    )


def transition_rows(data: FrameData) -> Int[np.ndarray, " steps"]:
    """Frames that a step leaves: it takes the action of frame t and receives reward and cost of frame t + 1."""
    last = np.zeros(len(data.observations), bool)
    last[data.episode_ends - 1] = True
    return np.flatnonzero(~last)
