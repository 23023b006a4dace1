"""Chunks of steps as the public code of FOSP and DreamerV3 keeps them: NPZ files, linked one to the next.

{time}-{uuid}-{uuid of the successor}-{length}.npz holds arrays [length, ...]: image, image2 (a second camera), uint8;
action, reward, cost, is_first, is_last, is_terminal. Chunks that follow each other are one stream of frames, and an
episode may lie across several. Rewards and costs are those of arriving, as in our frames. Other arrays are ignored.

That code writes an episode's truncation as terminal: where a task never terminates, say so on reading. Chunks that we
write hold log_truncated besides, with which they are read back as they were; that code passes over names in log_.
"""

import re
import uuid
from pathlib import Path

import numpy as np

from surefoot.data.checks import check_frames, flag_values, float32_values, refuse
from surefoot.data.frames import FrameData
from surefoot.data.npz_files import read_npz
from surefoot.data.storage import NUMBER_KINDS
from surefoot.data.writing import replacing
from surefoot.tasks import TASKS, Task

_COPIES = 3
"""Copies of the chunks in memory while they are joined."""
CHUNK = 1024
"""Frames of a chunk that we write."""
NO_SUCCESSOR = "0" * 22
_NAME = re.compile(r"([0-9A-Za-z]+)-([0-9A-Za-z]+)-([0-9A-Za-z]+)-(\d{1,12})\.npz")
_TRUNCATED = "log_truncated"
_FLAGS = ("is_first", "is_terminal", "is_last", _TRUNCATED)
_KEYS = ("image", "action", "reward", "cost", "is_first", "is_terminal", "is_last")


def read_chunks(folder: Path, task: Task, *, terminal_is_truncated: bool = True) -> FrameData:
    """Read the frames of all chunks in a folder, stream after stream, in the order of their names.

    Frames before a stream's first episode are left out. Two cameras are stacked as six channels.

    Args:
        folder: Folder of chunks.
        task: Task of images.
        terminal_is_truncated: Whether terminals in chunks of other programs are truncations.

    Returns:
        Frames of the episodes.

    Raises:
        DataError: The files do not hold such data; the sentence names file, key, expected and found.
    """
    if not folder.is_dir():
        refuse(folder, "", expected="a folder of chunks", found="none")
    streams, held = [], 0
    for names in _streams(folder):
        streams.append([])
        for name in names:
            chunk = _arrays(folder / name, task, held=_COPIES * held)
            if _TRUNCATED in chunk:
                _check_followed(folder, name, names)
            streams[-1].append(_with_ends(chunk, terminal_is_truncated=terminal_is_truncated))
            held += sum(values.nbytes for values in streams[-1][-1].values())
    parts = []
    for stream in streams:
        whole = {key: np.concatenate([chunk[key] for chunk in stream]) for key in stream[0]}
        first = int(whole["is_first"].argmax()) if whole["is_first"].any() else len(whole["is_first"])
        # A stream may have been cut right after a reset: a frame alone is no step.
        after = len(whole["is_first"]) - int(whole["is_first"][-1:].any())
        parts.append({key: values[first:after] for key, values in whole.items()})
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    if not len(joined["is_first"]):
        refuse(folder, "is_first", expected="at least one episode's start", found="none")
    frames = FrameData(
        task.name,
        joined["image"],
        joined["action"],
        # By our convention the first frame of an episode brings nothing, and the last has no action.
        np.where(joined["is_first"], 0.0, joined["reward"]).astype(np.float32),
        np.where(joined["is_first"], 0.0, joined["cost"]).astype(np.float32),
        joined["is_first"],
        joined["is_terminal"],
        joined[_TRUNCATED],
    )
    check_frames(folder, frames, task)
    return frames


def write_chunks(folder: Path, frames: FrameData, *, length: int = CHUNK) -> list[Path]:
    """Write frames of images as chunks of one stream, each of which appears whole or not at all.

    Six channels become two cameras.

    Args:
        folder: Folder to write to.
        frames: Frames of the episodes.
        length: Frames of a chunk.

    Returns:
        The files, in order.

    Raises:
        DataError: A file cannot be written, or `read_chunks` would refuse the frames; the latter before any writing.
    """
    check_frames(folder, frames, TASKS.get(frames.task))
    starts = range(0, len(frames.observations), length)
    names = [uuid.uuid5(uuid.NAMESPACE_OID, f"{frames.fingerprint()} {start}").hex[:22] for start in starts]
    ends = frames.terminated | frames.truncated
    paths = []
    for place, (start, name) in enumerate(zip(starts, names, strict=True)):
        part = slice(start, start + length)
        images = np.asarray(frames.observations[part])
        arrays = {
            "image": images[..., :3],
            "action": frames.actions[part],
            "reward": frames.rewards[part],
            "cost": frames.costs[part],
            "is_first": frames.is_first[part],
            "is_last": ends[part],
            "is_terminal": frames.terminated[part],
            _TRUNCATED: frames.truncated[part],
        }
        if images.shape[-1] == 6:
            arrays["image2"] = images[..., 3:]
        successor = names[place + 1] if place + 1 < len(names) else NO_SUCCESSOR
        path = folder / f"{place:012d}-{name}-{successor}-{len(images)}.npz"
        with replacing(path, size=images.nbytes) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        paths.append(path)
    return paths


def _streams(folder: Path) -> list[list[str]]:
    """Names of the chunks by stream, each stream in its order."""
    found = {}
    for path in sorted(folder.glob("[!.]*.npz")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            refuse(path, "", expected="a name of the form time-uuid-successor-length.npz", found=path.name)
        if match[2] in found:
            refuse(path, "", expected="a uuid of its own", found=f"that of {found[match[2]][0]}")
        found[match[2]] = (path.name, match[3])
    if not found:
        refuse(folder, "", expected="chunks, *.npz", found="none")
    followers: dict[str, str] = {}
    for name, successor in found.values():
        if successor in found and successor in followers:
            other = f"{found[successor][0]}, which {followers[successor]} names, too"
            refuse(folder / name, "", expected="a successor that no other chunk names", found=other)
        followers[successor] = name
    streams, seen = [], set()
    # Those that nobody leads to come first; what then is left runs in a circle.
    for head in [*(name for name in found if name not in followers), *found]:
        stream, name = [], head
        while name in found and name not in seen:
            seen.add(name)
            stream.append(found[name][0])
            name = found[name][1]
        if stream:
            streams.append(stream)
    return streams


def _check_followed(folder: Path, name: str, stream: list[str]) -> None:
    """Refuse a chunk of ours whose successor is not there: steps would be lost, and an episode cut. Other programs name
    a successor before they write it. Raises `DataError`."""
    successor = name.split("-")[2]
    if successor != NO_SUCCESSOR and not any(other.split("-")[1] == successor for other in stream):
        refuse(folder / name, "", expected=f"the chunk that follows it, {successor}", found="none of that name")


def _with_ends(chunk: dict[str, np.ndarray], *, terminal_is_truncated: bool) -> dict[str, np.ndarray]:
    """The chunk with terminations in is_terminal and truncations in log_truncated, where another program wrote it."""
    if _TRUNCATED in chunk:
        return chunk
    terminal, last = chunk["is_terminal"], chunk["is_last"]
    if terminal_is_truncated:
        return {**chunk, "is_terminal": np.zeros_like(terminal), _TRUNCATED: last | terminal}
    return {**chunk, _TRUNCATED: last & ~terminal}


def _arrays(path: Path, task: Task, *, held: int) -> dict[str, np.ndarray]:
    """A chunk's arrays, checked; both cameras in `image`. `held`: bytes that other chunks take."""
    arrays = read_npz(path, only=(*_KEYS, "image2", _TRUNCATED), held=held)
    for key in _KEYS:
        if key not in arrays:
            refuse(path, key, expected="an array of that name", found="none")
    rows = int(path.stem.rsplit("-", 1)[1])
    if arrays["is_first"].shape != (rows,):
        shape = list(arrays["is_first"].shape)
        refuse(path, "is_first", expected=f"shape [{rows}] as in the file's name", found=f"shape {shape}")
    if "image2" in arrays:
        shapes = [arrays[key].shape for key in ("image", "image2")]
        if shapes[0] != shapes[1] or len(shapes[0]) != 4:
            refuse(path, "image2", expected=f"shape {list(shapes[0])} as in image", found=f"shape {list(shapes[1])}")
        arrays["image"] = np.concatenate([arrays["image"], arrays.pop("image2")], -1)
    wanted = {"image": (rows, *(task.image_shape or ())), "action": (rows, task.action_dim)}
    for key, values in arrays.items():
        shape = wanted.get(key, (rows,))
        if values.shape != shape:
            refuse(path, key, expected=f"shape {list(shape)} for task {task.name}", found=f"shape {list(values.shape)}")
    if arrays["image"].dtype != np.uint8:
        refuse(path, "image", expected="uint8", found=str(arrays["image"].dtype))
    found = {"image": arrays["image"]}
    for key in (*_KEYS[1:], *({_TRUNCATED} & arrays.keys())):
        if arrays[key].dtype.kind not in NUMBER_KINDS:
            refuse(path, key, expected="real numbers", found=f"values of type {str(arrays[key].dtype)!a:.80}")
        found[key] = (flag_values if key in _FLAGS else float32_values)(path, key, arrays[key])
    if _TRUNCATED in found and (wrong := found["is_last"] != (found["is_terminal"] | found[_TRUNCATED])).any():
        row = int(wrong.argmax())
        expected = "an end where is_terminal or log_truncated says one, and nowhere else"
        refuse(path, "is_last", expected=expected, found=f"{bool(found['is_last'][row])} in row {row}")
    return found
