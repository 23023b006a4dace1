"""Reading of HDF5 attributes of variable length that a damaged file cannot turn into an endless loop.

Such text lies in a "global heap" of the file. libhdf5 (2.0.0) walks through its entries for ever where an entry says
that it takes no bytes, and allocates whatever length it declares. So the file is opened once more through a reader that
examines each heap before libhdf5 does.
"""

import io
from pathlib import Path
from typing import Any

import h5py

_SIGNATURE = b"GCOL\x01\x00\x00\x00"
"""First bytes of a heap."""
_HEAD = 16
"""Bytes of the head of a heap and of each entry; an entry's last are the length of its contents."""


def read_variable_text(path: Path, node: h5py.Group | h5py.Dataset, name: str, *, largest: int) -> Any:
    """Read a text attribute of variable length.

    Args:
        path: HDF5 file.
        node: Group or array.
        name: Name of the attribute.
        largest: Largest size in bytes.

    Returns:
        The text as h5py gives it.

    Raises:
        OSError: The heap is damaged or larger.
    """
    _, length_bytes = node.file.id.get_create_plist().get_sizes()
    with _HeapReader(path, length_bytes, largest) as guarded, h5py.File(guarded, "r") as file:
        try:
            return file[node.name].attrs[name]
        except Exception as error:
            raise OSError(guarded.fault or str(error)) from error


class _HeapReader(io.FileIO):
    """A file that hides the signature of a heap which must not be walked through, so that libhdf5 refuses it."""

    def __init__(self, path: Path, length_bytes: int, largest: int) -> None:
        super().__init__(path, "r")
        self.fault = ""
        self._length_bytes, self._largest = length_bytes, largest

    def readinto(self, buffer: Any) -> int:
        """Read, and look at the heaps that overlap what was read."""
        place = self.tell()
        view = memoryview(buffer).cast("B")
        count = super().readinto(view) or 0
        self.seek(max(0, place - 2**16))
        first = self.tell()
        around = self.read(place - first) + bytes(view[:count])
        at = around.find(_SIGNATURE)
        while at >= 0:
            if fault := self._fault_of(first + at):
                self.fault = fault
                # The whole text, of which this read may have brought the end only.
                view[:count] = bytes(count)
            at = around.find(_SIGNATURE, at + 1)
        self.seek(place + count)
        return count

    def _fault_of(self, heap: int) -> str:
        self.seek(heap + 8)
        size = int.from_bytes(self.read(self._length_bytes), "little")
        if size > self._largest + 2**16:
            return f"text of {size:,} bytes"
        self.seek(heap)
        content = self.read(size)
        at = _HEAD
        while at + _HEAD <= len(content):
            number = int.from_bytes(content[at : at + 2], "little")
            length = int.from_bytes(content[at + 8 : at + 8 + self._length_bytes], "little")
            step = length if number == 0 else (_HEAD + length + 7) // 8 * 8
            if step % 2**64 == 0:
                return "an entry of a heap that takes no bytes"
            at += step
        return ""
