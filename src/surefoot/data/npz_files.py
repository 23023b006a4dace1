"""Reading of NPZ files (zipped NumPy arrays) from any source: sizes first, no pickles, one sentence a fault.

`numpy.load` believes what a file says of itself: it inflates an array of any size and raises a dozen kinds of errors on
a damaged one. Here sizes are compared with the file and the memory before an array is read. A member's own CRC-32,
which every zip has, is checked as its last byte is read.
"""

import math
import struct
import warnings
import zipfile
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from surefoot.data.allowance import LARGEST_RATIO, SMALL_BYTES, check_memory, megabytes
from surefoot.data.checks import check_finite, refuse
from surefoot.errors import DataError

KINDS = "biufU"
"""NumPy's kinds of dtype that are read: flags, numbers and text."""
_KIND_NAMES = {"b": "flags", "i": "integers", "u": "unsigned integers", "f": "floats", "U": "text"}
MOST_MEMBERS = 1000
LARGEST_DIRECTORY = 2**20
"""Largest size in bytes of the list of members, which is read as a whole."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_END = struct.Struct("<4s4H2LH")
"""The record at a zip's end: signature, four counts, the directory's bytes and place, the length of a comment."""


class Field(NamedTuple):
    """Type and shape that an array of a file must have."""

    kinds: str
    """NumPy's letters of dtypes; or "uint8", for images."""
    shape: tuple[int | str, ...]
    """A length, or a name for one, which is equal wherever it occurs, and at least 1 unless it ends in "?"."""
    optional: bool = False
    """Whether the array may be missing."""
    finite: bool = False
    """Whether NaN and infinities are refused."""


def read_npz(path: Path, *, only: Collection[str] | None = None, held: int = 0) -> dict[str, np.ndarray]:
    """Read the arrays of an NPZ file.

    Args:
        path: NPZ file.
        only: Names of the arrays to read; None: all.
        held: Bytes of other files that will be in memory beside them.

    Returns:
        Arrays by name.

    Raises:
        DataError: The file is damaged, too large, or no such file.
    """
    expected = "a readable NPZ file without pickles"
    if not path.is_file():  # a pipe would keep us waiting for ever
        refuse(path, "", expected=expected, found="something that is no file" if path.exists() else "nothing")
    try:
        with path.open("rb") as file:
            return _read(path, file, only, held)
    except DataError:
        raise
    except Exception as error:  # whatever zipfile and NumPy raise on bytes that somebody else wrote
        detail = " ".join(str(error).split()).strip("'\". ").replace(". ", "; ")
        found = f"something else ({detail[:120] or type(error).__name__})"
        refuse(path, "", expected=expected, found=found, cause=error)


def check_fields(path: Path, arrays: Mapping[str, np.ndarray], fields: Mapping[str, Field]) -> None:
    """Check the dtypes and shapes of arrays.

    Args:
        path: File, for messages.
        arrays: Arrays by name.
        fields: Expected types and shapes by name.

    Raises:
        DataError: An array is missing or does not fit.
    """
    lengths: dict[str, int] = {}
    for key, field in fields.items():
        if key not in arrays:
            if field.optional:
                continue
            refuse(path, key, expected="an array of that name", found="none")
        values = arrays[key]
        if (values.dtype != np.uint8) if field.kinds == "uint8" else (values.dtype.kind not in field.kinds):
            expected = "uint8" if field.kinds == "uint8" else " or ".join(_KIND_NAMES[kind] for kind in field.kinds)
            refuse(path, key, expected=expected, found=f"{str(values.dtype)!a:.80}")
        if values.ndim != len(field.shape) or not all(map(partial(_fits, lengths), field.shape, values.shape)):
            expected = f"shape [{', '.join(str(lengths.get(str(length), length)) for length in field.shape)}]"
            refuse(path, key, expected=expected, found=f"shape {list(values.shape)}")
        if field.finite:
            check_finite(path, key, values)


def _fits(lengths: dict[str, int], wanted: int | str, found: int) -> bool:
    """Whether an axis is as long as declared; a new name stands for this length from now on."""
    if isinstance(wanted, int):
        return found == wanted
    if wanted not in lengths and found >= (0 if wanted.endswith("?") else 1):
        lengths[wanted] = found
    return lengths.get(wanted) == found


def _read(path: Path, file: IO[bytes], only: Collection[str] | None, held: int) -> dict[str, np.ndarray]:
    size = _check_directory(path, file)
    with zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) < len(archive.infolist()) or len(members) > MOST_MEMBERS:
            refuse(path, "", expected=f"at most {MOST_MEMBERS} arrays, each once", found=f"{len(archive.infolist())}")
        chosen = {key: info for key, info in members.items() if only is None or key in only}
        declared = sum(info.file_size for info in chosen.values())
        if declared > max(SMALL_BYTES, LARGEST_RATIO * size):
            refuse(path, "", expected=f"arrays that fit a file of {megabytes(size)}", found=megabytes(declared))
        check_memory(path, "", held + declared)
        return {key: _read_member(path, key, archive, info) for key, info in chosen.items()}


def _check_directory(path: Path, file: IO[bytes]) -> int:
    """The file's bytes. Refuses a list of members that is larger than that of any array file."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size - 2**16))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        refuse(path, "", expected="a readable NPZ file without pickles", found="something else (no zip archive)")
    directory = _END.unpack_from(tail, at)[5]
    if directory > LARGEST_DIRECTORY:
        refuse(path, "", expected=f"at most {MOST_MEMBERS} arrays", found=f"a list of {megabytes(directory)}")
    return size


def _read_member(path: Path, key: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        refuse(path, key, expected="an array that is stored or deflated", found="another compression, or encryption")
    with archive.open(info) as member, warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns of headers that only Python 2 wrote
        version = np.lib.format.read_magic(member)
        if version not in _HEADERS:
            refuse(
                path, key, expected="a NumPy array of version 1.0 or 2.0", found=f"version {version[0]}.{version[1]}"
            )
        shape, in_columns, dtype = _HEADERS[version](member)
        _check_header(path, key, shape, dtype, info.file_size - member.tell())
        values = np.empty(math.prod(shape), dtype)
        rest = memoryview(values.view(np.uint8).data if values.nbytes else b"")
        while rest:
            part = member.read(min(len(rest), 2**20))
            if not part:
                refuse(path, key, expected=f"{values.nbytes:,} bytes", found=f"{values.nbytes - len(rest):,}")
            rest[: len(part)] = part
            rest = rest[len(part) :]
        member.read()  # at the end the archive compares the checksum
    _check_values(path, key, values)
    return values.reshape(shape[::-1]).T if in_columns else values.reshape(shape)


def _check_header(path: Path, key: str, shape: Any, dtype: Any, size: int) -> None:
    if not isinstance(dtype, np.dtype) or dtype.kind not in KINDS or dtype.hasobject or dtype.subdtype is not None:
        refuse(path, key, expected="numbers, flags or text", found=f"values of type {str(dtype)!a:.80}")
    counts = [length for length in shape if type(length) is int and 0 <= length < 2**48]
    if len(counts) < len(shape) or len(shape) > 16:
        refuse(path, key, expected="lengths that an array can have", found=f"shape {str(shape)!a:.120}")
    if math.prod(counts) * dtype.itemsize != size or (not dtype.itemsize and math.prod(counts) > 1):
        found = f"{size:,} bytes for shape {str(shape)!a:.120}"
        refuse(path, key, expected=f"{math.prod(counts) * dtype.itemsize:,} bytes of {dtype}", found=found)


def _check_values(path: Path, key: str, values: np.ndarray) -> None:
    """Check that bytes are flags or letters."""
    if values.dtype.kind == "b" and values.nbytes and values.view(np.uint8).max() > 1:
        refuse(path, key, expected="only 0 and 1", found=f"{values.view(np.uint8).max()}")
    if values.dtype.kind == "U" and values.nbytes:
        letters = values.view(np.dtype(np.uint32).newbyteorder(values.dtype.byteorder))
        if letters.max() > 0x10FFFF or ((letters >= 0xD800) & (letters < 0xE000)).any():
            refuse(path, key, expected="text", found="letters that there are not")
