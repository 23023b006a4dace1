"""Logs as arrays: in memory (data frames, dictionaries), in NPZ files, in HDF5 files of several kinds.

An array of one number a row is a column; an array of k numbers is k columns, name[0] to name[k - 1]. Others are left
out.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surefoot.data.checks import refuse
from surefoot.data.logs.d3rlpy_files import d3rlpy_log, is_d3rlpy
from surefoot.data.logs.table import (
    BATCH_ROWS,
    Batch,
    Log,
    numbers_of,
    refuse_at,
    seconds_of_moments,
    split_columns,
    split_names,
)
from surefoot.data.npz_files import read_npz
from surefoot.data.storage import NUMBER_KINDS, check_storage, find, names, reading

EPISODE = "episode"
"""Column of Minari's logs that numbers the episodes."""


def frame_log(frame: Any, *, name: str = "frame") -> Log:
    """Log in a table in memory.

    Args:
        frame: Data frame of pandas or polars, table of pyarrow, or mapping from names to arrays.
        name: Name of the log, for messages.

    Returns:
        The log.

    Raises:
        DataError: Columns differ in length, or the value is no table.
    """
    keys = frame if isinstance(frame, Mapping) else getattr(frame, "column_names", getattr(frame, "columns", None))
    if keys is None:
        expected = "a data frame, a table or a dictionary of arrays"
        refuse(Path(name), "", expected=expected, found=f"a value of type {type(frame).__name__}")
    return array_log({str(key): _array(name, str(key), frame[key]) for key in keys}, Path(name), name=name)


def _array(name: str, key: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:  # lists of different lengths
        refuse_at(name, key, expected="one number a row", found="rows of different lengths", cause=error)


def array_log(arrays: Mapping[str, np.ndarray], path: Path, *, name: str) -> Log:
    """Log of arrays.

    Arrays of another number of rows, of images or of objects that are no text are left out.

    Args:
        arrays: Arrays by name.
        path: File, for messages.
        name: Name of the log, for messages.

    Returns:
        The log.

    Raises:
        DataError: No array can be used.
    """
    chosen, why = _chosen(path, {key: (one.shape, one.dtype) for key, one in arrays.items()}, kinds="biufUOM")
    columns = {name: one for key in chosen for name, one in split_columns(key, arrays[key]).items()}
    return Log(name, tuple(columns), partial(_array_batches, path, columns), why)


Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype]]
"""Array -> its shape and type."""


def _chosen(path: Path, there: Shapes, *, kinds: str) -> tuple[list[str], dict[str, str]]:
    """The arrays that are columns, of types of these kinds and with as many rows as most have, and why others are
    none. Raises `DataError` where there are none."""
    usable = {key: shape for key, (shape, dtype) in there.items() if len(shape) in (1, 2) and dtype.kind in kinds}
    if not usable:
        refuse(path, "", expected="arrays of numbers, one row a step", found="none")
    (rows, _), *_ = Counter(shape[0] for shape in usable.values()).most_common(1)
    columns = [key for key, shape in usable.items() if shape[0] == rows]
    return columns, {key: _why_left_out(*one, rows) for key, one in there.items() if key not in columns}


def _why_left_out(shape: tuple[int, ...], dtype: np.dtype, rows: int) -> str:
    """What makes an array no column of so many rows."""
    if len(shape) in (1, 2) and shape[0] != rows:
        return f"{shape[0]:,} rows, where others have {rows:,}"
    return f"{len(shape)} axes, where a column has one" if len(shape) not in (1, 2) else f"values of type {dtype}"


def open_npz(name: str, path: Path) -> Log:
    """Open the log in an NPZ file.

    Args:
        name: Name of the log, for messages.
        path: NPZ file.

    Returns:
        The log.

    Raises:
        DataError: The file cannot be read.
    """
    return array_log(read_npz(path), path, name=name)


def open_hdf5(name: str, path: Path) -> Log:
    """Open the log in an HDF5 file, with keys of DSRL's, D4RL's or others, or of d3rlpy.

    Args:
        name: Name of the log, for messages.
        path: HDF5 file.

    Returns:
        The log.

    Raises:
        DataError: The file cannot be read, or holds no array of numbers.
    """
    with reading(path) as file:
        if is_d3rlpy(names(path, file)):
            return d3rlpy_log(name, path, file)
        there = {key: (node.shape, node.dtype) for key, node in _nodes(path, file, "")}
    chosen, why = _chosen(path, there, kinds=NUMBER_KINDS)
    owners = {one: key for key in chosen for one in split_names(key, there[key][0])}
    return Log(name, tuple(owners), partial(_hdf5_batches, path, owners), why)


def open_minari(name: str, folder: Path) -> Log:
    """Open the log in a Minari dataset.

    Args:
        name: Name of the log, for messages.
        folder: Folder of the dataset, or its `data`.

    Returns:
        The log.

    Raises:
        DataError: The files cannot be read.
    """
    path = (folder / "data" if (folder / "data").is_dir() else folder) / "main_data.hdf5"
    with reading(path) as file:
        episodes = _episodes(path, file)
        if not episodes:
            refuse(path, "", expected="a group episode_0", found=f"{len(file)} other keys")
        columns = _episode_columns(path, file, episodes[0])
    return Log(name, (*columns, EPISODE), partial(_minari_batches, path))


# --- HDF5 ------------------------------------------------------------------------------------------------------------


def _hdf5_batches(
    path: Path, owners: Mapping[str, str], columns: Sequence[str], texts: Collection[str]
) -> Iterator[Batch]:
    """`owners`: the array that each column is of."""
    with reading(path) as file:
        nodes = {name: _node(path, file, name) for name in dict.fromkeys(owners[one] for one in columns)}
        rows = len(next(iter(nodes.values()))) if nodes else 0
        for first in range(0, rows, BATCH_ROWS):
            part = slice(first, min(first + BATCH_ROWS, rows))
            found: dict[str, np.ndarray] = {}
            for name, node in nodes.items():
                found |= split_columns(name, np.asarray(node[part], np.float64))
            yield Batch({name: found[name] for name in columns}, path, np.arange(first, part.stop))


def _minari_batches(path: Path, columns: Sequence[str], texts: Collection[str]) -> Iterator[Batch]:
    """One episode a batch, each of which has one more observation than actions."""
    with reading(path) as file:
        for number, episode in enumerate(_episodes(path, file)):
            found = _episode_columns(path, file, episode)
            steps = len(next(iter(found.values())))
            found[EPISODE] = np.full(steps, float(number))
            for name in columns:
                if name not in found:
                    refuse(path, f"{episode}/{name}", expected="an array as in episode_0", found="none")
            yield Batch({name: found[name] for name in columns}, path, np.arange(steps), "step")


def _arrays(path: Path, group: h5py.Group, prefix: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Key and shape of every array of numbers in a group and those below it."""
    for key, node in _nodes(path, group, prefix):
        if len(node.shape) in (1, 2) and node.dtype.kind in NUMBER_KINDS:
            yield key, node.shape


def _nodes(path: Path, group: h5py.Group, prefix: str) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every array that is not empty by its kind, in a group and those below it, by its key."""
    for name in names(path, group):
        node = find(path, group, name)
        if isinstance(node, h5py.Group) and prefix.count("/") < 4:
            yield from _nodes(path, node, f"{prefix}{name}/")
        elif isinstance(node, h5py.Dataset) and node.shape is not None:
            yield f"{prefix}{name}", node


def _node(path: Path, file: h5py.File, key: str) -> h5py.Dataset:
    node = find(path, file, key)
    assert isinstance(node, h5py.Dataset)
    check_storage(path, key, node)
    return node


def _episodes(path: Path, file: h5py.File) -> list[str]:
    found = [name for name in names(path, file) if name.startswith("episode_")]
    return sorted(found, key=lambda name: (len(name), name))


def _episode_columns(path: Path, file: h5py.File, episode: str) -> dict[str, np.ndarray]:
    """The steps of one episode; arrays of one moment more begin with the first step's state."""
    group = find(path, file, episode)
    assert isinstance(group, h5py.Group)
    shapes = dict(_arrays(path, group, ""))
    (steps, _), *_ = Counter(
        shape[0] for key, shape in shapes.items() if not key.startswith("observations")
    ).most_common(1)
    found: dict[str, np.ndarray] = {}
    for key, shape in shapes.items():
        if shape[0] not in (steps, steps + 1):
            continue
        values = np.asarray(_node(path, file, f"{episode}/{key}")[()], np.float64)
        if key.startswith("observations"):
            found |= split_columns(key, values[:steps])
            found |= split_columns(f"next_{key}", values[shape[0] - steps :])
        else:
            found |= split_columns(key, values[shape[0] - steps :])
    return found


# --- memory ----------------------------------------------------------------------------------------------------------


def _array_batches(
    path: Path, arrays: Mapping[str, np.ndarray], columns: Sequence[str], texts: Collection[str]
) -> Iterator[Batch]:
    rows = len(next(iter(arrays.values()), ()))
    for first in range(0, rows, BATCH_ROWS):
        part = slice(first, min(first + BATCH_ROWS, rows))
        found = {name: _numbers(path, name, arrays[name][part], first, texts) for name in columns}
        yield Batch(found, path, np.arange(first, part.stop))


def _numbers(path: Path, name: str, values: np.ndarray, first: int, texts: Collection[str]) -> np.ndarray:
    if values.dtype.kind == "M":
        return seconds_of_moments(values)
    if name in texts and values.dtype.kind in "iu":
        return values
    if values.dtype.kind in "biuf":
        return np.asarray(values, np.float64)
    if name in texts:
        return np.asarray(values.tolist()).astype(str)
    return numbers_of(values, path, name, lambda row: f"row {first + row}")
