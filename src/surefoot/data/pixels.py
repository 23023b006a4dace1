"""Files of frames: HDF5, one array a key, images as uint8 in one piece, so that they can be mapped into memory.

Keys: observations [N, height, width, channels]; actions [N, act]; rewards, costs, is_first, terminals, timeouts [N].
`data.frames` defines a frame. The card says "layout": "frames".
"""

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surefoot.data.allowance import Allowance
from surefoot.data.cards import written_card
from surefoot.data.checks import check_frames, float32_values, refuse
from surefoot.data.checksums import write_array, write_keys
from surefoot.data.frames import FrameData
from surefoot.data.hdf5 import CARD, card_of, check_card_task
from surefoot.data.mapping import blocks, map_dataset
from surefoot.data.storage import (
    check_keys,
    check_storage,
    find,
    names,
    read_array,
    reading,
    refuse_missing,
    verified_blocks,
)
from surefoot.data.writing import new_hdf5, replacing
from surefoot.tasks import TASKS, Task

LAYOUT = "frames"
_SAME = ("observations", "actions", "rewards", "costs", "is_first")
KEYS = {name: name for name in _SAME} | {"terminated": "terminals", "truncated": "timeouts"}
"""Field of `FrameData` -> key of the file."""
IMAGE_ROWS = 2048
"""Images processed at a time."""
_FLAGS = ("is_first", "terminated", "truncated")


def save(path: str | os.PathLike[str], frames: FrameData, *, card: dict[str, Any] | None = None) -> None:
    """Write frames with their card to a file, which appears whole or not at all.

    Args:
        path: HDF5 file to write.
        frames: Frames of whole episodes.
        card: Data card, JSON values; None: the task alone.

    Raises:
        DataError: The file cannot be written, or `load` would refuse the frames.
    """
    path = Path(path)
    check_frames(path, frames, TASKS.get(frames.task))
    text = json.dumps(written_card(path, CARD, frames.task, card, layout=LAYOUT))
    size = sum(array.nbytes for array in frames.arrays().values())
    with replacing(path, size=size) as temporary, new_hdf5(temporary) as file:
        for name, array in frames.arrays().items():
            parts = ((start, block) for start, (block,) in blocks(array, rows=IMAGE_ROWS))
            write_array(file, KEYS[name], array.shape, array.dtype, parts)
        write_keys(file, list(KEYS.values()))
        file.attrs[CARD] = text


def load(path: str | os.PathLike[str], task: Task, *, mapped: bool = False) -> FrameData:
    """Read the frames of a task.

    Args:
        path: HDF5 file.
        task: Task of images.
        mapped: Whether images stay in the file and are read where they are used.

    Returns:
        Frames of whole episodes.

    Raises:
        DataError: The file does not hold such data; the sentence names file, key, expected and found.
    """
    path = Path(path)
    with reading(path) as file:
        check_card_task(path, card_of(path, file), task)
        check_keys(path, file)
        allowance = Allowance(path)
        arrays, node = read_numbers(path, file, task, allowance)
        images = map_dataset(path, node) if mapped else None
        allowance.take(KEYS["observations"], node, in_memory=images is None, item_bytes=1)
        if images is not None:
            parts = ((start, block) for start, (block,) in blocks(images, rows=IMAGE_ROWS))
            for _ in verified_blocks(path, KEYS["observations"], node, parts):
                pass
        arrays["observations"] = _values(path, "observations", node) if images is None else images
    frames = FrameData(task.name, **arrays)
    check_frames(path, frames, task)
    return frames


def read_numbers(
    path: Path, file: h5py.File, task: Task, allowance: Allowance
) -> tuple[dict[str, np.ndarray], h5py.Dataset]:
    """Read every array but the images.

    Args:
        path: File, for messages.
        file: Open file.
        task: Task of images.
        allowance: Memory that the file's arrays may take.

    Returns:
        (arrays by field of `FrameData`, images in the file, shape and storage checked).

    Raises:
        DataError: The file does not hold such data.
    """
    nodes = {name: _node(path, file, key) for name, key in KEYS.items()}
    _check_shapes(path, nodes, task)
    for name, node in nodes.items():
        check_storage(path, KEYS[name], node)
        if name != "observations":
            allowance.take(KEYS[name], node)
    arrays = {name: _values(path, name, node) for name, node in nodes.items() if name != "observations"}
    if not arrays["is_first"][0]:
        refuse(path, "is_first", expected="an episode's start in row 0", found="none")
    return arrays, nodes["observations"]


def _node(path: Path, file: h5py.File, key: str) -> h5py.Dataset:
    node = find(path, file, key)
    if not isinstance(node, h5py.Dataset):
        refuse_missing(path, key, names(path, file), expected="an array of that name, as in a file of frames")
    return node


def _check_shapes(path: Path, nodes: dict[str, h5py.Dataset], task: Task) -> None:
    rows = nodes["observations"].shape[0] if nodes["observations"].shape else 0
    if rows < 2:
        refuse(path, "observations", expected="at least two frames", found=f"{rows}")
    wanted = {"observations": (rows, *(task.image_shape or ())), "actions": (rows, task.action_dim)}
    for name, node in nodes.items():
        shape = wanted.get(name, (rows,))
        if node.shape != shape:
            found = f"shape {list(node.shape or ())}"
            refuse(path, KEYS[name], expected=f"shape {list(shape)} for task {task.name}", found=found)
        kinds = "b" if name in _FLAGS else "u" if name == "observations" else "f"
        if node.dtype.kind != kinds or (kinds == "u" and node.dtype.itemsize != 1):
            expected = {"b": "flags", "u": "uint8", "f": "real numbers"}[kinds]
            refuse(path, KEYS[name], expected=expected, found=f"values of type {str(node.dtype)!a:.80}")


def _values(path: Path, name: str, node: h5py.Dataset) -> np.ndarray:
    def kept(path: Path, key: str, values: np.ndarray, *, first_row: int) -> np.ndarray:
        return values if values.dtype.kind in "bu" else float32_values(path, key, values, first_row=first_row)

    return read_array(path, KEYS[name], node, kept, columns=node.shape[1] if node.ndim > 1 else None)
