"""Folders of image episodes: one HDF5 file each, images compressed and read by stretches of frames.

    <folder>/card.json               what the data are and how they were made; "layout": "episodes"
    <folder>/episodes/000012.hdf5    observations [T + 1, height, width, channels] uint8, gzip in chunks of 16 frames;
                                     the other keys as in a file of frames (`data.pixels`); attributes "behaviour"
                                     and "number"

An episode's file appears whole or not at all, so that a folder that is being written is good at any moment. Every array
has a checksum, both attributes have one together; `load` verifies them all.
"""

import io
import json
import math
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surefoot.data import pixels
from surefoot.data.allowance import Allowance, check_memory
from surefoot.data.cards import Card, written_card
from surefoot.data.checks import check_frames, refuse
from surefoot.data.checksums import CHECKSUM, verified, write_array, write_keys, write_text
from surefoot.data.compressed import Chunk, CompressedImages
from surefoot.data.frames import FrameData, join
from surefoot.data.storage import check_keys, read_checksum, read_text, reading
from surefoot.data.writing import replacing
from surefoot.errors import DataError
from surefoot.files import sweep, write_json
from surefoot.json_files import read_json
from surefoot.tasks import Task

LAYOUT = "episodes"
CARD, EPISODES = "card.json", "episodes"
CHUNK_FRAMES = 16
"""Frames that are inflated together. A window of 64 frames needs at most five chunks."""
_LEVEL = 4
"""Compression level of gzip, small enough to read fast."""
_NAME = re.compile(r"([0-9]{6}|[1-9][0-9]{6,11})\.hdf5")
_BEHAVIOR, _NUMBER = "behaviour", "number"


def encode(episode: FrameData, *, behavior: str, number: int) -> bytes:
    """Contents of an episode's file.

    Args:
        episode: Frames of one episode.
        behavior: Label of its behavior.
        number: Number of the episode in its folder.

    Returns:
        Bytes of an HDF5 file.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, array in episode.arrays().items():
            chunked: dict[str, Any] = {}
            if name == "observations":
                frames = min(CHUNK_FRAMES, len(array))
                chunked = {"chunks": (frames, *array.shape[1:]), "compression": "gzip", "compression_opts": _LEVEL}
            write_array(file, pixels.KEYS[name], array.shape, array.dtype, [(0, array)], **chunked)
        write_keys(file, list(pixels.KEYS.values()))
        write_text(file, _BEHAVIOR, behavior)
        write_text(file, _NUMBER, str(number))
        write_text(file, CHECKSUM, _checksum_of(behavior, str(number)))
    return content.getvalue()


def save(
    folder: Path,
    frames: FrameData,
    task: Task,
    *,
    labels: Sequence[str],
    card: dict[str, Any],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write episodes into a new folder, its card last.

    Args:
        folder: Folder to write.
        frames: Frames of the episodes.
        task: Task of images.
        labels: Label of each episode's behavior.
        card: Data card, JSON values.
        on_progress: Called with (episodes written, episodes in all).

    Raises:
        DataError: The files cannot be written, or `load` would refuse the data; the latter before any writing.
    """
    check_frames(folder, frames, task)
    written_card(folder, CARD, task.name, card, layout=LAYOUT)  # before any episode is
    sweep(folder / EPISODES)
    spans = list(zip(frames.episode_starts.tolist(), frames.episode_ends.tolist(), strict=True))
    for number, ((start, end), label) in enumerate(zip(spans, labels, strict=True)):
        arrays = {name: np.asarray(array[start:end]) for name, array in frames.arrays().items()}
        content = encode(FrameData(task.name, **arrays), behavior=label, number=number)
        path = folder / EPISODES / f"{number:06d}.hdf5"
        with replacing(path, size=len(content), swept=False) as temporary:
            temporary.write_bytes(content)
        on_progress(number + 1, len(spans))
    write_card(folder, task, card)


def write_card(folder: Path, task: Task, card: dict[str, Any]) -> None:
    """Write the card of a folder, which marks it as finished.

    Args:
        folder: Folder of episodes.
        task: Task of images.
        card: Data card, JSON values.
    """
    write_json(folder / CARD, written_card(folder, CARD, task.name, card, layout=LAYOUT))


def is_folder_of_episodes(path: Path) -> bool:
    """Whether a path is a folder of episodes, finished or not."""
    return (path / EPISODES).is_dir()


def read_card(folder: Path) -> dict[str, Any]:
    """Card of a folder. Raises `DataError` where there is none, as while it is being collected."""
    path = folder / CARD
    card: Any = read_json(path, Card, what="the card of a finished collection", error=DataError)
    if card.get("layout") != LAYOUT:
        refuse(path, "layout", expected=f"'{LAYOUT}'", found="another")
    return card


def load(
    folder: Path,
    task: Task,
    *,
    in_memory: bool,
    on_progress: Callable[[int, int], None] | None = None,
) -> FrameData:
    """Read the episodes of a finished folder, in the order of their numbers.

    Args:
        folder: Folder of episodes.
        task: Task of images.
        in_memory: Whether images are read into memory; else `observations` are `CompressedImages`.
        on_progress: Called with (files read, files in all).

    Returns:
        Frames of the episodes.

    Raises:
        DataError: The files do not hold such data, or their cameras are not the task's.
    """
    card = read_card(folder)
    check_card(folder, card, task)
    _check_count(folder, card)
    frames = load_episodes(folder, task, in_memory=in_memory, verify=True, on_progress=on_progress)
    check_frames(folder, frames, task)
    return frames


def load_episodes(
    folder: Path,
    task: Task,
    *,
    in_memory: bool,
    verify: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> FrameData:
    """Read the episodes of a folder without its card, such as one that is being written.

    Args:
        folder: Folder of episodes.
        task: Task of images.
        in_memory: Whether images are read into memory; else `observations` are `CompressedImages`.
        verify: Whether images are read once to compare their checksums.
        on_progress: Called with (files read, files in all).

    Returns:
        Frames of the episodes.

    Raises:
        DataError: The files do not hold such data.
    """
    paths = episode_paths(folder)
    parts: list[FrameData] = []
    chunks: list[Chunk] = []
    firsts: list[int] = []
    frames = 0
    for number, path in enumerate(paths):
        part, found, written = _read(path, task)
        parts.append(part)
        chunks += [chunk for _, chunk in found]
        firsts += [frames + first for first, _ in found]
        frames += len(part.rewards)
        if verify:
            _verify(path, task, found, rows=len(part.rewards), written=written)
        if on_progress is not None:
            on_progress(number + 1, len(paths))
    if not parts:
        refuse(folder, "", expected="at least one episode", found="none")
    joined = join(parts)
    shape = (frames, *(task.image_shape or ()))
    images = CompressedImages(chunks, np.asarray(firsts), shape)
    if in_memory:
        check_memory(folder, "observations", images.nbytes)
    # Declared as an array: it is one to everything that reads rows.
    observations: Any = images[0:frames] if in_memory else images
    return FrameData(task.name, **{**joined.arrays(), "observations": observations})


def episode_paths(folder: Path) -> list[Path]:
    """Files of the episodes, in the order of their numbers. Raises `DataError` for a name that is no number."""
    paths = sorted((folder / EPISODES).glob("[0-9]*.hdf5"))
    for path in paths:
        if _NAME.fullmatch(path.name) is None:
            refuse(path, "", expected="a number as the name of an episode's file, as 000012.hdf5", found="another")
    return paths


def behaviors(folder: Path) -> list[str]:
    """Label of every episode's behavior, in the order of `load`; empty where it has none."""
    found = []
    for path in episode_paths(folder):
        with reading(path) as file:
            label = read_text(path, file, _BEHAVIOR)
        found.append("" if label is None else str(label))
    return found


def check_card(folder: Path, card: dict[str, Any], task: Task) -> None:
    """Check that a card is of the task, its cameras, image size and action repeat.

    Args:
        folder: Folder of episodes, for messages.
        card: Data card.
        task: Task of images.

    Raises:
        DataError: It is not.
    """
    if card.get("task") != task.name:
        refuse(folder / CARD, "task", expected=f"'{task.name}'", found=f"{card.get('task')!a:.80}")
    if task.vision is not None:
        expected, found = task.vision._asdict(), card.get("vision")
        for name, value in json.loads(json.dumps(expected)).items():
            if not isinstance(found, dict) or found.get(name) != value:
                other = found.get(name) if isinstance(found, dict) else None
                refuse(folder / CARD, f"vision.{name}", expected=f"{value}", found=f"{other!a:.80}")


def _check_count(folder: Path, card: dict[str, Any]) -> None:
    """Refuse a finished folder that has fewer episodes than its card counts; one that grows again has more."""
    coverage = card.get("coverage")
    counted = coverage.get("episodes") if isinstance(coverage, dict) else None
    found = len(episode_paths(folder))
    if isinstance(counted, int) and found < counted:
        there = f"{found}; put back what is missing, or correct the card where it was taken out on purpose"
        refuse(folder / EPISODES, "", expected=f"{counted} files, as the card counts", found=there)


def _verify(path: Path, task: Task, found: Sequence[tuple[int, Chunk]], *, rows: int, written: str | None) -> None:
    """Read the images of an episode once, and refuse them where their checksum is not the one that was `written`."""
    key, shape = "observations", (rows, *(task.image_shape or ()))
    images = CompressedImages([chunk for _, chunk in found], np.array([first for first, _ in found]), shape)
    parts = ((start, images[start : start + pixels.IMAGE_ROWS]) for start in range(0, rows, pixels.IMAGE_ROWS))
    for _ in verified(path, key, parts, dtype=images.dtype, shape=shape, written=written, name=key):
        pass


def _read(path: Path, task: Task) -> tuple[FrameData, list[tuple[int, Chunk]], str | None]:
    """An episode without its images, where its chunks lie by their first frame, and the images' checksum."""
    with reading(path) as file:
        check_keys(path, file)
        allowance = Allowance(path)
        arrays, node = pixels.read_numbers(path, file, task, allowance)
        allowance.take("observations", node, in_memory=False)
        if node.compression != "gzip" or node.chunks is None or node.shuffle or node.fletcher32:
            refuse(path, "observations", expected="images compressed by gzip alone", found=f"{node.compression}")
        if node.chunks[1:] != node.shape[1:]:
            refuse(path, "observations", expected="chunks of whole images", found=f"chunks of {list(node.chunks)}")
        inflated, found = math.prod(node.chunks), []
        node.id.chunk_iter(
            lambda info: found.append((info.chunk_offset[0], Chunk(path, info.byte_offset, info.size, inflated)))
        )
        _check_number(path, file)
        _check_attributes(path, file)
        written = read_checksum(path, "observations", node)
    rows = len(arrays["rewards"])
    arrays["observations"] = np.zeros((rows, *(task.image_shape or ())), np.uint8)
    check_frames(path, FrameData(task.name, **arrays), task, whole=False)
    arrays["observations"] = np.zeros((rows, 0), np.uint8)
    return FrameData(task.name, **arrays), sorted(found), written


def _check_number(path: Path, file: h5py.File) -> None:
    """Refuse the file of another episode under this one's name; older files do not say whose they are."""
    number = read_text(path, file, _NUMBER)
    if number is not None and number != str(int(path.stem)):
        refuse(path, _NUMBER, expected=f"{int(path.stem)} as in the file's name", found=f"{str(number)[:40]!a}")


def _check_attributes(path: Path, file: h5py.File) -> None:
    """Refuse attributes that are not those that were written; older files have no checksum of theirs."""
    written = read_text(path, file, CHECKSUM)
    found = _checksum_of(*(str(read_text(path, file, name)) for name in (_BEHAVIOR, _NUMBER)))
    if written is not None and written != found:
        refuse(path, f"{_BEHAVIOR} and {_NUMBER}", expected=f"those that were written, {str(written)[:40]!a}",
               found=f"{found}: the file was damaged or edited")  # fmt: skip


def _checksum_of(behavior: str, number: str) -> str:
    return f"crc32:{zlib.crc32(json.dumps([behavior, number]).encode()):08x}"
