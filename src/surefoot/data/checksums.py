"""Checksums of the arrays in our HDF5 files, each in an attribute of its array.

HDF5 notices no changed bit in an uncompressed array. An array's CRC-32 covers its key, type, shape and values, so that
it also notices a change in the file's own description of the array. Arrays without a checksum are read unverified, such
as those of older files and those that were added later.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surefoot.data.checks import refuse
from surefoot.errors import DataError
from surefoot.json_files import parse_json

CHECKSUM, ARRAYS = "checksum", "arrays"
"""Attributes: of an array its checksum; of the file one string of JSON, the keys of all arrays written."""
_LONGEST_FIXED = 60_000
"""Largest size in bytes of an attribute that is written with its length; HDF5 allows 64 kB."""
Blocks = Iterable[tuple[int, np.ndarray]]
"""First row and values of consecutive blocks of rows."""


class Checksum:
    """CRC-32 of an array whose rows come in blocks, in order."""

    def __init__(self, key: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self._dtype = dtype.newbyteorder("<")
        self._value = zlib.crc32(f"{key} {self._dtype.str} {list(shape)}".encode())

    def add(self, rows: np.ndarray) -> None:
        """Add the next rows."""
        self._value = zlib.crc32(np.ascontiguousarray(rows, self._dtype).data, self._value)

    @property
    def text(self) -> str:
        """Checksum of the rows added so far, as in the attribute."""
        return f"crc32:{self._value:08x}"


def write_array(
    group: h5py.Group, key: str, shape: tuple[int, ...], dtype: Any, blocks: Blocks, **options: Any
) -> None:
    """Write a new array block by block, with its checksum.

    Args:
        group: Open file or group.
        key: Name of the array.
        shape: Shape of the array.
        dtype: Type of the values.
        blocks: Blocks of rows.
        options: Options of h5py's `create_dataset`.
    """
    node = group.create_dataset(key, shape, dtype, **options)
    checksum = Checksum(key, np.dtype(dtype), shape)
    for start, rows in blocks:
        node[start : start + len(rows)] = rows
        checksum.add(rows)
    write_text(node, CHECKSUM, checksum.text)


def write_text(node: h5py.Group | h5py.Dataset, name: str, text: str) -> None:
    """Write an attribute of text.

    Text of varying length, which h5py writes, lies in a heap without checksums: libhdf5 can search a damaged heap for
    ever. So text is written with its length, up to the 64 kB that an attribute holds.

    Args:
        node: Open file, group or array.
        name: Name of the attribute.
        text: Text.
    """
    content = text.encode()
    if 0 < len(content) <= _LONGEST_FIXED:
        node.attrs.create(name, content, dtype=h5py.string_dtype("utf-8", len(content)))
    else:
        node.attrs[name] = text


def write_keys(file: h5py.File, keys: Sequence[str]) -> None:
    """Write the list of a file's arrays into it, so that a lost name is noticed.

    Args:
        file: Open file.
        keys: Names of the arrays.
    """
    write_text(file, ARRAYS, json.dumps(list(keys)))


def read_keys(path: Path, text: Any) -> list[str]:
    """Read the list of a file's arrays.

    Args:
        path: File, for messages.
        text: Attribute of the file; None where it has none.

    Returns:
        Names of the arrays; empty where there is no list.

    Raises:
        DataError: The text is no such list.
    """
    expected = "one string of JSON, a list of keys"
    if text is None:
        return []
    if not isinstance(text, str | bytes):
        refuse(path, ARRAYS, expected=expected, found="something else")
    return parse_json(text, list[str], place=f"{path}: {ARRAYS}", what=expected, error=DataError)


def verified(
    path: Path, key: str, blocks: Blocks, *, dtype: np.dtype, shape: tuple[int, ...], written: str | None, name: str
) -> Iterator[tuple[int, np.ndarray]]:
    """Pass blocks of an array on, and check its checksum at the end.

    Args:
        path: File, for messages.
        key: Key of the array, for messages.
        blocks: Blocks of rows.
        dtype: Type of the values in the file.
        shape: Shape of the array.
        written: Checksum in the file; None: nothing is checked.
        name: Name of the array in its group.

    Yields:
        The blocks.

    Raises:
        DataError: The checksum differs.
    """
    checksum = Checksum(name, dtype, shape) if written is not None else None
    for start, rows in blocks:
        if checksum is not None:
            checksum.add(rows)
        yield start, rows
    if checksum is not None and checksum.text != written:
        found = f"{checksum.text}: the file was damaged or edited (who edits an array deletes its '{CHECKSUM}')"
        refuse(path, key, expected=f"the values that were written, {written!a:.40}", found=found)
