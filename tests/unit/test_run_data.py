"""The data of a run are found again in every format, where they were and where they were moved to."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.data_fixtures import file_arrays, make_dataset, write_arrays
from tests.unit.test_image_checks import frames

from surefoot.data import Dataset, episode_files, library, npz_chunks, pixels, save
from surefoot.data.minari import save_minari
from surefoot.runs.run_data import run_data
from surefoot.tasks import Task, get_task
from surefoot.training import RunConfig, RunDirectory

HOPPER, POINT_ROBOT, HAZARD_RUN = get_task("Hopper"), get_task("PointRobot"), get_task("HazardRun")


def config(of: Task, path: Path, **changes: Any) -> RunConfig:
    """A run's on the data at `path`, of which it took all unless `changes` says otherwise."""
    found = library.load(path, of) if of.image_shape is None else library.read_frames(path, of, in_files=False)
    values: dict[str, Any] = {
        "algorithm": "bc", "task": of.name, "preset": None, "seeds": (0,), "hyperparameters": {}, "spec": of.spec,
        "data_path": str(path), "data_fingerprint": found.fingerprint(), "log_interval": 1, "checkpoint_interval": 1,
        "command": (), "versions": {},
    }  # fmt: skip
    return RunConfig(**(values | changes))


def hopper_steps() -> Dataset:
    return make_dataset(HOPPER, lengths=(50, 50, 50), tail=0)


def _d4rl(path: Path) -> None:
    arrays = file_arrays(hopper_steps())
    del arrays["costs"]
    write_arrays(path, arrays)


FORMATS: dict[str, tuple[Task, Callable[[Path], object]]] = {
    "data.hdf5": (POINT_ROBOT, lambda path: save(path, make_dataset())),
    "minari": (POINT_ROBOT, lambda path: save_minari(path, make_dataset(), POINT_ROBOT)),
    "d4rl.hdf5": (HOPPER, _d4rl),
    "frames.hdf5": (HAZARD_RUN, lambda path: pixels.save(path, frames())),
    "episodes": (HAZARD_RUN, lambda path: episode_files.save(path, frames(), HAZARD_RUN, labels="abc", card={})),
    "chunks": (HAZARD_RUN, lambda path: npz_chunks.write_chunks(path, frames())),
}


@pytest.mark.parametrize("name", FORMATS)
def test_data_of_every_format_are_found_where_they_are(name: str, tmp_path: Path) -> None:
    task, write = FORMATS[name]
    path = tmp_path / "there" / name
    path.parent.mkdir()
    write(path)
    wanted = config(task, path)
    found = run_data(RunDirectory(tmp_path / "run"), wanted)
    assert (found.path, found.reason) == (path, "")
    kept = found.transitions if task.image_shape is None else found.frames
    assert kept is not None
    assert kept.fingerprint() == wanted.data_fingerprint


@pytest.mark.parametrize("place", ["run/{}", "{}", "there/{}"])
@pytest.mark.parametrize("name", ["data.hdf5", "minari", "episodes"])
def test_data_that_were_moved_with_their_run_are_found(name: str, place: str, tmp_path: Path) -> None:
    task, write = FORMATS[name]
    old, new = tmp_path / "old/there" / name, tmp_path / "new" / place.format(name)
    old.parent.mkdir(parents=True)
    write(old)
    wanted = config(task, old)
    new.parent.mkdir(parents=True)
    shutil.move(old, new)
    (tmp_path / "new/run").mkdir(exist_ok=True)
    assert run_data(RunDirectory(tmp_path / "new/run"), wanted).path == new


def test_what_is_gone_or_another_is_said(tmp_path: Path) -> None:
    path = tmp_path / "data.hdf5"
    save(path, make_dataset())
    wanted = config(POINT_ROBOT, path)
    path.unlink()
    run = RunDirectory(tmp_path / "run")
    assert run_data(run, wanted).reason == f"{path} is gone"
    save(path, make_dataset(seed=1))
    assert "holds other data than those that" in run_data(run, wanted).reason
    path.write_bytes(b"no data")
    found = run_data(run, wanted)
    assert found.transitions is None
    assert found.reason == f"{path}: expected an HDF5 file, found text"
    without = config(HAZARD_RUN, _written_frames(tmp_path), data_selection={"offline_data": False})
    assert "without offline data" in run_data(run, without).reason


@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        ({"fraction": 0.5}, "fraction_seed: expected a number beside fraction, found none"),
        ({"fraction": "half", "fraction_seed": 0}, "fraction: expected what a selection is described by, found 'half'"),
        ({"filter": "safe", "cost_limit": None}, "cost_limit: expected what a selection is described by, found None"),
        ({"filter": "mild", "cost_limit": 1.0}, "safe, risky, boundary, frontier or pareto, found 'mild'"),
        ({"fraction": 7.0, "fraction_seed": 0}, "expected a number in [0, 1], found 7"),
        ({"data_task": "Nonsense of mine"}, "unknown task 'Nonsense of mine'"),
    ],
)
def test_a_selection_that_means_nothing_is_the_reason(selection: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "data.hdf5"
    save(path, make_dataset())
    found = run_data(RunDirectory(tmp_path / "run"), config(POINT_ROBOT, path, data_selection=selection))
    assert found.transitions is None
    assert reason in found.reason


@pytest.mark.parametrize("place", ["", "\0", "x" * 5000, "/"])
def test_places_that_cannot_be_are_gone(place: str, tmp_path: Path) -> None:
    save(tmp_path / "data.hdf5", make_dataset())
    found = run_data(RunDirectory(tmp_path), replace(config(POINT_ROBOT, tmp_path / "data.hdf5"), data_path=place))
    assert found.transitions is None
    assert found.reason


def _written_frames(folder: Path) -> Path:
    pixels.save(folder / "frames.hdf5", frames())
    return folder / "frames.hdf5"


def test_a_fine_tuned_run_has_the_data_of_another_task(tmp_path: Path) -> None:
    path = _written_frames(tmp_path)
    wanted = config(HAZARD_RUN, path, task="HazardRunShifted", data_selection={"data_task": "HazardRun"})
    found = run_data(RunDirectory(tmp_path / "run"), wanted)
    assert found.frames is not None
    assert found.card["task"] == "HazardRun"


@pytest.mark.parametrize("places", [False, True])
def test_hoppers_labels_are_the_same_in_minaris_form_as_in_d4rls(places: bool, tmp_path: Path) -> None:
    steps = hopper_steps()
    arrays = file_arrays(steps)
    del arrays["costs"]
    track = np.concatenate([np.arange(51) * 0.01 for _ in range(3)])
    if places:
        before = np.delete(track, [50, 101, 152])
        arrays["infos/qpos"] = np.stack([before, before], 1)
    write_arrays(tmp_path / "hopper.hdf5", arrays)
    (tmp_path / "minari/data").mkdir(parents=True)
    (tmp_path / "minari/data/metadata.json").write_text(json.dumps({"data_format": "hdf5"}))
    with h5py.File(tmp_path / "minari/data/main_data.hdf5", "w") as file:
        for number in range(3):
            rows = slice(50 * number, 50 * number + 50)
            group = file.create_group(f"episode_{number}")
            last = steps.next_observations[rows][-1:]
            group["observations"] = np.concatenate([steps.observations[rows], last])
            group["actions"], group["rewards"] = steps.actions[rows], steps.required_rewards[rows]
            group["terminations"], group["truncations"] = steps.terminated[rows], steps.truncated[rows]
            if places:
                group["infos/qpos"] = np.stack([track[51 * number : 51 * number + 51]] * 2, 1)
    of_d4rl, of_minari = (library.load(tmp_path / name, HOPPER) for name in ("hopper.hdf5", "minari"))
    assert of_minari.fingerprint() == of_d4rl.fingerprint()
    if places:  # 0.01 m in 0.008 s
        np.testing.assert_allclose(of_minari.costs[:49], 1.25, rtol=1e-4)
