"""HDF5 invents no values and reads no other files: every format, every kind of storage; sizes before any reading."""

import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import BINARY_TASK, POINT_ROBOT, file_arrays, is_one_sentence, make_dataset, write_arrays

from surefoot import data
from surefoot.data import allowance, chunks, episode_files, pixels, storage
from surefoot.data.checksums import CHECKSUM, write_text
from surefoot.data.d4rl import load_d4rl
from surefoot.data.frame_stream import FrameStream
from surefoot.data.frames import FrameData
from surefoot.data.library import format_of
from surefoot.data.minari import load_minari, save_minari
from surefoot.errors import DataError
from surefoot.tasks import get_task

IMAGES = get_task("HazardRun")
HOPPER = get_task("Hopper")


def frames() -> FrameData:
    """Two episodes of ten frames."""
    rng = np.random.default_rng(0)
    assert IMAGES.image_shape is not None
    first = np.arange(20) % 10 == 0
    return FrameData(
        IMAGES.name, rng.integers(0, 255, (20, *IMAGES.image_shape), np.uint8),
        rng.uniform(-1, 1, (20, IMAGES.action_dim)).astype(np.float32), np.ones(20, np.float32),
        np.zeros(20, np.float32), first, np.zeros(20, bool), np.roll(first, -1),
    )  # fmt: skip


def write_dsrl(folder: Path) -> Path:
    data.save(folder / "dsrl.hdf5", make_dataset())
    return folder / "dsrl.hdf5"


def write_d4rl(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    ends = np.arange(40) % 20 == 19
    observations = rng.normal(size=(40, HOPPER.observation_dim))
    arrays = {
        "observations": observations, "next_observations": np.roll(observations, -1, 0),
        "actions": rng.uniform(-1, 1, (40, HOPPER.action_dim)), "rewards": rng.normal(size=40),
        "terminals": ends, "timeouts": np.zeros(40, bool), "infos/qpos": rng.normal(size=(40, 6)),
    }  # fmt: skip
    write_arrays(folder / "d4rl.hdf5", arrays)
    return folder / "d4rl.hdf5"


def write_minari(folder: Path) -> Path:
    save_minari(folder / "minari", make_dataset(), POINT_ROBOT)
    return folder / "minari" / "data" / "main_data.hdf5"


def write_frames(folder: Path) -> Path:
    pixels.save(folder / "frames.hdf5", frames())
    return folder / "frames.hdf5"


def write_episodes(folder: Path) -> Path:
    episode_files.save(folder / "episodes", frames(), IMAGES, labels=["a", "b"], card={})
    return folder / "episodes" / "episodes" / "000001.hdf5"


def load_episodes(path: Path, *, in_memory: bool = True) -> Any:
    return episode_files.load_episodes(path.parents[1], IMAGES, in_memory=in_memory)


Write = Callable[[Path], Path]
Load = Callable[[Path], Any]
FORMATS: dict[str, tuple[Write, Load, tuple[str, ...]]] = {
    "dsrl": (
        write_dsrl, lambda path: data.load(path, POINT_ROBOT), ("observations", "costs", "timeouts", "constraints"),
    ),
    "mapped": (
        write_dsrl, lambda path: data.load(path, POINT_ROBOT, mapped=True), ("observations", "costs", "timeouts"),
    ),
    "d4rl": (
        write_d4rl, lambda path: load_d4rl(path, HOPPER),
        ("observations", "rewards", "next_observations", "timeouts", "infos/qpos"),
    ),
    "minari": (
        write_minari, lambda path: load_minari(path.parents[1], POINT_ROBOT),
        ("episode_1/observations", "episode_0/rewards", "episode_1/infos/cost", "episode_1/infos/constraint"),
    ),
    "frames": (write_frames, lambda path: pixels.load(path, IMAGES), ("observations", "costs", "is_first")),
    "mapped frames": (write_frames, lambda path: pixels.load(path, IMAGES, mapped=True), ("observations", "actions")),
    "episodes": (write_episodes, load_episodes, ("observations", "costs", "is_first")),
}  # fmt: skip
CASES = [(name, key) for name, (_, _, keys) in FORMATS.items() for key in keys]

Spoil = Callable[[h5py.File, str, np.ndarray], None]


def virtual(file: h5py.File, key: str, old: np.ndarray) -> None:
    layout = h5py.VirtualLayout(old.shape, old.dtype)
    layout[:] = h5py.VirtualSource("gone.hdf5", key, old.shape)
    file.create_virtual_dataset(key, layout)


def external_storage(file: h5py.File, key: str, old: np.ndarray) -> None:
    file.create_dataset(key, old.shape, old.dtype, external=[("/bin/sh", 0, h5py.h5f.UNLIMITED)])


def external_link(file: h5py.File, key: str, old: np.ndarray) -> None:
    other = Path(file.filename).with_name("other.hdf5")
    write_arrays(other, {"there": old})
    file[key] = h5py.ExternalLink(str(other), "there")


def soft_link_to_another_file(file: h5py.File, key: str, old: np.ndarray) -> None:
    external_link(file, "outside", old)
    file[key] = h5py.SoftLink("/outside")


def circle(file: h5py.File, key: str, old: np.ndarray) -> None:
    file[key] = h5py.SoftLink("/other")
    file["other"] = h5py.SoftLink(f"/{key}")


def unwritten(file: h5py.File, key: str, old: np.ndarray) -> None:
    file.create_dataset(key, old.shape, old.dtype)


def no_chunk(file: h5py.File, key: str, old: np.ndarray) -> None:
    file.create_dataset(key, old.shape, old.dtype, chunks=True, compression="gzip", fillvalue=old.reshape(-1)[0])


def chunk_missing(file: h5py.File, key: str, old: np.ndarray) -> None:
    file.create_dataset(key, old.shape, old.dtype, chunks=(3, *old.shape[1:]), compression="gzip")[:4] = old[:4]


FAULTS: dict[str, tuple[Spoil, str]] = {
    "virtual": (virtual, "a virtual dataset, whose values lie in other files"),
    "external storage": (external_storage, "external storage in '/bin/sh'"),
    "external link": (external_link, "a link into another file"),
    "soft link": (soft_link_to_another_file, "a link into another file"),
    "circle": (circle, "links that lead nowhere"),
    "unwritten": (unwritten, "found 0, so that HDF5 would make up the others"),
    "no chunk": (no_chunk, "found 0, so that HDF5 would make up the others"),
    "chunk missing": (chunk_missing, "found 2, so that HDF5 would make up the others"),
}


@pytest.fixture(scope="module", params=list(FORMATS))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, FORMATS[request.param][0](tmp_path_factory.mktemp("storage"))


@pytest.mark.parametrize("fault", list(FAULTS))
def test_values_that_do_not_lie_in_the_file_are_refused(fault: str, written: tuple[str, Path]) -> None:
    name, path = written
    good = path.read_bytes()
    _, load, keys = FORMATS[name]
    load(path)
    spoil, found = FAULTS[fault]
    for key in keys:
        path.write_bytes(good)
        with h5py.File(path, "r+") as file:
            old = np.asarray(file[key])
            del file[key]
            spoil(file, key, old)
        with pytest.raises(DataError) as refusal:
            load(path)
        assert f"{path.name}: {key}: expected " in str(refusal.value)
        assert found in str(refusal.value)
        assert is_one_sentence(str(refusal.value))
    path.write_bytes(good)


def test_links_within_the_file_are_followed(tmp_path: Path) -> None:
    path = write_dsrl(tmp_path)
    with h5py.File(path, "r+") as file:
        file["group/inner"] = file["costs"]
        del file["costs"]
        file["costs"] = h5py.SoftLink("group/inner")
        file["group/link"] = h5py.SoftLink("inner")
    assert data.load(path, POINT_ROBOT).fingerprint() == make_dataset().fingerprint()
    with storage.reading(path) as file:
        assert isinstance(storage.find(path, file, "group/link"), h5py.Dataset)


def test_a_format_is_found_without_opening_other_files(tmp_path: Path) -> None:
    path = write_d4rl(tmp_path)
    assert format_of(path, HOPPER) == "d4rl"
    with h5py.File(path, "r+") as file:
        file["costs"] = h5py.ExternalLink("gone.hdf5", "/costs")
    assert format_of(path, HOPPER) == "dsrl"


LZF = bytes([31, *range(32)])
"""The begin of a chunk: 32 bytes as they are."""


@pytest.mark.parametrize(("filters", "expected"), [([307], "compression by gzip"), ([1, 1], "one compression, once")])
def test_filters_are_known_and_there_once(filters: list[int], expected: str, tmp_path: Path) -> None:
    path = write_dsrl(tmp_path)
    with h5py.File(path, "r+") as file:
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((60,))
        for number in filters:
            settings.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (4,))
        del file["costs"]
        space = h5py.h5s.create_simple((60,))
        h5py.h5d.create(file.id, b"costs", h5py.h5t.NATIVE_FLOAT, space, settings).write_direct_chunk((0,), b"x" * 240)
    with pytest.raises(DataError, match=f"costs: expected {expected}"):
        data.load(path, POINT_ROBOT)


@pytest.mark.parametrize(
    ("options", "content", "sentence"),
    [
        (
            {"compression": "gzip"},
            zlib.compress(bytes(236)),
            r"costs: expected 240 bytes in the chunk .*found 236",
        ),
        ({"compression": "gzip"}, zlib.compress(bytes(10**7)), r"costs: expected 240 bytes .*, found more than 240"),
        ({"compression": "gzip"}, zlib.compress(bytes(240))[:-6], "costs: expected a readable array, found a fault"),
        (
            {"compression": "gzip"},
            b"1234",
            r"costs: expected a readable array, found a fault \(a chunk cannot",
        ),
        # 32 bytes as they are, then the byte before 191 + 9 times: 8 bytes too few
        ({"compression": "lzf"}, LZF + bytes([224, 191, 0]), r"costs: expected 240 bytes in the chunk .*found 232"),
        ({"compression": "lzf"}, LZF + bytes([224, 255, 0]) * 9, r"costs: expected 240 bytes .*, found more than 240"),
        ({"compression": "lzf"}, LZF + bytes([224, 199]), r"costs: expected a readable .* \(a chunk ends too early"),
        ({"compression": "lzf"}, LZF[:-9], r"costs: expected a readable array, found a fault \(a chunk ends too early"),
        ({}, bytes(236), "costs: expected whole chunks within the file, found one of 236 bytes"),
        (
            {"scaleoffset": 2},
            bytes(50),
            r"costs: expected compression by gzip, .*, found filter 6",
        ),
    ],
)
def test_chunks_hold_what_they_must(options: Any, content: bytes, sentence: str, tmp_path: Path) -> None:
    """HDF5 gave the memory's content where a chunk inflates to too little, and inflated all of the second."""
    path = write_dsrl(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["costs"]
        file.create_dataset("costs", (60,), "f4", chunks=(60,), **options).id.write_direct_chunk((0,), content)
    tracemalloc.start()
    with pytest.raises(DataError, match=sentence):
        data.load(path, POINT_ROBOT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
@pytest.mark.parametrize("fletcher32", [False, True])
def test_what_others_compress_is_read(compression: str | None, fletcher32: bool, tmp_path: Path) -> None:
    """Also chunks that LZF left as they were, because it would have made them larger."""
    options = {"chunks": True, "shuffle": True, "fletcher32": fletcher32, "compression": compression}
    write_arrays(tmp_path / "data.hdf5", file_arrays(make_dataset()), **options)
    assert data.load(tmp_path / "data.hdf5", POINT_ROBOT).fingerprint() == make_dataset().fingerprint()


def huge(path: Path, rows: int, **options: Any) -> None:
    """A file of PointRobot's keys that declares so many rows."""
    with h5py.File(path, "w") as file:
        for key, array in file_arrays(make_dataset()).items():
            file.create_dataset(key, (rows, *array.shape[1:]), array.dtype, **options)


def test_a_small_file_that_declares_many_rows_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.hdf5"
    huge(path, 60_000_000, chunks=True, compression="gzip")
    tracemalloc.start()
    with pytest.raises(DataError, match=r"observations: expected .* chunks in the file, found 0"):
        data.load(path, POINT_ROBOT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_what_inflates_beyond_belief_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 rows of all keys take 60 * (2 * 11 * 4 + 2 * 4 + 3 * 4 + 2) = 6,600 bytes in memory."""
    path = tmp_path / "data.hdf5"
    write_arrays(path, file_arrays(make_dataset()), compression="gzip", chunks=True)
    size = path.stat().st_size
    data.load(path, POINT_ROBOT)
    monkeypatch.setattr(allowance, "SMALL_BYTES", 6000)
    data.load(path, POINT_ROBOT)
    monkeypatch.setattr(allowance, "LARGEST_RATIO", 6599 / size)
    with pytest.raises(DataError, match=r"expected at most 0.0 MB in a file of 0.0 MB, found 0.0 MB, declared by"):
        data.load(path, POINT_ROBOT)
    monkeypatch.setattr(allowance, "LARGEST_RATIO", 6601 / size)
    data.load(path, POINT_ROBOT)
    monkeypatch.setattr(allowance, "SMALL_BYTES", 60 * 11 * 4 - 1)
    monkeypatch.setattr(allowance, "LARGEST_STRIPE_RATIO", 0)
    with pytest.raises(DataError, match=r"observations: expected chunks that take at most 0.0 MB for a row"):
        data.load(path, POINT_ROBOT)


@pytest.mark.parametrize("name", ["dsrl", "d4rl", "minari", "frames", "episodes"])
def test_data_that_do_not_fit_into_memory_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, load, _ = FORMATS[name]
    path = write(tmp_path)
    monkeypatch.setattr(allowance, "available_memory", lambda: 100)
    with pytest.raises(DataError, match=r"MB of memory for the data, found 0.0 MB that are free"):
        load(path)


def test_mapped_data_need_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dsrl(tmp_path)
    monkeypatch.setattr(allowance, "available_memory", lambda: 200)  # for two flags a row
    assert len(data.load(path, POINT_ROBOT, mapped=True)) == 60


def test_episodes_are_looked_at_before_the_other_arrays_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flags of a byte a row tell data from a sparse file of zeros."""
    arrays = file_arrays(make_dataset())
    arrays["terminals"][:] = arrays["timeouts"][:] = False
    write_arrays(tmp_path / "data.hdf5", arrays)
    read: list[str] = []
    blocks = storage.read_blocks
    monkeypatch.setattr(storage, "read_blocks", lambda path, key, node: read.append(key) or blocks(path, key, node))
    with pytest.raises(DataError, match="terminals and timeouts: expected a 1 where an episode ends"):
        data.load(tmp_path / "data.hdf5", POINT_ROBOT)
    assert read == ["terminals", "timeouts"]


def test_a_fault_in_the_first_rows_is_found_before_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = file_arrays(make_dataset())
    arrays["observations"][1, 0] = np.nan
    write_arrays(tmp_path / "data.hdf5", arrays, chunks=True)
    monkeypatch.setattr(storage, "BLOCK_BYTES", 1)
    read: list[int] = []

    def spying(path: Path, key: str, node: h5py.Dataset) -> Any:
        for start, values in blocks(path, key, node):
            read.append(start)
            yield start, values

    blocks = storage.read_blocks
    monkeypatch.setattr(storage, "read_blocks", spying)
    with pytest.raises(DataError, match="observations: expected finite numbers, found nan in row 1, column 0"):
        data.load(tmp_path / "data.hdf5", POINT_ROBOT)
    assert read == [0, 0, 0]  # of two flags, then of the observations


def test_blocks_follow_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 7 rows of 4 bytes; blocks of 60 bytes hold two of them, and of 10 one all the same."""
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        node = file.create_dataset("costs", data=np.arange(20, dtype=np.float32), chunks=(7,))
        for size, starts in ((60, [0, 14]), (10, [0, 7, 14])):
            monkeypatch.setattr(storage, "BLOCK_BYTES", size)
            found = list(storage.read_blocks(tmp_path, "costs", node))
            assert [start for start, _ in found] == starts
            np.testing.assert_array_equal(np.concatenate([values for _, values in found]), np.arange(20))


def test_the_card_is_one_string_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.hdf5"
    write_arrays(path, file_arrays(make_dataset()), card=["{}"] * 5)
    with pytest.raises(DataError, match="card: expected one string that holds a JSON object, found an array of them"):
        data.load(path, POINT_ROBOT)
    write_arrays(path, file_arrays(make_dataset()), card='{"note": "' + "x" * 1000 + '"}')
    data.load(path, POINT_ROBOT)
    monkeypatch.setattr(storage, "LARGEST_TEXT", 1000)
    with pytest.raises(DataError, match=r"card: expected at most 0.0 MB of text"):
        data.load(path, POINT_ROBOT)


def test_a_group_of_very_many_keys_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_minari(tmp_path)
    monkeypatch.setattr(storage, "MOST_NAMES", 1)
    with pytest.raises(DataError, match="expected at most 1 keys, found 3"):
        load_minari(path.parents[1], POINT_ROBOT)


# --- checksums -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dsrl", "mapped", "minari", "frames", "mapped frames"])
def test_a_flipped_bit_of_an_array_that_we_wrote_is_refused(name: str, tmp_path: Path) -> None:
    """The lowest bit of a float's fraction, of an image, of a flag: values that may be, and are not those written."""
    write, load, keys = FORMATS[name]
    path = write(tmp_path)
    good = path.read_bytes()
    for key in keys:
        with h5py.File(path) as file:
            node: Any = file[key]
            chunk = node.id.get_chunk_info(0) if node.chunks else None
            offset = node.id.get_offset() if chunk is None else chunk.byte_offset
        for bit in (0, 1, 6):
            spoilt = bytearray(good)
            spoilt[offset + 8 * (node is not None)] ^= 1 << bit
            path.write_bytes(spoilt)
            with pytest.raises(DataError, match=f"{key}: expected "):
                load(path)
        path.write_bytes(good)
    load(path)


def test_the_sentence_says_what_was_written_and_how_to_go_on(tmp_path: Path) -> None:
    path = write_dsrl(tmp_path)
    with h5py.File(path, "r+") as file:
        file["rewards"][3] += 1.0  # pyright: ignore[reportIndexIssue, reportOperatorIssue]
        written = str(storage.read_text(path, cast(h5py.Dataset, file["rewards"]), CHECKSUM))
    expected = f"rewards: expected the values that were written, '{written}', found crc32:"
    for load in (FORMATS["dsrl"][1], FORMATS["mapped"][1]):
        with pytest.raises(DataError, match=expected) as refusal:
            load(path)
        assert is_one_sentence(str(refusal.value))
    with pytest.raises(DataError, match=expected):
        data.rewrite(path, tmp_path / "new.hdf5", POINT_ROBOT)
    with h5py.File(path, "r+") as file:
        del file["rewards"].attrs[CHECKSUM]
    assert data.load(path, POINT_ROBOT).required_rewards[3] == make_dataset().required_rewards[3] + 1


def test_an_array_whose_name_is_lost_is_missed(tmp_path: Path) -> None:
    """Without constraints the task would take the file all the same."""
    dataset = make_dataset(BINARY_TASK)
    path = tmp_path / "data.hdf5"
    data.save(path, data.Dataset(**{**vars(dataset), "constraints": dataset.rewards}))
    with h5py.File(path, "r+") as file:
        file.move("constraints", "constraint3")
    with pytest.raises(DataError, match="constraints: expected an array of that name, as when the file was written"):
        data.load(path, BINARY_TASK)


def test_a_flag_of_two_is_no_flag(tmp_path: Path) -> None:
    """As a flipped bit leaves it in a file without checksums."""
    path = tmp_path / "data.hdf5"
    write_arrays(path, file_arrays(make_dataset()))
    with h5py.File(path) as file:
        offset = file["terminals"].id.get_offset()  # pyright: ignore[reportAttributeAccessIssue]
    spoilt = bytearray(path.read_bytes())
    spoilt[offset + 19] ^= 4
    path.write_bytes(spoilt)
    with pytest.raises(DataError, match="terminals: expected only 0 and 1, found 5 in row 19"):
        data.load(path, POINT_ROBOT)


def test_an_episode_that_is_missing_from_a_finished_folder_is_missed(tmp_path: Path) -> None:
    path = write_episodes(tmp_path)
    folder = path.parents[1]
    assert len(episode_files.load(folder, IMAGES, in_memory=True).lengths) == 2
    episode_files.write_card(folder, IMAGES, {"coverage": {"episodes": 2}})
    assert len(episode_files.load(folder, IMAGES, in_memory=True).lengths) == 2
    path.unlink()
    with pytest.raises(DataError, match="episodes: expected 2 files, as the card counts, found 1; put back what is"):
        episode_files.load(folder, IMAGES, in_memory=True)


# --- data that are shortened while they are read ----------------------------------------------------------------------


def shortened(path: Path) -> str:
    """Cut a file in the middle; the sentence that every read of its last rows must end in."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 4)
    return rf"{path.name}: expected at least [\d,]+ bytes, as when it was opened, found {size // 4:,}: the file was"


def test_mapped_data_that_shrink_are_a_sentence_not_a_bus_error(tmp_path: Path) -> None:
    path = write_dsrl(tmp_path)
    dataset = data.load(path, POINT_ROBOT, mapped=True)
    stream = data.TransitionStream(dataset, lambda part: data.to_transitions(part, reward_scale=1.0))
    sentence = shortened(path)
    for rows in (np.arange(60), np.array([59, 3, 58, 57])):  # in a run, and one by one
        with pytest.raises(DataError, match=sentence) as refusal:
            stream.take(rows)
        assert is_one_sentence(str(refusal.value))
    for read in (dataset.fingerprint, lambda: dataset.returns, lambda: dataset.violating_steps):
        with pytest.raises(DataError, match=sentence):
            read()


def test_mapped_images_that_shrink_are_a_sentence_too(tmp_path: Path) -> None:
    path = write_frames(tmp_path)
    stream = FrameStream(pixels.load(path, IMAGES, mapped=True), length=5)
    whole = stream.take(np.arange(16))
    np.testing.assert_array_equal(np.asarray(whole.observation)[15], frames().observations[15:20])
    sentence = shortened(path)
    with pytest.raises(DataError, match=sentence):
        stream.take(np.array([2, 15]))


def test_compressed_episodes_that_shrink_are_a_sentence_too(tmp_path: Path) -> None:
    path = write_episodes(tmp_path)
    stream = FrameStream(load_episodes(path, in_memory=False), length=5)
    shortened(path)
    with pytest.raises(DataError, match=r"000001.hdf5: observations: expected compressed images .* damaged or short"):
        stream.take(np.array([15]))


def test_a_system_without_positioned_reads_copies_from_the_mapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = data.load(write_dsrl(tmp_path), POINT_ROBOT, mapped=True)
    monkeypatch.delattr("os.preadv")
    monkeypatch.delattr("os.posix_fadvise")
    assert dataset.fingerprint() == make_dataset().fingerprint()
    np.testing.assert_array_equal(dataset.take(np.array([59, 3])).actions, make_dataset().actions[[59, 3]])


def test_text_is_written_with_its_length_outside_of_the_heap(tmp_path: Path) -> None:
    # libhdf5 searched a damaged heap for ever; what it holds has no checksum.
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        write_text(file, "card", '{"task": "é"}')
        write_text(file, "long", "x" * 70_000)
        assert h5py.check_string_dtype(file.attrs.get_id("card").dtype).length == 14
    with storage.reading(tmp_path / "a.hdf5") as file:
        assert storage.read_text(tmp_path, file, "card") == '{"task": "é"}'
        assert storage.read_text(tmp_path, file, "long") == "x" * 70_000


# --- text of variable length -----------------------------------------------------------------------------------------


def test_a_heap_that_never_ends_is_refused(tmp_path: Path) -> None:
    """libhdf5 would walk for ever through a heap whose free space takes no bytes."""
    path = tmp_path / "data.hdf5"
    write_arrays(path, file_arrays(make_dataset()), card='{"note": "a"}')
    data.load(path, POINT_ROBOT)
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    first = heap + 16 + 16 + (len('{"note": "a"}') + 7) // 8 * 8  # the heap's head, the text's entry: then free space
    assert int.from_bytes(content[first : first + 2], "little") == 0
    content[first + 8 : first + 16] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"card: expected a readable attribute, found a fault \(an entry of a heap"):
        data.load(path, POINT_ROBOT)
    content[heap + 8 : heap + 16] = (2**40).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"card: expected a readable attribute, found a fault \(text of 1,099"):
        data.load(path, POINT_ROBOT)


@pytest.mark.parametrize("dtype", ["f4", "u1"])
def test_the_size_of_an_lzf_chunk_is_that_which_hdf5_inflates(dtype: str, tmp_path: Path) -> None:
    """Of values that repeat at all distances and lengths, and of random ones."""
    random = np.random.default_rng(0)
    for number, drawn in enumerate([np.repeat(random.integers(9, size=500), 7), random.integers(250, size=4000)]):
        values = np.concatenate([drawn, np.zeros(3000), np.tile(drawn[:70], 30)]).astype(dtype)
        with h5py.File(tmp_path / f"{number}.hdf5", "w") as file:
            file.create_dataset("x", data=values, chunks=values.shape, compression="lzf")
            mask, content = file["x"].id.read_direct_chunk((0,))
        assert mask == 0
        assert chunks._lzf_bytes(content, most=values.nbytes) == values.nbytes
