"""Chunks of the public code: read in the order of their links, written so that they are read back."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surefoot.data.frames import FrameData
from surefoot.data.npz_chunks import read_chunks, write_chunks
from surefoot.errors import DataError
from surefoot.tasks import get_task

TASK = get_task("HazardRun")


def frames(count: int = 12) -> FrameData:
    """Three episodes of four frames."""
    rng = np.random.default_rng(0)
    place = np.arange(count) % 4
    earned = np.where(place == 0, 0.0, np.arange(count)).astype(np.float32)
    return FrameData(
        "HazardRun",
        rng.integers(0, 256, (count, 16, 16, 3)).astype(np.uint8),
        np.where(place == 3, 0.0, rng.uniform(-1, 1, (2, count))).T.astype(np.float32),
        earned,
        (earned > 5).astype(np.float32),
        place == 0,
        np.zeros(count, bool),
        place == 3,
    )


def test_episodes_across_chunks_are_read_back(tmp_path: Path) -> None:
    paths = write_chunks(tmp_path, frames(), length=5)
    assert [path.name.rsplit("-", 1)[1] for path in paths] == ["5.npz", "5.npz", "2.npz"]
    assert read_chunks(tmp_path, TASK).fingerprint() == frames().fingerprint()


def test_the_links_give_the_order_and_not_the_times(tmp_path: Path) -> None:
    for place, path in enumerate(reversed(write_chunks(tmp_path, frames(), length=5))):
        path.rename(tmp_path / f"{place}-{path.name.split('-', 1)[1]}")
    assert read_chunks(tmp_path, TASK).fingerprint() == frames().fingerprint()


def test_a_stream_that_begins_within_an_episode_loses_that_episode(tmp_path: Path) -> None:
    first, *_ = write_chunks(tmp_path, frames(), length=5)
    first.unlink()
    found = read_chunks(tmp_path, TASK)
    np.testing.assert_array_equal(found.rewards, [0, 9, 10, 11])  # frames 5 to 7 have lost their start
    np.testing.assert_array_equal(found.lengths, [3])


def test_a_chunk_that_is_missing_within_a_stream_is_named(tmp_path: Path) -> None:
    first, second, _ = write_chunks(tmp_path, frames(), length=5)
    second.unlink()
    successor = first.name.split("-")[2]
    with pytest.raises(DataError, match=f"{first.name}: expected the chunk that follows it, {successor}, found none"):
        read_chunks(tmp_path, TASK)
    with np.load(first) as file:
        arrays = {key: values for key, values in file.items() if key != "log_truncated"}
    np.savez_compressed(first, **arrays)  # another program's, which names the next chunk before it is written
    assert read_chunks(tmp_path, TASK).lengths.sum() > 0


def test_the_public_codes_terminals_are_timeouts_unless_told(tmp_path: Path) -> None:
    (path,) = write_chunks(tmp_path, frames())
    with np.load(path) as file:
        arrays = {key: values for key, values in file.items() if key != "log_truncated"}
    np.savez_compressed(path, **(arrays | {"is_terminal": arrays["is_last"]}))
    assert read_chunks(tmp_path, TASK).truncated.sum() == 3
    told = read_chunks(tmp_path, TASK, terminal_is_truncated=False)
    assert told.terminated.sum() == 3
    assert not told.truncated.any()


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected chunks, \*.npz, found none"):
        read_chunks(tmp_path, TASK)
    (path,) = write_chunks(tmp_path, frames())
    with np.load(path) as file:
        arrays = dict(file)
    for changes, sentence in (
        ({"image": arrays["image"][:, :8]}, r"image: expected shape \[12, 16, 16, 3\] for task HazardRun"),
        ({"image": arrays["image"] / 255.0}, "image: expected uint8, found float64"),
        ({"cost": arrays["cost"][:3]}, r"cost: expected shape \[12\]"),
    ):
        np.savez_compressed(path, **(arrays | changes))
        with pytest.raises(DataError, match=sentence):
            read_chunks(tmp_path, TASK)
    np.savez_compressed(path, image=arrays["image"])
    with pytest.raises(DataError, match="action: expected an array of that name, found none"):
        read_chunks(tmp_path, TASK)
    path.write_bytes(b"rubbish")
    with pytest.raises(DataError, match="expected a readable NPZ file without pickles"):
        read_chunks(tmp_path, TASK)
    path.rename(tmp_path / "episode.npz")
    with pytest.raises(DataError, match="expected a name of the form time-uuid-successor-length"):
        read_chunks(tmp_path, TASK)
    with pytest.raises(DataError, match="expected a folder of chunks, found none"):
        read_chunks(tmp_path / "missing", TASK)


def test_names_that_do_not_say_what_the_files_hold_are_refused(tmp_path: Path) -> None:
    first, second, third = write_chunks(tmp_path, frames(), length=5)
    shorter = third.rename(third.with_name(third.name.replace("-2.npz", "-3.npz")))
    with pytest.raises(
        DataError, match=r"-3.npz: is_first: expected shape \[3\] as in the file's name, found shape \[2\]"
    ):
        read_chunks(tmp_path, TASK)
    shorter.rename(third)
    copy = tmp_path / f"9-{second.name.split('-', 1)[1]}"  # one of the two was left out before
    copy.write_bytes(second.read_bytes())
    with pytest.raises(DataError, match=f"{copy.name}: expected a uuid of its own, found that of {second.name}"):
        read_chunks(tmp_path, TASK)
    other = copy.rename(tmp_path / f"9-{'f' * 22}-{first.name.split('-')[2]}-5.npz")
    with pytest.raises(DataError, match=f"{other.name}: expected a successor that no other .*{first.name} names, too"):
        read_chunks(tmp_path, TASK)


def test_terminations_and_timeouts_that_we_wrote_stay_what_they_were(tmp_path: Path) -> None:
    ends = frames().truncated
    mixed = dataclasses.replace(frames(), terminated=ends & (np.arange(12) < 6), truncated=ends & (np.arange(12) >= 6))
    paths = write_chunks(tmp_path, mixed, length=5)
    for told in (True, False):
        found = read_chunks(tmp_path, TASK, terminal_is_truncated=told)
        assert (found.terminated.sum(), found.truncated.sum()) == (1, 2)
        assert found.fingerprint() == mixed.fingerprint()
    with np.load(paths[0]) as file:
        arrays: dict[str, Any] = dict(file)
    arrays |= {"log_truncated": np.zeros(5, bool), "is_terminal": np.zeros(5, bool)}
    np.savez_compressed(paths[0], **arrays)
    with pytest.raises(DataError, match=r"is_last: expected an end where .*, found True in row 3"):
        read_chunks(tmp_path, TASK)
