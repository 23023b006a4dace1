"""Checksums of the arrays in the HDF5 files that we write, each in an attribute of its array.

HDF5 notices no bit that changes in an uncompressed array. An array's CRC-32 covers its key, type, shape and values, so
that it also notices a change in the file's own description of the array. Arrays without one are read unverified, as
those of older files and those that were put in later.
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
"""Attributes: of an array, its checksum; of the file, one string of JSON, the keys of all arrays written."""
_LONGEST_FIXED = 60_000
"""Bytes of an attribute that is written with its length; HDF5 allows 64 kB."""
Blocks = Iterable[tuple[int, np.ndarray]]
"""First row and values of one block of rows after the other."""


class Checksum:
    """CRC-32 of an array whose rows come in blocks, in order."""

    def __init__(self, key: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self._dtype = dtype.newbyteorder("<")
        self._value = zlib.crc32(f"{key} {self._dtype.str} {list(shape)}".encode())

    def add(self, rows: np.ndarray) -> None:
        """The next rows."""
        self._value = zlib.crc32(np.ascontiguousarray(rows, self._dtype).data, self._value)

    @property
    def text(self) -> str:
        """Of what was added so far, as it stands in the attribute."""
        return f"crc32:{self._value:08x}"


def write_array(
    group: h5py.Group, key: str, shape: tuple[int, ...], dtype: Any, blocks: Blocks, **options: Any
) -> None:
    """Write a new array block by block, with its checksum. `options` are those of h5py's `create_dataset`."""
    node = group.create_dataset(key, shape, dtype, **options)
    checksum = Checksum(key, np.dtype(dtype), shape)
    for start, rows in blocks:
        node[start : start + len(rows)] = rows
        checksum.add(rows)
    write_text(node, CHECKSUM, checksum.text)


def write_text(node: h5py.Group | h5py.Dataset, name: str, text: str) -> None:
    """Write an attribute of text.

    Text of varying length, which h5py writes, lies in a heap without checksums: libhdf5 can search a damaged one for
    ever. So it is written with its length, up to the 64 kB that an attribute holds.
    """
    content = text.encode()
    if 0 < len(content) <= _LONGEST_FIXED:
        node.attrs.create(name, content, dtype=h5py.string_dtype("utf-8", len(content)))
    else:
        node.attrs[name] = text


def write_keys(file: h5py.File, keys: Sequence[str]) -> None:
    """List the arrays of a file in it, so that one whose name is lost is missed."""
    write_text(file, ARRAYS, json.dumps(list(keys)))


def read_keys(path: Path, text: Any) -> list[str]:
    """The keys in such a list; empty where there is none. Raises `DataError`."""
    expected = "one string of JSON, a list of keys"
    if text is None:
        return []
    if not isinstance(text, str | bytes):
        refuse(path, ARRAYS, expected=expected, found="something else")
    return parse_json(text, list[str], place=f"{path}: {ARRAYS}", what=expected, error=DataError)


def verified(
    path: Path, key: str, blocks: Blocks, *, dtype: np.dtype, shape: tuple[int, ...], written: str | None, name: str
) -> Iterator[tuple[int, np.ndarray]]:
    """Pass the blocks of an array on, and refuse it at its end where its checksum is not the one that was `written`.

    `name` is the array's own in its group. Raises `DataError`.
    """
    checksum = Checksum(name, dtype, shape) if written is not None else None
    for start, rows in blocks:
        if checksum is not None:
            checksum.add(rows)
        yield start, rows
    if checksum is not None and checksum.text != written:
        found = f"{checksum.text}: the file was damaged or edited (who edits an array deletes its '{CHECKSUM}')"
        refuse(path, key, expected=f"the values that were written, {written!a:.40}", found=found)
