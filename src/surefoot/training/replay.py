"""The replay of fine-tuning: the frames of the offline data, then those of new episodes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from surefoot.data.frames import FrameData, Frames
from surefoot.rollouts.stream import Stream
from surefoot.types import DataSpec


class Replay(NamedTuple):
    """Frames of the offline data, then room for new ones."""

    frames: Frames
    filled: Int[Array, ""]
    """Number of frames."""
    offline: Int[Array, ""]
    """Number of offline frames, which come first."""


def draw_windows(
    replay: Replay, key: Key[Array, ""], *, count: int, length: int, online_share: float
) -> Int[Array, " count"]:
    """First frames of random windows of the replay.

    Args:
        replay: The replay.
        key: Random key.
        count: Windows.
        length: Frames of a window.
        online_share: Share of the windows that begins among new frames, in [0, 1]; the others begin anywhere.

    Returns:
        Frame numbers, [count].
    """
    new = jnp.arange(count) < round(online_share * count)
    return jax.random.randint(key, (count,), jnp.where(new, replay.offline, 0), replay.filled - length + 1)


def append(replay: Replay, stream: Stream) -> Replay:
    """Add the episodes of a round behind the frames of a replay.

    Args:
        replay: The replay, with room for them.
        stream: Transitions of n environments, [n, T]; an episode's last frame has no action.

    Returns:
        The replay.
    """
    ends = stream.last
    begins = jnp.concatenate([jnp.ones_like(ends[:, :1]), ends[:, :-1]], 1)
    # The frame that a step leaves comes after a frame of each step, and of each episode's end, before it.
    place = replay.filled + (jnp.cumsum((1 + ends).reshape(-1)) - (1 + ends).reshape(-1)).reshape(ends.shape)
    nowhere = replay.frames.reward.shape[0]

    def arrived(values: Array) -> Array:
        """Reward or cost of the step before, which arrived at the frame."""
        return jnp.where(begins, 0.0, jnp.pad(values[:, :-1], ((0, 0), (1, 0))))

    no = jnp.zeros_like(ends)
    left = Frames(stream.observation, stream.action, arrived(stream.reward), arrived(stream.cost), begins, no)
    entered = Frames(
        stream.entered, jnp.zeros_like(stream.action), stream.reward, stream.cost, no, stream.terminated & ends
    )

    def put(old: Array, before: Array, after: Array) -> Array:
        def flat(values: Array) -> Array:
            return values.reshape(-1, *values.shape[2:]).astype(old.dtype)

        old = old.at[place.reshape(-1)].set(flat(before), mode="drop")
        return old.at[jnp.where(ends, place + 1, nowhere).reshape(-1)].set(flat(after), mode="drop")

    frames = jax.tree.map(put, replay.frames, left, entered)
    return replay._replace(frames=frames, filled=replay.filled + ends.size + ends.sum())


def make_replay(offline: FrameData | None, spec: DataSpec, room: int) -> Replay:
    """A replay of offline frames with room for new ones.

    Args:
        offline: Offline frames, or None.
        spec: Shapes of the data.
        room: Number of new frames.

    Returns:
        The replay.
    """
    if offline is None:
        kind = jnp.float32 if spec.image_shape is None else jnp.uint8

        def room_for(shape: tuple[int, ...] = (), dtype: Any = jnp.float32) -> Array:
            return jnp.zeros((room, *shape), dtype)  # a buffer of its own: the replay is donated

        empty = Frames(
            room_for(spec.observation_shape, kind), room_for((spec.action_dim,)), room_for(), room_for(),
            room_for(dtype=bool), room_for(dtype=bool),
        )  # fmt: skip
        return Replay(empty, jnp.int32(0), jnp.int32(0))
    found = offline.windows(length=1).frames
    padded = jax.tree.map(lambda leaf: np.concatenate([leaf, np.zeros((room, *leaf.shape[1:]), leaf.dtype)]), found)
    count = len(offline.observations)
    return Replay(jax.tree.map(jnp.asarray, padded), jnp.int32(count), jnp.int32(count))


def new_part(replays: list[Replay]) -> Any:
    """The replays' new frames, which a checkpoint keeps; the offline ones are in the data."""

    def of(replay: Replay) -> dict[str, Any]:
        first = int(replay.offline)
        return {"frames": jax.tree.map(lambda leaf: leaf[first:], replay.frames), "filled": replay.filled}

    return [of(replay) for replay in replays]


def with_new_part(replay: Replay, part: Any) -> Replay:
    """A replay with the new frames of a checkpoint.

    Args:
        replay: Replay of the offline data.
        part: One entry of what `new_part` returned.

    Returns:
        The replay.
    """
    count = int(replay.offline)
    frames = jax.tree.map(lambda old, new: jnp.concatenate([old[:count], new]), replay.frames, part["frames"])
    return Replay(frames, part["filled"], replay.offline)
