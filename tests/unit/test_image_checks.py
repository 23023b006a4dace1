"""Images go through the checks that vectors go through, in every format, read or written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from data_fixtures import make_dataset
from surefoot.data import episode_files, npz_chunks, pixels, rewrite, save
from surefoot.data.frames import FrameData
from surefoot.data.minari import save_minari
from surefoot.errors import DataError
from surefoot.tasks import get_task

TASK = get_task("HazardRun")
FRAMES = 5
"""Of each of three episodes: four steps."""


def frames() -> FrameData:
    rng = np.random.default_rng(0)
    place = np.arange(3 * FRAMES) % FRAMES
    first, last = place == 0, place == FRAMES - 1
    return FrameData(
        TASK.name,
        rng.integers(0, 256, (len(place), 16, 16, 3), dtype=np.uint8),
        np.where(last, 0.0, rng.uniform(-1, 1, (2, len(place)))).T.astype(np.float32),
        np.where(first, 0.0, rng.normal(size=len(place))).astype(np.float32),
        (~first & (rng.random(len(place)) < 0.5)).astype(np.float32),
        first,
        np.zeros(len(place), bool),
        last,
    )


def _put(name: str, row: int, value: float) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda arrays: arrays[name].__setitem__(row, value)


def _all(name: str, value: float) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda arrays: arrays[name].__setitem__(slice(None), value)


def _long(arrays: dict[str, np.ndarray]) -> None:
    arrays.update({name: np.repeat(array[:FRAMES], 7, axis=0) for name, array in arrays.items()})
    arrays["is_first"][:], arrays["truncated"][:] = np.arange(35) == 0, np.arange(35) == 34


# HazardRun's horizon is 30 steps; the long episode has 35 frames, 34 steps. Frame 4 is the first episode's last.
FAULTS: dict[str, tuple[Callable[[dict[str, np.ndarray]], None], str]] = {
    "large actions": (_put("actions", 6, 5.0), r"actions: expected numbers in \[-1, 1\], found 5 in row 6, column 0"),
    "nan action": (_put("actions", 6, np.nan), "actions: expected finite numbers, found nan in row 6"),
    "infinite reward": (_put("rewards", 7, np.inf), "rewards: expected finite numbers, found inf in row 7"),
    "negative cost": (_put("costs", 8, -0.5), "costs: expected numbers >= 0, found -0.5 in row 8"),
    "constant actions": (_all("actions", 0.25), "actions: expected at least one column that varies, found the same 2"),
    "constant images": (_all("observations", 7), "observations: expected at least one column that varies, found the"),
    "no end": (_all("truncated", 0), "terminals and timeouts: expected a 1 where an episode ends, found none in 15"),
    "end inside": (_put("truncated", 7, 1), "terminals and timeouts: expected an episode's end before .* row 7"),
    "too long": (_long, "within 30 steps, the horizon of HazardRun, found 34 steps in rows 0 to 33"),
    "lone frame": (_put("is_first", 4, 1), "is_first: expected episodes of at least two frames, found .* in row 4"),
}


def spoilt(fault: str) -> tuple[dict[str, np.ndarray], str]:
    arrays = {name: array.copy() for name, array in frames().arrays().items()}
    edit, message = FAULTS[fault]
    edit(arrays)
    return arrays, message


def _raw_file(path: Path, arrays: dict[str, np.ndarray]) -> Callable[[], Any]:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[pixels.KEYS[name]] = array
    return lambda: pixels.load(path, TASK)


def _raw_folder(path: Path, arrays: dict[str, np.ndarray]) -> Callable[[], Any]:
    content = episode_files.encode(FrameData(TASK.name, **arrays), behavior="random", number=0)
    (path / "episodes").mkdir(parents=True)
    (path / "episodes/000000.hdf5").write_bytes(content)
    episode_files.write_card(path, TASK, {})
    return lambda: episode_files.load(path, TASK, in_memory=False)


def _raw_chunks(path: Path, arrays: dict[str, np.ndarray]) -> Callable[[], Any]:
    path.mkdir()
    names = {"observations": "image", "actions": "action", "rewards": "reward", "costs": "cost"}
    names |= {"is_first": "is_first", "terminated": "is_terminal", "truncated": "is_last"}
    whole = {names[name]: array for name, array in arrays.items()}
    np.savez(path / f"t-a-{npz_chunks.NO_SUCCESSOR}-{len(arrays['is_first'])}.npz", allow_pickle=False, **whole)
    return lambda: npz_chunks.read_chunks(path, TASK)


READERS = {"frames": _raw_file, "episodes": _raw_folder, "chunks": _raw_chunks}
WRITERS: dict[str, Callable[[Path, FrameData], Any]] = {
    "frames": pixels.save,
    "episodes": lambda path, data: episode_files.save(path, data, TASK, labels=["a", "b", "c"], card={}),
    "chunks": npz_chunks.write_chunks,
}


@pytest.mark.parametrize("layout", READERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_readers_of_images_refuse_what_is_refused_of_vectors(fault: str, layout: str, tmp_path: Path) -> None:
    arrays, message = spoilt(fault)
    if layout == "chunks" and fault == "infinite reward":
        message = message.replace("rewards", "reward")
    if layout == "chunks":
        message = message.replace("actions: expected finite", "action: expected finite")
    read = READERS[layout](tmp_path / "data", arrays)
    with pytest.raises(DataError, match=message):
        read()


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_writers_of_images_write_nothing_that_readers_refuse(fault: str, layout: str, tmp_path: Path) -> None:
    arrays, message = spoilt(fault)
    with pytest.raises(DataError, match=message):
        WRITERS[layout](tmp_path / "out", FrameData(TASK.name, **arrays))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", WRITERS)
def test_good_images_are_written_and_read(layout: str, tmp_path: Path) -> None:
    WRITERS[layout](tmp_path / "out", frames())
    load = {"frames": pixels.load, "chunks": npz_chunks.read_chunks}
    found = (
        episode_files.load(tmp_path / "out", TASK, in_memory=True)
        if layout == "episodes"
        else load[layout](tmp_path / "out", TASK)
    )
    assert found.fingerprint() == frames().fingerprint()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("is_last", 2.0, "is_last: expected only 0 and 1, found 2 in row 3"), ("cost", np.nan, "cost: .* nan in row 3")],
)
def test_chunks_hold_flags_and_finite_numbers(key: str, value: float, message: str, tmp_path: Path) -> None:
    (path,) = npz_chunks.write_chunks(tmp_path, frames())
    with np.load(path) as file:
        arrays = dict(file)
    changed = arrays[key].astype(np.float32)
    changed[3] = value
    np.savez(path, allow_pickle=False, **(arrays | {key: changed}))
    with pytest.raises(DataError, match=message):
        npz_chunks.read_chunks(tmp_path, TASK)


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("rewards", 5, np.nan, "rewards: expected finite numbers, found nan in row 5"),
        ("observations", 5, np.inf, "observations: expected finite numbers, found inf in row 5, column 0"),
        ("actions", 5, 3.0, r"actions: expected numbers in \[-1, 1\], found 3 in row 5"),
        ("costs", 5, -1.0, "costs: expected numbers >= 0, found -1 in row 5"),
        ("constraints", 5, np.nan, "constraints: expected finite numbers, found nan in row 5"),
    ],
)
def test_writers_of_vectors_write_nothing_that_readers_refuse(
    name: str, row: int, value: float, message: str, tmp_path: Path
) -> None:
    dataset = make_dataset()
    arrays = {key: array.copy() for key, array in dataset.arrays()}
    arrays[name][row] = value
    bad = replace(dataset, **arrays)
    with pytest.raises(DataError, match=message):
        save(tmp_path / "out.hdf5", bad)
    with pytest.raises(DataError, match=message):
        save_minari(tmp_path / "out", bad, get_task("PointRobot"))
    assert not list(tmp_path.iterdir())


def test_transitions_of_another_width_or_without_h_are_not_written(tmp_path: Path) -> None:
    dataset = make_dataset()
    with pytest.raises(DataError, match=r"actions: expected shape \[N, 2\] for task PointRobot, found shape \[60, 1\]"):
        save(tmp_path / "out.hdf5", replace(dataset, actions=dataset.actions[:, :1]))
    with pytest.raises(DataError, match="constraints: expected h of every step, as data of PointRobot"):
        save(tmp_path / "out.hdf5", replace(dataset, constraints=None))
    save(tmp_path / "good.hdf5", dataset)
    rewrite(tmp_path / "good.hdf5", tmp_path / "again.hdf5", get_task("PointRobot"))
