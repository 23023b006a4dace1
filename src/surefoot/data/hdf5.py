"""Reading and writing of DSRL's HDF5 format: flat over episodes, one HDF5 dataset a key, everything checked.

Keys: observations, next_observations [N, obs]; actions [N, act]; rewards, costs, terminals, timeouts [N] or [N, 1].
Surefoot adds constraints [N] or [N, 1], h of the state that the step enters. Rewards may be missing, as imitation needs
none. Other keys are ignored.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surefoot.data.allowance import Allowance
from surefoot.data.cards import Card, written_card
from surefoot.data.checks import (
    NEAR_REWARDS,
    check_dataset,
    check_episodes,
    check_finite,
    check_reference,
    check_shape,
    flag_values,
    float32_values,
    refuse,
)
from surefoot.data.checksums import write_array, write_keys
from surefoot.data.dataset import Dataset
from surefoot.data.mapping import Meter, blocks, is_mapped, map_dataset, release
from surefoot.data.storage import (
    check_array,
    check_keys,
    check_numbers,
    check_storage,
    find,
    names,
    read_array,
    read_text,
    reading,
    refuse_missing,
    verified_blocks,
)
from surefoot.data.writing import new_hdf5, replacing
from surefoot.errors import DataError
from surefoot.json_files import parse_json
from surefoot.tasks import TASKS, Task
from surefoot.text import shell_word

REQUIRED_KEYS = ("observations", "next_observations", "actions", "costs", "terminals", "timeouts")
REWARDS_KEY = "rewards"
CONSTRAINTS_KEY = "constraints"
CARD = "card"
"""Attribute that holds the data card, one string of JSON."""
_KEYS = (*REQUIRED_KEYS[:3], REWARDS_KEY, *REQUIRED_KEYS[3:], CONSTRAINTS_KEY)
"""Keys that are read, in the order in which they are checked."""
WIDE_KEYS = ("observations", "next_observations", "actions")
"""Keys with columns; the others hold one number a row."""
FLAG_KEYS = ("terminals", "timeouts")
MAPPED_ABOVE = 2 * 2**30
"""Bytes above which arrays stay in their file where they can."""


def load(
    path: str | os.PathLike[str],
    task: Task,
    *,
    mapped: bool | None = None,
    checked: bool = True,
    named: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Read a task's data from an HDF5 file in DSRL's format.

    Args:
        path: HDF5 file.
        task: Task of the data.
        mapped: Whether arrays stay in the file; None: where they are large and lie as they would in memory.
        checked: Whether the values of mapped arrays are checked.
        named: File that error messages name; None: `path`.
        on_progress: Called with (bytes of mapped arrays checked, bytes in all).

    Returns:
        Transitions, float32 arrays [N, ...], actions in [-1, 1].

    Raises:
        DataError: The file does not hold such data; the sentence names file, key, expected and found.
    """
    path = Path(path)
    named = path if named is None else named
    with reading(path) as file:
        card = card_of(named, file)
        check_card_task(named, card, task)
        if card.get("layout") == "frames":
            refuse(
                named, CARD, expected="transitions of vectors", found="frames of images, as surefoot train takes them"
            )
        nodes, maps = _find(named, file, task), {}
        if mapped is not False:
            maps = _maps(path, nodes, named=named, asked=bool(mapped))
        _allow(named, nodes, in_memory=not maps)
        meter = None if on_progress is None else Meter(_bytes_to_check(nodes), on_progress)
        arrays = {key: _read(named, key, nodes[key]) for key in FLAG_KEYS}
        # These are small, and tell data from a file of zeros before the others are read.
        check_episodes(named, arrays["terminals"] | arrays["timeouts"], task)
        for key, node in nodes.items():
            if key in FLAG_KEYS:
                continue
            if key not in maps:
                arrays[key] = _read(named, key, node)
                continue
            if checked:
                _check_map(named, key, node, maps[key], meter)
            arrays[key] = maps[key] if key in WIDE_KEYS else maps[key].reshape(-1)
    fields = {"terminals": "terminated", "timeouts": "truncated"}
    dataset = Dataset(task.name, **{"rewards": None, **{fields.get(key, key): arrays[key] for key in arrays}})
    if is_mapped(dataset.observations) and not checked:
        return dataset
    check_dataset(named, dataset, task, meter=meter if is_mapped(dataset.observations) else None)
    if not card:
        check_reference(named, dataset, task)
    return dataset


def save(path: str | os.PathLike[str], dataset: Dataset, *, card: dict[str, Any] | None = None) -> None:
    """Write a dataset with its card to an HDF5 file, which appears whole or not at all.

    Args:
        path: File to write; its folder is made if missing.
        dataset: Transitions.
        card: Recipe, versions and seeds as JSON values, to which the task is added; None: the task alone.

    Raises:
        DataError: The file cannot be written, the card names another task, or `load` would refuse the data.
    """
    path = Path(path)
    check_dataset(path, dataset, TASKS.get(dataset.task), finite=True)
    card_text = json.dumps(written_card(path, CARD, dataset.task, card))
    arrays = dict(dataset.arrays())
    arrays["terminals"], arrays["timeouts"] = arrays.pop("terminated"), arrays.pop("truncated")
    size = sum(array.nbytes for array in arrays.values())
    with replacing(path, size=size) as temporary, new_hdf5(temporary) as file:
        for key, array in arrays.items():
            parts = ((start, block) for start, (block,) in blocks(array))
            write_array(file, key, array.shape, array.dtype, parts)
        write_keys(file, list(arrays))
        file.attrs[CARD] = card_text


def rewrite(
    source: str | os.PathLike[str], target: str | os.PathLike[str], task: Task, *, card: dict[str, Any] | None = None
) -> None:
    """Copy a data file block by block to the format that `save` writes, so that it can be mapped.

    For files larger than the memory that are compressed or of another dtype. The target appears once its data are
    checked.

    Args:
        source: HDF5 file in DSRL's format.
        target: File to write.
        task: Task of the data.
        card: New data card; None: that of the source.

    Raises:
        DataError: The source does not hold data of the task, or the target cannot be written.
    """
    source, target = Path(source), Path(target)
    with reading(source) as file:
        found = card_of(source, file)
        check_card_task(source, found, task)
        nodes = _find(source, file, task)
        _allow(source, nodes, in_memory=False)
        card_text = json.dumps(written_card(target, CARD, task.name, found if card is None else card))
        size = sum(math.prod(node.shape) * (1 if key in FLAG_KEYS else 4) for key, node in nodes.items())
        with replacing(target, size=size) as temporary:
            with new_hdf5(temporary) as out:
                for key, node in nodes.items():
                    _copy_blocks(source, key, node, out)
                write_keys(out, list(nodes))
                out.attrs[CARD] = card_text
            dataset = load(temporary, task, named=source, mapped=True)
            if not found:
                check_reference(source, dataset, task)
            release(*(array for _, array in dataset.arrays()))


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Data card of a file; empty where it has none, as in DSRL's own files. Raises `DataError`."""
    path = Path(path)
    with reading(path) as file:
        return card_of(path, file)


def _bytes_to_check(nodes: dict[str, h5py.Dataset]) -> int:
    """Bytes that the checks of mapped arrays read: all once for NaN, then those of `check_dataset`."""
    sizes = {key: 4 * math.prod(node.shape) for key, node in nodes.items() if key not in FLAG_KEYS}
    return sum(sizes.values()) + 3 * sizes["observations"]


def _maps(path: Path, nodes: dict[str, h5py.Dataset], *, named: Path, asked: bool) -> dict[str, np.ndarray]:
    """Arrays that stay in the file: all where it was asked for, or where they are large; else none.

    Arrays can stay only where they lie as they would in memory. Flags are small and always read.
    """
    if not asked and sum(4 * math.prod(node.shape) for node in nodes.values()) <= MAPPED_ABOVE:
        return {}
    maps: dict[str, np.ndarray] = {}
    for key, node in nodes.items():
        if key in FLAG_KEYS:
            continue
        values = map_dataset(path, node)
        if values is None or values.dtype != np.float32:
            if not asked:
                return {}
            compression = node.compression or "chunks" if node.chunks else "another layout"
            way = f"surefoot data convert {shell_word(named)} --out FILE"
            found = f"{node.dtype} in {compression}; `{way}` writes such a file"
            refuse(named, key, expected="float32 in one piece, as data that stay in their file must lie", found=found)
        maps[key] = values
    return maps


def _check_map(path: Path, key: str, node: h5py.Dataset, values: np.ndarray, meter: Meter | None) -> None:
    """Check a mapped array's numbers and checksum in one pass."""
    parts = ((start, block) for start, (block,) in blocks(values, meter=meter))
    for start, block in verified_blocks(path, key, node, parts):
        check_finite(path, key, block, first_row=start)


def _copy_blocks(source: Path, key: str, node: h5py.Dataset, out: h5py.File) -> None:
    """Write `node` under `key` block by block, float32 or flags, flat where it is one number a row."""
    shape = node.shape if key in WIDE_KEYS else node.shape[:1]
    convert = flag_values if key in FLAG_KEYS else float32_values
    parts = (
        (start, convert(source, key, values.reshape(-1, *shape[1:]), first_row=start))
        for start, values in verified_blocks(source, key, node)
    )
    write_array(out, key, shape, np.bool_ if key in FLAG_KEYS else np.float32, parts)


def card_of(path: Path, file: h5py.File) -> dict[str, Any]:
    """Data card in an open file; empty where it has none.

    Args:
        path: File, for messages.
        file: Open file.

    Returns:
        The card.

    Raises:
        DataError: The card is no JSON object.
    """
    expected = "one string that holds a JSON object"
    text = read_text(path, file, CARD)
    if text is None:
        return {}
    if not isinstance(text, str | bytes):
        refuse(path, CARD, expected=expected, found=f"{type(text).__name__}")
    card: Any = parse_json(text, Card, place=f"{path}: {CARD}", what=expected, error=DataError)
    return card


def check_card_task(path: Path, card: dict[str, Any], task: Task) -> None:
    """Check that a card names a task, or none.

    Args:
        path: File, for messages.
        card: Data card.
        task: Expected task.

    Raises:
        DataError: The card names another task.
    """
    name = card.get("task", task.name)
    if name != task.name:
        refuse(path, CARD, expected=f"data of task {task.name}", found=f"data of task {name!a:.80}")


def _find(path: Path, file: h5py.File, task: Task) -> dict[str, h5py.Dataset]:
    check_keys(path, file)
    present = names(path, file)
    nodes = {}
    for key in _KEYS:
        if key in present:
            nodes[key] = check_array(path, key, find(path, file, key))
        elif key in REQUIRED_KEYS or (key == REWARDS_KEY and set(NEAR_REWARDS) & set(present)):
            refuse_missing(path, key, present)
    _check_shapes(path, nodes, task)
    if task.has_signal and CONSTRAINTS_KEY not in present:  # last: another task's data are better named as such
        refuse_missing(path, CONSTRAINTS_KEY, present)
    for key, node in nodes.items():
        check_storage(path, key, node)
    return nodes


def _allow(path: Path, nodes: dict[str, h5py.Dataset], *, in_memory: bool) -> None:
    """Refuse arrays that are too large for the file or the memory, before any is read."""
    allowance = Allowance(path)
    for key, node in nodes.items():
        flags = key in FLAG_KEYS
        allowance.take(key, node, in_memory=in_memory or flags, item_bytes=1 if flags else 4)


def _check_shapes(path: Path, nodes: dict[str, h5py.Dataset], task: Task) -> None:
    for key, node in nodes.items():
        check_shape(path, key, node.shape, task)
        check_numbers(path, key, node)
    # The number of rows that most keys have is taken as right, so that the odd one is named.
    rows, _ = Counter(node.shape[0] for node in nodes.values()).most_common(1)[0]
    for key, node in nodes.items():
        if node.shape[0] != rows:
            refuse(path, key, expected=f"{rows} rows as in other keys", found=f"{node.shape[0]}")
    if rows == 0:
        refuse(path, "observations", expected="at least one row", found="0 rows")


def _read(path: Path, key: str, node: h5py.Dataset) -> np.ndarray:
    convert = flag_values if key in FLAG_KEYS else float32_values
    return read_array(path, key, node, convert, columns=node.shape[1] if key in WIDE_KEYS else None)
