"""Reading and writing DSRL's HDF5 format: flat over episodes, one HDF5 dataset a key, nothing promised, all checked.

Keys: observations, next_observations [N, obs]; actions [N, act]; rewards, costs, terminals, timeouts [N] or [N, 1];
and, ours and optional, constraints [N] or [N, 1]: h of the state that the step enters. Other keys are ignored.
"""

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np

from surefoot.data.checks import check_dataset, flag_values, float32_values, refuse
from surefoot.data.dataset import Dataset
from surefoot.tasks import Task

REQUIRED_KEYS = ("observations", "next_observations", "actions", "rewards", "costs", "terminals", "timeouts")
CONSTRAINTS_KEY = "constraints"
CARD = "card"
"""The attribute that holds the data card, one string of JSON."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""The first bytes of an HDF5 file."""
NUMBER_KINDS = "biuf"
"""NumPy's kinds of dtype that hold real numbers."""


def load(path: str | os.PathLike[str], task: Task) -> Dataset:
    """The data of `task` in the HDF5 file at `path`, float32.

    Raises `DataError`, one sentence that names file, key, expected and found, for anything that is not such data.
    """
    path = Path(path)
    with _reading(path) as file:
        _check_card_task(path, _card_of(path, file), task)
        nodes = _find(path, file, task)
        arrays = {key: _read(path, key, node) for key, node in nodes.items()}
    dataset = Dataset(
        task=task.name,
        observations=arrays["observations"],
        actions=arrays["actions"],
        rewards=arrays["rewards"],
        costs=arrays["costs"],
        next_observations=arrays["next_observations"],
        terminated=flag_values(path, "terminals", arrays["terminals"]),
        truncated=flag_values(path, "timeouts", arrays["timeouts"]),
        constraints=arrays.get(CONSTRAINTS_KEY),
    )
    check_dataset(path, dataset, task)
    return dataset


def save(path: str | os.PathLike[str], dataset: Dataset, *, card: dict[str, Any] | None = None) -> None:
    """Write `dataset` to `path`, with its card (recipe, versions, seeds; JSON values), to which the task is added.

    The file appears whole or not at all: it is written aside in the same folder (made if missing), then renamed.
    Raises `DataError` where it cannot be written or the card names another task.
    """
    path = Path(path)
    full_card = {"task": dataset.task, **(card or {})}
    if full_card["task"] != dataset.task:
        refuse(path, CARD, expected=f"task {dataset.task}", found=f"task {full_card['task']!a}")
    card_text = json.dumps(full_card)
    arrays = dict(dataset.arrays())
    arrays["terminals"], arrays["timeouts"] = arrays.pop("terminated"), arrays.pop("truncated")
    with _replacing(path) as temporary, h5py.File(temporary, "x") as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array)
        file.attrs[CARD] = card_text


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The data card of the file at `path`; empty where it has none, as in DSRL's own files. Raises `DataError`."""
    path = Path(path)
    with _reading(path) as file:
        return _card_of(path, file)


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    _check_is_hdf5(path)
    with _blaming(path, "", "a readable HDF5 file"), h5py.File(path, "r") as file:
        yield file


@contextmanager
def _blaming(path: Path, key: str, expected: str) -> Iterator[None]:
    """Turn what h5py raises for a damaged file into a `DataError`."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        detail = " ".join(str(error).split()).strip("'\". ").replace(". ", "; ")
        refuse(path, key, expected=expected, found=f"a fault ({detail or type(error).__name__})", cause=error)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A name to write to that takes `path`'s place once its bytes are on the disk, and is removed on any error."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with _blaming(path, "", "a place that can be written to"):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _flush_to_disk(temporary)
            os.replace(temporary, path)
        with suppress(OSError):  # some file systems cannot flush a folder; the file is whole all the same
            _flush_to_disk(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_is_hdf5(path: Path) -> None:
    expected = "an HDF5 file"
    if not path.exists():
        refuse(path, "", expected=expected, found="nothing at that place")
    if path.is_dir():
        refuse(path, "", expected=expected, found="a folder")
    if not path.is_file():  # a pipe would keep us waiting for ever
        refuse(path, "", expected=expected, found="neither a file nor a folder")
    with _blaming(path, "", "a readable file"), path.open("rb") as file:
        head = file.read(256)
    if not head:
        refuse(path, "", expected=expected, found="an empty file (0 bytes)")
    if not head.startswith(SIGNATURE[: len(head)]):
        # HDF5 allows a block of the user's own in front; h5py knows where to look behind it.
        if h5py.is_hdf5(path):
            return
        is_text = head.isascii() and head.decode("ascii").replace("\n", " ").replace("\t", " ").isprintable()
        refuse(path, "", expected=expected, found="text" if is_text else "another format")


def _card_of(path: Path, file: h5py.File) -> dict[str, Any]:
    expected = "one string that holds a JSON object"
    text = file.attrs.get(CARD)
    if text is None:
        return {}
    if not isinstance(text, str | bytes):
        refuse(path, CARD, expected=expected, found=f"{type(text).__name__}")
    try:
        card = json.loads(text)
    except (ValueError, RecursionError) as error:
        refuse(path, CARD, expected=expected, found="a string that is not JSON", cause=error)
    if not isinstance(card, dict):
        refuse(path, CARD, expected=expected, found=f"JSON of a {type(card).__name__}")
    return card


def _check_card_task(path: Path, card: dict[str, Any], task: Task) -> None:
    name = card.get("task", task.name)
    if name != task.name:
        refuse(path, CARD, expected=f"data of task {task.name}", found=f"data of task {name!a:.80}")


def _find(path: Path, file: h5py.File, task: Task) -> dict[str, h5py.Dataset]:
    present = list(file)
    nodes = {}
    for key in (*REQUIRED_KEYS, CONSTRAINTS_KEY):
        if key in present:
            node = nodes[key] = file.get(key)
            if not isinstance(node, h5py.Dataset):
                found = "a broken link" if node is None else f"a {type(node).__name__.lower()}"
                refuse(path, key, expected="an array", found=found)
        elif key in REQUIRED_KEYS:
            _refuse_missing(path, key, present)
    _check_shapes(path, nodes, task)
    if task.has_constraint and CONSTRAINTS_KEY not in present:  # last: another task's data are better named as such
        _refuse_missing(path, CONSTRAINTS_KEY, present)
    return nodes


def _refuse_missing(path: Path, key: str, present: list[str]) -> NoReturn:
    found = f"only {', '.join(ascii(name) for name in present[:12])}" if present else "no key at all"
    refuse(path, key, expected="a key of that name", found=found)


def _check_shapes(path: Path, nodes: dict[str, h5py.Dataset], task: Task) -> None:
    widths = {
        "observations": task.observation_dim,
        "next_observations": task.observation_dim,
        "actions": task.action_dim,
    }
    for key, node in nodes.items():
        shape, dtype = node.shape, node.dtype
        found = "no values" if shape is None else f"shape {list(shape)}"
        if key in widths and (shape is None or len(shape) != 2 or shape[1] != widths[key]):
            refuse(path, key, expected=f"shape [N, {widths[key]}] for task {task.name}", found=found)
        if key not in widths and (shape is None or len(shape) not in (1, 2) or shape[1:] not in ((), (1,))):
            refuse(path, key, expected="shape [N] or [N, 1]", found=found)
        if dtype.kind not in NUMBER_KINDS:
            kind = "strings" if h5py.check_string_dtype(dtype) else f"values of type {str(dtype)!a:.80}"
            refuse(path, key, expected="real numbers", found=kind)
    # The number of rows that most keys have is taken as right, so that the odd one is named.
    rows, _ = Counter(node.shape[0] for node in nodes.values()).most_common(1)[0]
    for key, node in nodes.items():
        if node.shape[0] != rows:
            refuse(path, key, expected=f"{rows} rows as in other keys", found=f"{node.shape[0]}")
    if rows == 0:
        refuse(path, "observations", expected="at least one row", found="0 rows")


def _read(path: Path, key: str, node: h5py.Dataset) -> np.ndarray:
    with _blaming(path, key, "a readable array"):
        values = node[()]
    if key not in ("observations", "next_observations", "actions"):
        values = values.reshape(-1)
    return float32_values(path, key, values)
