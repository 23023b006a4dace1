"""Checks of an HDF5 array's chunks: all there, within the file, and of the right size once they are inflated.

HDF5 fills in chunks that were never written. Of a chunk that inflates to too little it gives whatever the memory held;
a chunk that inflates to too much is inflated to its end.
"""

import itertools
import math
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import h5py

from surefoot.data.checks import refuse

GZIP, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000
KNOWN_FILTERS = {GZIP: "gzip", SHUFFLE: "shuffle", FLETCHER32: "fletcher32", LZF: "lzf"}
"""Filters that are read, by their registered numbers; other filters of HDF5 make up chunks from a few bytes."""
_OWN_FILTERS = {4, 5, 6}
"""szip, nbit, scaleoffset: HDF5's own filters; all others are plugins that the user has installed."""
_THREADS = 4


def check_filters(path: Path, key: str, settings: Any) -> None:
    """Check that an array is compressed at most once and in a known way.

    Args:
        path: File, for messages.
        key: Key of the array, for messages.
        settings: Creation properties of the array.

    Raises:
        DataError: It is not.
    """
    codes = _codes(settings)
    for code in codes:
        if code not in KNOWN_FILTERS and (code in _OWN_FILTERS or not h5py.h5z.filter_avail(code)):
            known = ", ".join(KNOWN_FILTERS.values())
            refuse(path, key, expected=f"compression by {known}", found=f"filter {code}, which is not read")
    if len(set(codes)) < len(codes) or len(_compressors(codes)) > 1:
        refuse(path, key, expected="one compression, once", found=f"filters {', '.join(map(str, codes))}")


def check_chunks(path: Path, key: str, node: h5py.Dataset, settings: Any, *, file_bytes: int) -> None:
    """Check that every chunk is there once, within the file, and of its full size where it is not compressed.

    Args:
        path: File, for messages.
        key: Key of the array, for messages.
        node: Array in the file.
        settings: Creation properties of the array.
        file_bytes: Size of the file.

    Raises:
        DataError: A chunk is not.
    """
    chunks = node.chunks
    assert chunks is not None
    full = _full(node)
    compressors = sum(1 << place for place in _compressors(_codes(settings)))
    grid = [-(-length // chunk) for length, chunk in zip(node.shape, chunks, strict=True)]
    count, present = math.prod(grid), node.id.get_num_chunks()
    if present != count:
        refuse_unwritten(path, key, f"{count:,} chunks", f"{present:,}")
    seen = bytearray(count)
    faults: list[str] = []

    def visit(chunk: Any) -> bool | None:
        place = [offset // length for offset, length in zip(chunk.chunk_offset, chunks, strict=True)]
        inside = all(at < length for at, length in zip(place, grid, strict=True))
        compressed = compressors & ~chunk.filter_mask  # none where compressing would have made it larger
        least = 1 if compressed else full
        if not inside or chunk.size < least or chunk.byte_offset + chunk.size > file_bytes:
            faults.append(f"one of {chunk.size:,} bytes at {chunk.byte_offset:,}, at {list(chunk.chunk_offset)}")
            return True
        flat = 0
        for at, length in zip(place, grid, strict=True):
            flat = flat * length + at
        seen[flat] = 1
        return None

    if count:
        node.id.chunk_iter(visit)
    if faults:
        refuse(path, key, expected="whole chunks within the file", found=faults[0])
    if (different := seen.count(1)) < count:
        refuse_unwritten(path, key, f"{count:,} chunks", f"{different:,} different ones")


def check_inflated(path: Path, key: str, node: h5py.Dataset, start: int, stop: int) -> None:
    """Check that compressed chunks inflate to a chunk's size, before HDF5 inflates them.

    Args:
        path: File, for messages.
        key: Key of the array, for messages.
        node: Array in the file.
        start: First row.
        stop: Row after the last.

    Raises:
        DataError: A chunk does not.
    """
    codes = _codes(node.id.get_create_plist())
    found = [code for code in (GZIP, LZF) if code in codes]
    if node.chunks is None or not found:
        return
    place, size_of = codes.index(found[0]), _inflated_bytes if found[0] == GZIP else _lzf_bytes
    # A checksum of four bytes may have been added before the chunk was compressed.
    wanted = _full(node) + 4 * (FLETCHER32 in codes[:place])
    rows = range(start - start % node.chunks[0], stop, node.chunks[0])
    others = (range(0, length, chunk) for length, chunk in zip(node.shape[1:], node.chunks[1:], strict=True))

    def inflated(offset: tuple[int, ...]) -> int:
        mask, content = node.id.read_direct_chunk(offset)
        for later in range(place + 1, len(codes)):  # or after it
            content = content[:-4] if codes[later] == FLETCHER32 and not mask >> later & 1 else content
        return wanted if mask >> place & 1 else size_of(content, most=wanted)

    offsets = list(itertools.product(rows, *others))
    with ThreadPoolExecutor(_THREADS) as pool:
        for offset, found in zip(offsets, pool.map(inflated, offsets), strict=True):
            if found != wanted:
                many = f"more than {wanted:,}" if found > wanted else f"{found:,}"
                refuse(path, key, expected=f"{wanted:,} bytes in the chunk at {list(offset)}", found=many)


def refuse_unwritten(path: Path, key: str, expected: str, found: str) -> NoReturn:
    """Raise the `DataError` for values that HDF5 would invent.

    Args:
        path: File, for messages.
        key: Key of the array, for messages.
        expected: Values that should be in the file, a sentence's part.
        found: Values that are, a sentence's part.

    Raises:
        DataError: Always.
    """
    refuse(path, key, expected=f"{expected} in the file", found=f"{found}, so that HDF5 would make up the others")


def _inflated_bytes(content: bytes, *, most: int) -> int:
    """How many bytes a chunk inflates to; beyond `most` it is not gone on with. Raises `ValueError`."""
    inflater, found = zlib.decompressobj(), 0
    while not inflater.eof and found <= most:
        try:
            part = inflater.decompress(content, 2**20)
        except zlib.error as error:
            raise ValueError("a chunk cannot be inflated") from error
        content = inflater.unconsumed_tail
        if not part and not content and not inflater.eof:
            raise ValueError("a chunk ends too early")
        found += len(part)
    return found


def _lzf_bytes(content: bytes, *, most: int) -> int:
    """How many bytes an LZF chunk inflates to; beyond `most` it is not gone on with. Raises `ValueError`.

    A byte below 32 says how many bytes follow as they are; any other one that some are repeated, so many as its upper
    three bits say, or, where these are all set, the next byte besides; the last byte says from where.
    """
    at, end, found = 0, len(content), 0
    while at < end and found <= most:
        control = content[at]
        if control < 32:
            at += control + 2
            found += control + 1
        elif control < 224:
            at += 2
            found += (control >> 5) + 2
        else:
            found += content[at + 1] + 9 if at + 1 < end else 0
            at += 3
    if at > end:
        raise ValueError("a chunk ends too early")
    return found


def _codes(settings: Any) -> list[int]:
    return [settings.get_filter(number)[0] for number in range(settings.get_nfilters())]


def _compressors(codes: list[int]) -> list[int]:
    """Places of the filters that change a chunk's size at will."""
    return [place for place, code in enumerate(codes) if code not in (SHUFFLE, FLETCHER32)]


def _full(node: h5py.Dataset) -> int:
    return math.prod(node.chunks or ()) * node.id.get_type().get_size()
