"""Folders of compressed episodes: written, refused, read by stretches, streamed as the same windows."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.data import FrameStream, episode_files
from surefoot.data.compressed import CompressedImages
from surefoot.data.episode_files import CHUNK_FRAMES
from surefoot.data.frame_stream import in_memory, stays_in_files
from surefoot.data.frames import FrameData
from surefoot.errors import DataError
from surefoot.tasks import Task, get_task

TASK = replace(get_task("HazardRun"), horizon=60)  # its episodes are shorter than four chunks
LABELS = ["random", "careful", "random"]


def frames(lengths: tuple[int, ...] = (40, 3, 20)) -> FrameData:
    """Episodes of so many frames."""
    rng = np.random.default_rng(0)
    place = np.concatenate([np.arange(length) for length in lengths])
    last = np.concatenate([np.arange(length) == length - 1 for length in lengths])
    count = len(place)
    earned = np.where(place == 0, 0.0, np.arange(count)).astype(np.float32)
    return FrameData(
        TASK.name,
        rng.integers(0, 256, (count, 16, 16, 3)).astype(np.uint8),
        np.where(last, 0.0, rng.uniform(-1, 1, (2, count))).T.astype(np.float32),
        earned,
        (earned > 5).astype(np.float32),
        place == 0,
        np.zeros(count, bool),
        last,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "episodes_of_hazard_run"
    episode_files.save(path, frames(), TASK, labels=LABELS, card={"seed": 3})
    return path


def test_what_is_written_is_read_back_with_its_labels(folder: Path) -> None:
    found = episode_files.load(folder, TASK, in_memory=True)
    assert found.fingerprint() == frames().fingerprint()
    assert episode_files.behaviors(folder) == LABELS
    assert episode_files.read_card(folder) == {"task": "HazardRun", "layout": "episodes", "seed": 3}


def test_images_stay_compressed_until_rows_are_read(folder: Path) -> None:
    found = episode_files.load(folder, TASK, in_memory=False)
    images, whole = found.observations, frames().observations
    assert isinstance(images, CompressedImages)
    assert stays_in_files(found)
    assert not stays_in_files(in_memory(found))
    assert (len(images), images.shape, images.nbytes) == (63, (63, 16, 16, 3), 63 * 768)
    # Across chunks (16 frames) and episodes (40, 43), and nothing at all.
    for start, stop in ((0, 63), (15, 17), (38, 45), (62, 63), (7, 7)):
        np.testing.assert_array_equal(images[start:stop], whole[start:stop])
    np.testing.assert_array_equal(
        images.runs(np.array([50, 3, 3]), 5), np.stack([whole[50:55], whole[3:8], whole[3:8]])
    )
    assert CHUNK_FRAMES == 16
    assert found.fingerprint() == frames().fingerprint()
    with pytest.raises(ValueError, match="slice of step 1"):
        images[0:10:2]


def test_streamed_windows_are_those_of_the_data_in_memory(folder: Path) -> None:
    length, rows = 7, np.array([[0, 56], [36, 41]])
    stream = FrameStream(episode_files.load(folder, TASK, in_memory=False), length=length)
    resident = frames().windows(length=length)
    assert stream.num_rows == resident.num_rows == 57
    found = stream.take(rows)
    assert found.observation.shape == (2, 2, 7, 16, 16, 3)
    for place in np.ndindex(rows.shape):
        expected = resident.take(jnp.array([rows[place]]))
        for name, values in expected._asdict().items():
            np.testing.assert_array_equal(np.asarray(getattr(found, name))[place], values[0], err_msg=name)
    with pytest.raises(DataError, match="expected at least 64, the length of a window, found 63"):
        FrameStream(frames(), length=64)


def refused(folder: Path, task: Task = TASK) -> str:
    with pytest.raises(DataError) as found:
        episode_files.load(folder, task, in_memory=True)
    return str(found.value)


def test_data_of_another_task_or_camera_are_refused(folder: Path, tmp_path: Path) -> None:
    assert "task: expected 'HazardRunShifted', found 'HazardRun'" in refused(folder, get_task("HazardRunShifted"))
    seen = get_task("PointGoal1Vision")
    assert seen.vision is not None
    card = {"task": seen.name, "layout": "episodes", "vision": seen.vision._replace(action_repeat=5)._asdict()}
    (folder / "card.json").write_text(json.dumps(card))
    assert "vision.action_repeat: expected 4, found 5" in refused(folder, seen)
    (folder / "card.json").unlink()
    assert "card.json: expected the card of a finished collection, found no such file" in refused(folder)
    assert "expected at least one episode, found none" in _nothing(tmp_path)


def _nothing(tmp_path: Path) -> str:
    empty = tmp_path / "empty"
    (empty / "episodes").mkdir(parents=True)
    episode_files.write_card(empty, TASK, {})
    return refused(empty)


def test_damaged_files_are_named(folder: Path) -> None:
    path = folder / "episodes" / "000001.hdf5"
    content = path.read_bytes()
    found = episode_files.load(folder, TASK, in_memory=False)
    spoilt = [chunk for chunk in found.observations._chunks if chunk.path == path]  # pyright: ignore[reportAttributeAccessIssue]
    start = spoilt[0].offset
    path.write_bytes(content[:start] + b"\0" * 40 + content[start + 40 :])
    assert "000001.hdf5: observations: expected compressed images, found a damaged file" in refused(folder)
    path.write_bytes(b"no HDF5")
    assert "000001.hdf5" in refused(folder)


def test_images_and_labels_that_are_not_what_was_written_are_refused(folder: Path) -> None:
    """Whole chunks of other images, and one letter of a label: neither gzip nor HDF5 notices. Before, both passed."""
    path = folder / "episodes/000000.hdf5"
    content = path.read_bytes()
    chunks = episode_files.load(folder, TASK, in_memory=False).observations._chunks  # pyright: ignore
    first, second = (slice(one.offset, one.offset + one.size) for one in chunks[:2])  # of noise: of the same size
    swapped = bytearray(content)
    swapped[first], swapped[second] = content[second], content[first]
    label = content.replace(b"random", b"rbndom")
    for changed, key in ((bytes(swapped), "observations"), (label, "behaviour and number")):
        assert len(changed) == len(content) != changed
        path.write_bytes(changed)
        with pytest.raises(DataError, match=rf"000000\.hdf5: {key}: expected .*written, 'crc32:.* damaged or edited"):
            episode_files.load(folder, TASK, in_memory=False)
    path.write_bytes(content)
    with h5py.File(path, "r+") as file:  # as earlier versions wrote it
        for node in (file, file["observations"]):
            del node.attrs["checksum"]
    assert episode_files.load(folder, TASK, in_memory=True).fingerprint() == frames().fingerprint()


def test_an_episode_of_a_single_frame_is_refused(folder: Path) -> None:
    one = frames((2,))
    short = replace(one, **{name: array[:1] for name, array in one.arrays().items()})
    (folder / "episodes" / "000003.hdf5").write_bytes(episode_files.encode(short, behavior="random", number=0))
    assert "000003.hdf5: observations: expected at least two frames, found 1" in refused(folder)


def test_another_episodes_file_under_a_name_is_refused(folder: Path) -> None:
    path = folder / "episodes/000002.hdf5"
    path.write_bytes((folder / "episodes/000000.hdf5").read_bytes())
    with pytest.raises(DataError) as refusal:
        episode_files.load(folder, TASK, in_memory=False)
    assert str(refusal.value) == f"{path}: number: expected 2 as in the file's name, found '0'."


@pytest.mark.parametrize("name", ["0abc.hdf5", "0000000.hdf5", "1².hdf5"])
def test_an_episode_under_a_name_that_is_no_number_of_ours_is_refused(name: str, folder: Path) -> None:
    path = folder / "episodes" / name
    path.write_bytes((folder / "episodes/000000.hdf5").read_bytes())  # 0000000: counted twice before
    with pytest.raises(DataError) as refusal:
        episode_files.load(folder, TASK, in_memory=False)
    assert (
        str(refusal.value)
        == f"{path}: expected a number as the name of an episode's file, as 000012.hdf5, found another."
    )
