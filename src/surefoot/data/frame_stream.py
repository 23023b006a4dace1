"""Windows of frames that stay in their files, compressed or mapped, and are read when they are drawn."""

import dataclasses

import numpy as np
from jaxtyping import Int

from surefoot.data.compressed import CompressedImages
from surefoot.data.frames import FrameData, Frames
from surefoot.data.mapping import is_mapped, read_windows


def stays_in_files(frames: FrameData) -> bool:
    """Whether the images of `frames` are read only as they are used."""
    return isinstance(frames.observations, CompressedImages) or is_mapped(frames.observations)


def in_memory(frames: FrameData) -> FrameData:
    """Frames with the images in memory."""
    images = frames.observations
    if isinstance(images, CompressedImages):
        return dataclasses.replace(frames, observations=images[0 : len(images)])
    return frames


class FrameStream:
    """All windows of `length` frames; numbers are in memory, images are read as they are drawn."""

    def __init__(self, frames: FrameData, *, length: int) -> None:
        """Raises `DataError` where there are fewer frames than a window has."""
        self._frames, self._length = frames, length
        self.num_rows = frames.num_windows(length)
        """Windows."""

    statistics = None

    def take(self, rows: Int[np.ndarray, "*B"]) -> Frames:
        """Windows with these indices [*B], arrays [*B, length, ...], equal to those of `FrameWindows`."""
        flat = rows.reshape(-1).astype(np.int64)
        shape = (*rows.shape, self._length)
        places = flat[:, None] + np.arange(self._length)
        images = self._frames.observations
        if isinstance(images, CompressedImages):
            seen = images.runs(flat, self._length)
        else:
            seen = read_windows(images, flat, self._length)
        is_first = self._frames.is_first[places]
        is_first[:, 0] = True

        def shaped(values: np.ndarray) -> np.ndarray:
            return values.reshape(*shape, *values.shape[2:])

        numbers = (self._frames.actions, self._frames.rewards, self._frames.costs)
        # Declared with JAX arrays; NumPy ones serve as leaves until they are moved to a device.
        leaves = (seen, *(values[places] for values in numbers), is_first, self._frames.terminated[places])
        return Frames(*map(shaped, leaves))  # pyright: ignore[reportArgumentType]
