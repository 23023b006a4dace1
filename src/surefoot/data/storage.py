"""Opening of HDF5 arrays whose values lie in the file itself, complete, and fit into memory.

HDF5 invents values: of a virtual dataset whose source is missing, of chunks that were never written; of a contiguous
array without storage it returns a fill value. External storage and external links read other files. Every reader of
HDF5 therefore opens its arrays here, and learns of faults before the first value is read.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol

import h5py
import numpy as np
from h5py import h5a, h5i, h5l, h5o, h5s  # pyright: ignore[reportAttributeAccessIssue]

from surefoot.data.allowance import declared_bytes, file_size, megabytes, stripe_bytes
from surefoot.data.checks import refuse
from surefoot.data.checksums import ARRAYS, CHECKSUM, Blocks, read_keys, verified
from surefoot.data.chunks import check_chunks, check_filters, check_inflated, refuse_unwritten
from surefoot.data.heaps import read_variable_text
from surefoot.data.writing import blaming

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file."""
NUMBER_KINDS = "biuf"
"""NumPy's kinds of dtype that hold real numbers."""
BLOCK_BYTES = 4 * 2**20
"""Bytes read at a time."""
LARGEST_TEXT = 4 * 2**20
"""Largest size in bytes of an attribute that holds text, such as the data card."""
MOST_NAMES = 1_000_000
"""Largest number of keys of a group."""
_MOST_LINKS = 16
"""Largest number of soft links that are followed for one key."""


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """Context with an HDF5 file open for reading. Raises `DataError` where there is none."""
    _check_is_hdf5(path)
    with blaming(path, "", "a readable HDF5 file"), h5py.File(path, "r") as file:
        yield file


def names(path: Path, group: h5py.Group) -> list[str]:
    """Names in a group, none of which is opened. Raises `DataError`."""
    with blaming(path, "", "a readable list of keys"):
        count = len(group)
        if count <= MOST_NAMES:
            return [str(name) for name in group]
    refuse(path, "", expected=f"at most {MOST_NAMES:,} keys", found=f"{count:,}")


def has_key(path: Path, group: h5py.Group, key: str) -> bool:
    """Whether there is a link of that name, wherever it leads; other files are not opened."""
    parent, _, name = key.rpartition("/")
    holder = find(path, group, parent) if parent else group
    return isinstance(holder, h5py.Group) and holder.id.links.exists(_encoded(name))


def find(
    path: Path, group: h5py.Group, key: str, *, named: str | None = None
) -> h5py.Group | h5py.Dataset | h5py.Datatype | None:
    """Find the object under a key of this file. Soft links are followed within the file.

    Args:
        path: File, for messages.
        group: Open file or group.
        key: Names joined by "/".
        named: Key in messages; None: `key`.

    Returns:
        The object; None where there is nothing.

    Raises:
        DataError: The key is a link into another file, which is not opened.
    """
    here: Any = group
    parts, links = key.split("/"), 0
    key = key if named is None else named
    while parts:
        name = parts.pop(0)
        if name in ("", "."):
            continue
        if not isinstance(here, h5py.Group) or not here.id.links.exists(_encoded(name)):
            return None
        with blaming(path, key, "a readable key"):
            kind = here.id.links.get_info(_encoded(name)).type
            target = here.id.links.get_val(_encoded(name)) if kind == h5l.TYPE_SOFT else b""
        if kind == h5l.TYPE_HARD:
            with blaming(path, key, "a readable key"):
                here = _opened(here, name)
        elif kind == h5l.TYPE_SOFT and links < _MOST_LINKS:
            links += 1
            way = target.decode("utf-8", "surrogateescape")
            here = here.file if way.startswith("/") else here
            parts = [*way.split("/"), *parts]
        else:
            found = "a link into another file" if kind == h5l.TYPE_EXTERNAL else "links that lead nowhere"
            refuse(path, key, expected="values in the file itself", found=found)
    return here


def open_array(path: Path, group: h5py.Group, key: str) -> h5py.Dataset:
    """Array of real numbers under `key`, all of whose values lie in the file. Raises `DataError`."""
    node = find(path, group, key)
    if node is None and not has_key(path, group, key):
        refuse_missing(path, key, names(path, group))
    return check_array(path, key, node)


def refuse_missing(path: Path, key: str, present: Sequence[str], *, expected: str = "a key of that name") -> NoReturn:
    """Raise the `DataError` for a key that is not among those `present`."""
    found = f"only {', '.join(ascii(name) for name in present[:12])}" if present else "no key at all"
    refuse(path, key, expected=expected, found=found)


def check_array(path: Path, key: str, node: object) -> h5py.Dataset:
    """Check that an object is an array; its storage is left to `check_storage`. Raises `DataError`."""
    if not isinstance(node, h5py.Dataset):
        refuse(path, key, expected="an array", found="a broken link" if node is None else f"a {_kind(node)}")
    return node


def check_numbers(path: Path, key: str, node: h5py.Dataset) -> None:
    """Check that an array's values are real numbers. Raises `DataError`."""
    with blaming(path, key, "values of a type that NumPy has"):
        dtype = node.dtype
    if dtype.kind not in NUMBER_KINDS:
        kind = "strings" if h5py.check_string_dtype(dtype) else f"values of type {str(dtype)!a:.80}"
        refuse(path, key, expected="real numbers", found=kind)


def check_storage(path: Path, key: str, node: h5py.Dataset, *, file_bytes: int | None = None) -> None:
    """Check that all values of an array lie in this file, of `file_bytes` if that is known. Raises `DataError`."""
    expected = "values in the file itself"
    with blaming(path, key, "a readable array"):
        settings = node.id.get_create_plist()
        layout = settings.get_layout()
        if layout == h5py.h5d.VIRTUAL:
            refuse(path, key, expected=expected, found="a virtual dataset, whose values lie in other files")
        if settings.get_external_count():
            other = settings.get_external(0)[0].decode("utf-8", "replace")
            refuse(path, key, expected=expected, found=f"external storage in {other!a:.120}")
        check_filters(path, key, settings)
        if layout == h5py.h5d.CHUNKED:
            check_chunks(path, key, node, settings, file_bytes=file_size(node) if file_bytes is None else file_bytes)
            return
        stored, declared, offset = node.id.get_storage_size(), declared_bytes(node), node.id.get_offset()
    if stored < declared:
        refuse_unwritten(path, key, f"{declared:,} bytes", f"{stored:,}")
    end = (offset or 0) + declared
    if end > file_size(node):
        refuse(path, key, expected=f"a file of at least {end:,} bytes", found=f"{file_size(node):,}")


def read_blocks(path: Path, key: str, node: h5py.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    """First row and values of consecutive blocks of rows; chunks are never cut. Raises `DataError`."""
    chunks, length = node.chunks, len(node)
    stripe = stripe_bytes(node, node.id.get_type().get_size())
    rows = (chunks[0] if chunks else 1) * max(1, BLOCK_BYTES // max(stripe, 1))
    for start in range(0, length, rows):
        with blaming(path, key, "a readable array"):
            if chunks:
                check_inflated(path, key, node, start, min(start + rows, length))
            values = node[start : start + rows] if length > rows else _whole(node)
        if values.dtype == np.bool_ and (values.view(np.uint8) > 1).any():
            row = start + int((values.view(np.uint8) > 1).argmax()) // max(1, values[0].size)
            refuse(path, key, expected="only 0 and 1", found=f"{values.view(np.uint8).max()} in row {row}")
        yield start, values


def _whole(node: h5py.Dataset) -> np.ndarray:
    """All values of an array; h5py's own way takes twice as long for few numbers and ten times for few flags."""
    values = np.empty(node.shape, node.dtype)
    node.id.read(h5s.ALL, h5s.ALL, values)
    return values


def _after_last(blocks: Iterator[Any], values: np.ndarray) -> np.ndarray:
    """`values` of the only block, once it is known to be the only one and its checksum was compared."""
    for _ in blocks:
        raise AssertionError("more rows than the array has")
    return values


class Convert(Protocol):
    """Function that checks values of some rows and converts them to what is kept."""

    def __call__(self, path: Path, key: str, values: np.ndarray, *, first_row: int) -> np.ndarray:
        """Convert rows. Raises `DataError` that names the row."""
        ...


def read_array(path: Path, key: str, node: h5py.Dataset, convert: Convert, *, columns: int | None) -> np.ndarray:
    """Read an array into memory, checked and converted block by block, its checksum verified where it has one.

    Args:
        path: File, for messages.
        key: Key of the array, for messages.
        node: Array in the file.
        convert: Checks and converts rows.
        columns: Columns that are kept; None: one number a row, and the result is flat.

    Returns:
        Array [N, columns] or [N].

    Raises:
        DataError: Values are damaged or refused by `convert`.
    """
    kept: np.ndarray | None = None
    blocks = verified_blocks(path, key, node)
    for start, values in blocks:
        wanted = values.reshape(-1) if columns is None else values[:, :columns]
        part = convert(path, key, wanted, first_row=start)
        if kept is None and len(part) == len(node):
            return _after_last(blocks, part)
        if kept is None:
            with blaming(path, key, "memory for the array"):
                kept = np.empty((len(node), *part.shape[1:]), part.dtype)
        kept[start : start + len(part)] = part
    if kept is None:  # no rows
        values = np.empty(node.shape, node.dtype)
        return convert(path, key, values.reshape(-1) if columns is None else values[:, :columns], first_row=0)
    return kept


def verified_blocks(
    path: Path, key: str, node: h5py.Dataset, blocks: Blocks | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of an array, read or given, its checksum verified at their end. Raises `DataError`."""
    written = read_checksum(path, key, node)
    blocks = read_blocks(path, key, node) if blocks is None else blocks
    # Within its group: Minari's episodes have groups of their own.
    name = "infos/" + key.rpartition("/")[2] if "/infos/" in key else key.rpartition("/")[2]
    return verified(path, key, blocks, dtype=node.dtype, shape=node.shape, written=written, name=name)


def read_checksum(path: Path, key: str, node: h5py.Dataset) -> str | None:
    """Checksum that an array was written with; None where it has none. Raises `DataError`."""
    written = read_text(path, node, CHECKSUM, key=key)
    if written is not None and not isinstance(written, str):
        refuse(path, key, expected=f"text in its attribute {CHECKSUM}", found=type(written).__name__)
    return written


def check_keys(path: Path, file: h5py.File) -> None:
    """Check that a file has all arrays that it was written with. Raises `DataError`.

    Rewards may be taken out: imitation needs none, and what needs them says so.
    """
    for key in read_keys(path, read_text(path, file, ARRAYS)):
        if key != "rewards" and not has_key(path, file, key):
            refuse(path, key, expected="an array of that name, as when the file was written", found="none")


def read_text(path: Path, node: h5py.Group | h5py.Dataset, name: str, *, key: str = "") -> Any:
    """Attribute with a single value of at most `LARGEST_TEXT` bytes; None where there is none.

    `key` is that of the array with the attribute, empty for the file. Raises `DataError`.
    """
    expected, place = "one string that holds a JSON object", f"{key}: {name}" if key else name
    if key:
        expected = "one string"
    with blaming(path, place, "a readable attribute"):
        if not h5a.exists(node.id, _encoded(name)):
            return None
        entry = h5a.open(node.id, _encoded(name))
        shape, dtype = entry.shape, entry.dtype
        if shape != ():
            refuse(path, place, expected=expected, found="nothing" if shape is None else "an array of them")
        size = entry.get_storage_size()
        info = h5py.check_string_dtype(dtype)
        value = None
        if info is not None and info.length is None:
            value = read_variable_text(Path(node.file.filename), node, name, largest=LARGEST_TEXT)
        elif size <= LARGEST_TEXT:
            value = _fixed_text(entry, dtype) if info is not None else node.attrs[name]
        if isinstance(value, bytes):
            value = value.decode()
    size = max(size, len(value) if isinstance(value, str | bytes) else 0)
    if size > LARGEST_TEXT:
        refuse(path, place, expected=f"at most {megabytes(LARGEST_TEXT)} of text", found=megabytes(size))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _fixed_text(entry: Any, dtype: np.dtype) -> bytes:
    """An attribute of text of fixed length; h5py's own way opens it once more, which takes three times as long."""
    value = np.empty((), dtype)
    entry.read(value)
    return value.item()


def _check_is_hdf5(path: Path) -> None:
    expected = "an HDF5 file"
    if not path.exists():
        refuse(path, "", expected=expected, found="nothing at that place")
    if path.is_dir():
        refuse(path, "", expected=expected, found="a folder")
    if not path.is_file():  # a pipe would keep us waiting for ever
        refuse(path, "", expected=expected, found="neither a file nor a folder")
    with blaming(path, "", "a readable file"), path.open("rb") as file:
        head = file.read(256)
    if not head:
        refuse(path, "", expected=expected, found="an empty file (0 bytes)")
    if not head.startswith(SIGNATURE[: len(head)]):
        # HDF5 allows a block of the user's own in front; h5py knows where to look behind it.
        if h5py.is_hdf5(path):
            return
        is_text = head.isascii() and head.decode("ascii").replace("\n", " ").replace("\t", " ").isprintable()
        refuse(path, "", expected=expected, found="text" if is_text else "another format")


def _opened(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | h5py.Datatype:
    """`group[name]`, which asks the file for its mode each time: half of the time that opening takes."""
    identifier = h5o.open(group.id, _encoded(name))
    kind = h5i.get_type(identifier)
    if kind == h5i.DATASET:
        return h5py.Dataset(identifier, readonly=True)
    return h5py.Group(identifier) if kind == h5i.GROUP else group[name]


def _kind(node: object) -> str:
    return type(node).__name__.lower()


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
