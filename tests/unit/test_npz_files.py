"""NPZ files of anybody: every fault is one sentence, sizes come first, what is read is what was written."""

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence

from surefoot.data import allowance
from surefoot.data.npz_files import Field, check_fields, read_npz
from surefoot.errors import ConfigError, DataError
from surefoot.runs.files import read_arrays

ARRAYS: dict[str, np.ndarray] = {
    "images": np.arange(48, dtype=np.uint8).reshape(2, 2, 4, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "names": np.array(["cost 1", "∞"]),
    "name": np.array("a"),
    "count": np.array(7),
    "flags": np.array([True, False]),
    "none": np.zeros((0, 2), np.float32),
    "half": np.array([np.nan, 1], np.float16),
    "big": np.arange(3, dtype=">f4"),
}


def write(path: Path, content: bytes, *, name: str = "x.npy", **options: Any) -> Path:
    """An archive of one member that may be no array."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr(name, content)
    return path


def array_bytes(header: str, content: bytes = b"", *, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header.encode() + content


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_was_written_is_read(save: Any, tmp_path: Path) -> None:
    save(tmp_path / "a.npz", allow_pickle=False, **ARRAYS)
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == ARRAYS.keys()
    for key, values in ARRAYS.items():
        np.testing.assert_array_equal(found[key], values)
        assert found[key].dtype == values.dtype
    assert read_npz(tmp_path / "a.npz", only=["count", "gone"]).keys() == {"count"}


def found_or_refused(path: Path) -> tuple[dict[str, np.ndarray], str]:
    try:
        return read_npz(path), ""
    except DataError as error:
        return {}, str(error)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_flipped_bit_is_a_sentence_or_changes_nothing(save: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save(path, allow_pickle=False, **{key: ARRAYS[key] for key in ("images", "names", "half")})
    good = path.read_bytes()
    refused = 0
    for place in range(0, len(good), 3):
        spoilt = bytearray(good)
        spoilt[place] ^= 1 << (place % 8)
        path.write_bytes(spoilt)
        found, sentence = found_or_refused(path)
        refused += bool(sentence)
        assert not sentence or is_one_sentence(sentence)
        for key, values in found.items():
            np.testing.assert_array_equal(values, ARRAYS[key])
    assert refused > 0.2 * len(good)  # of a third; the others are dates, padding and rights


def test_every_shortened_file_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, allow_pickle=False, half=ARRAYS["half"])
    good = path.read_bytes()
    for size in range(0, len(good), 5):
        path.write_bytes(good[:size])
        with pytest.raises(DataError) as refusal:
            read_npz(path)
        assert is_one_sentence(str(refusal.value))


HEADER = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}\n"


@pytest.mark.parametrize(
    ("descr", "shape", "found"),
    [
        ("'<f4'", "(4611686018427387904,)", "found shape"),
        ("'<f4'", "(1000000, 1000000)", "4,000,000,000,000 bytes of float32, found 8 bytes"),
        ("'<f4'", "(-2,)", "found shape '(-2,)'"),
        ("'<f4'", "(True, 2)", "found shape"),
        ("'<f4'", "(1,) * 20", "something else"),
        ("'<f4'", "(" + "1," * 40 + ")", "found shape"),
        ("'<f4'", "(1.5,)", "something else"),
        ("'<f4'", "(2", "something else"),
        ("'<f4'", "(" * 300, "something else"),
        ("'|O'", "(1,)", "found values of type 'object'"),
        ("'<c8'", "(1,)", "found values of type 'complex64'"),
        ("'<M8[s]'", "(1,)", "found values of type 'datetime64[s]'"),
        ("'|V8'", "(1,)", "found values of type"),
        ("'|S8'", "(1,)", "found values of type"),
        ("[('a', '<f4'), ('b', '<f4')]", "(1,)", "found values of type"),
        ("('<f4', (2,))", "(1,)", "found values of type"),
        ("'<U0'", "(10000000000,)", "0 bytes of <U0, found 8 bytes"),
        ("'<U2'", "(1,)", "expected text, found letters that there are not"),
        ("'|b1'", "(8,)", "expected only 0 and 1, found 255"),
        ("'hello'", "(1,)", "something else"),
        ("__import__('os')", "(1,)", "something else"),
    ],
)
def test_hostile_headers_are_refused(descr: str, shape: str, found: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", array_bytes(HEADER.format(descr, shape), b"\xff" * 8))
    with pytest.raises(DataError) as refusal:
        read_npz(path)
    assert found in str(refusal.value)
    assert is_one_sentence(str(refusal.value))


@pytest.mark.parametrize("version", [b"\x03\x00", b"\x00\x00", b"\x09\x09"])
def test_other_versions_are_refused(version: bytes, tmp_path: Path) -> None:
    content = array_bytes(HEADER.format("'<f4'", "(2,)"), b"\0" * 8, version=version)
    with pytest.raises(DataError, match=r"expected a "):
        read_npz(write(tmp_path / "a.npz", content))


def test_other_archives_are_refused(tmp_path: Path) -> None:
    content = array_bytes(HEADER.format("'<f4'", "(2,)"), b"\0" * 8)
    assert read_npz(write(tmp_path / "good.npz", content))["x"].tolist() == [0, 0]
    with pytest.raises(DataError, match="x: expected an array that is stored or deflated"):
        read_npz(write(tmp_path / "a.npz", content, compression=zipfile.ZIP_BZIP2))
    with pytest.raises(DataError, match="expected a readable NPZ file without pickles, found something else"):
        read_npz(write(tmp_path / "a.npz", b"import os"))
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.writestr("x.npy", content)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", content)
    with pytest.raises(DataError, match="expected at most 1000 arrays, each once, found 2"):
        read_npz(tmp_path / "twice.npz")
    with pytest.raises(DataError, match="found something that is no file"):
        read_npz(tmp_path)
    with pytest.raises(DataError, match="without pickles, found nothing"):
        read_npz(tmp_path / "gone.npz")


def test_a_file_that_inflates_beyond_belief_takes_no_memory(tmp_path: Path) -> None:
    """160 MB of zeros in 0.2 MB."""
    path = tmp_path / "bomb.npz"
    header = array_bytes(HEADER.format("'|u1'", "(160000000,)"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        member.write(header)
        for _ in range(40):
            member.write(bytes(4_000_000))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"expected arrays that fit a file of 0\.2 MB, found 160\.0 MB"):
        read_npz(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6
    assert read_npz(path, only=["y"]) == {}


def test_a_member_that_says_less_than_it_holds_is_refused(tmp_path: Path) -> None:
    """The size in the directory is that of the header's array; what is stored goes on."""
    content = io.BytesIO()
    np.save(content, np.zeros(2, np.float32))
    size = len(content.getvalue())
    path = write(tmp_path / "a.npz", content.getvalue() + bytes(10**6), compression=zipfile.ZIP_DEFLATED)
    spoilt = path.read_bytes().replace(struct.pack("<L", size + 10**6), struct.pack("<L", size))
    path.write_bytes(spoilt)
    with pytest.raises(DataError, match="Bad CRC-32"):
        read_npz(path)


def test_memory_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(1000))
    monkeypatch.setattr(allowance, "available_memory", lambda: 10_000)
    assert len(read_npz(tmp_path / "a.npz")["x"]) == 1000
    with pytest.raises(DataError, match=r"expected 0\.0 MB of memory for the data"):
        read_npz(tmp_path / "a.npz", held=3000)


# --- what a report needs ---------------------------------------------------------------------------------------------

FIELDS = {
    "learned": Field("f", (3, "seeds", "side", "side")),
    "axis": Field("f", ("side",), finite=True),
    "images": Field("uint8", ("n?", 2), optional=True),
}
GOOD: dict[str, np.ndarray] = {
    "learned": np.zeros((3, 2, 5, 5)), "axis": np.zeros(5), "images": np.zeros((0, 2), np.uint8),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"learned": np.zeros((3, 2, 5, 4))},
            r"learned: expected shape \[3, 2, 5, 5\], found shape \[3, 2, 5, 4\]",
        ),
        ({"learned": np.zeros((3, 0, 5, 5))}, r"learned: expected shape \[3, seeds, side, side\]"),
        ({"learned": np.zeros((2, 2, 5, 5))}, r"learned: expected shape \[3, seeds"),
        ({"learned": np.zeros((3, 2, 5, 5), int)}, "learned: expected floats, found 'int64'"),
        ({"learned": None}, "learned: expected an array of that name, found none"),
        ({"axis": np.zeros(4)}, r"axis: expected shape \[5\], found shape \[4\]"),
        ({"axis": np.zeros(())}, r"axis: expected shape \[5\], found shape \[\]"),
        ({"axis": np.array([0, 1, 2, 3, np.nan])}, "axis: expected finite numbers, found nan in row 4"),
        ({"images": np.zeros((1, 2), np.uint16)}, "images: expected uint8, found 'uint16'"),
    ],
)
def test_arrays_are_what_is_declared(changes: Any, sentence: str, tmp_path: Path) -> None:
    check_fields(tmp_path, GOOD, FIELDS)
    check_fields(tmp_path, {key: GOOD[key] for key in ("learned", "axis")}, FIELDS)
    arrays = {key: values for key, values in (GOOD | changes).items() if values is not None}
    with pytest.raises(DataError, match=sentence):
        check_fields(tmp_path, arrays, FIELDS)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ConfigError, match=rf"expected maps, found a file that cannot be read \({sentence}") as refusal:
        read_arrays(tmp_path / "a.npz", FIELDS, what="maps")
    assert is_one_sentence(str(refusal.value))
    assert str(refusal.value).endswith("; evaluate again.")


def test_a_group_of_arrays_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", other=np.zeros(1), unknown=np.array([None]))
    other = {"other": Field("f", (1,))}
    assert read_arrays(tmp_path / "a.npz", FIELDS, other).keys() == {"other"}
    assert read_arrays(tmp_path / "gone.npz", FIELDS) == {}
