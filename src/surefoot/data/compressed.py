"""Images that stay compressed in their files, read by stretches of frames.

HDF5 reads one thing at a time. So it is asked for the places of the chunks alone, and threads read and inflate them
side by side.
"""

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from surefoot.data.checks import refuse

THREADS = max(1, min(8, os.cpu_count() or 1))
"""Threads that inflate."""


class Chunk(NamedTuple):
    """Place of some compressed frames of an episode."""

    path: Path
    offset: int
    size: int
    """Bytes."""
    inflated: int
    """Bytes of the images."""


class CompressedImages:
    """Images that stay compressed in their files, with the length, the shape and slices of rows of a NumPy array.

    Reading raises `DataError` where a file is damaged.
    """

    def __init__(self, chunks: Sequence[Chunk], firsts: Int[np.ndarray, " chunks"], shape: tuple[int, ...]) -> None:
        """`firsts`: the first frame of each chunk; `shape`: frames, height, width and channels of all."""
        self.shape, self.dtype = shape, np.dtype(np.uint8)
        self.ndim = len(shape)
        self._chunks = list(chunks)
        self._bounds = np.append(firsts, shape[0])

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of the images, not of the files."""
        return int(np.prod(self.shape))

    def __getitem__(self, rows: slice) -> UInt8[np.ndarray, "n height width channels"]:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError("images are read in order: expected a slice of step 1")
        return self.runs(np.array([start]), max(stop - start, 0))[0]

    def runs(self, starts: Int[np.ndarray, " n"], length: int) -> UInt8[np.ndarray, "n length height width channels"]:
        """`length` frames from each of these on; what several need is inflated once."""
        found = np.empty((len(starts), length, *self.shape[1:]), np.uint8)
        wanted: dict[int, list[int]] = {}
        for place, start in enumerate(starts.tolist()):
            first = int(np.searchsorted(self._bounds, start, side="right")) - 1
            last = int(np.searchsorted(self._bounds, start + length, side="left"))
            for number in range(first, last if length else first):
                wanted.setdefault(number, []).append(place)

        def fill(number: int) -> None:
            low, high = self._bounds[number : number + 2].tolist()
            frames = self._inflate(number, high - low)
            for place in wanted[number]:
                start = int(starts[place])
                begin, end = max(low, start), min(high, start + length)
                found[place, begin - start : end - start] = frames[begin - low : end - low]

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(fill, wanted))
        return found

    def _inflate(self, number: int, frames: int) -> UInt8[np.ndarray, "n height width channels"]:
        chunk = self._chunks[number]
        try:
            with chunk.path.open("rb") as file:
                inflater = zlib.decompressobj()
                file.seek(chunk.offset)
                content = inflater.decompress(file.read(chunk.size), chunk.inflated + 1)
        except (OSError, zlib.error) as error:
            refuse(chunk.path, "observations", expected="compressed images", found="a damaged file", cause=error)
        if len(content) != chunk.inflated or not inflater.eof:
            found = "a damaged or shortened file"
            refuse(chunk.path, "observations", expected=f"compressed images of {chunk.inflated:,} bytes", found=found)
        flat = np.frombuffer(content, np.uint8).reshape(-1, *self.shape[1:])
        return flat[:frames]  # the last chunk of an episode is filled up
