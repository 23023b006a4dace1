"""Minari's layout: what is written is read back, what others wrote is read, the rest is refused in one sentence."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import BINARY_TASK, POINT_ROBOT, is_one_sentence, make_dataset

from surefoot.data.minari import load_minari, save_minari
from surefoot.errors import DataError
from surefoot.tasks import Task


@pytest.mark.parametrize("task", [POINT_ROBOT, BINARY_TASK], ids=lambda task: task.name)
@pytest.mark.parametrize("tail", [0, 10])
def test_what_is_written_is_read_to_the_bit(task: Task, tail: int, tmp_path: Path) -> None:
    dataset = make_dataset(task, tail=tail)
    save_minari(tmp_path / "mine", dataset, task, card={"recipe": "by hand"})
    assert load_minari(tmp_path / "mine", task).fingerprint() == dataset.fingerprint()
    assert load_minari(tmp_path / "mine" / "data", task).fingerprint() == dataset.fingerprint()


def test_the_layout_is_minaris(tmp_path: Path) -> None:
    save_minari(tmp_path / "my data", make_dataset(), POINT_ROBOT)
    metadata = json.loads((tmp_path / "my data" / "data" / "metadata.json").read_text())
    assert (metadata["total_episodes"], metadata["total_steps"]) == (3, 60)
    assert metadata["dataset_id"] == "surefoot/my_data-v0"
    assert json.loads(metadata["action_space"]) == {
        "type": "Box", "dtype": "float32", "shape": [2], "low": [-1.0, -1.0], "high": [1.0, 1.0],
    }  # fmt: skip
    with h5py.File(tmp_path / "my data" / "data" / "main_data.hdf5") as file:
        assert set(file) == {"episode_0", "episode_1", "episode_2"}
        episode: Any = file["episode_1"]
        shapes = {"observations": (31, 11), "infos/cost": (31,), "rewards": (30,)}
        assert {key: np.asarray(episode[key]).shape for key in shapes} == shapes
        assert dict(file["episode_1"].attrs) == {"id": 1, "total_steps": 30}


def written(tmp_path: Path) -> Path:
    save_minari(tmp_path / "data set", make_dataset(BINARY_TASK, tail=0), BINARY_TASK)
    return tmp_path / "data set"


def edited(tmp_path: Path, edit: Any) -> Path:
    path = written(tmp_path)
    with h5py.File(path / "data" / "main_data.hdf5", "r+") as file:
        edit(file)
    return path


def put(file: h5py.File, key: str, values: Any) -> None:
    del file[key]
    file[key] = values


def test_infos_of_the_steps_alone_are_read_too(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda file: put(file, "episode_0/infos/cost", np.full((20, 1), 2.0)))
    assert load_minari(path, BINARY_TASK).costs[:20].tolist() == [2.0] * 20


def test_a_labeller_gives_the_costs_where_there_are_none(tmp_path: Path) -> None:
    def remove(file: h5py.File) -> None:
        for index in range(2):
            del file[f"episode_{index}/infos"]

    path = edited(tmp_path, remove)
    dataset = load_minari(path, BINARY_TASK, labeller=lambda before, actions, after: after[:, 0] > 0)
    np.testing.assert_array_equal(dataset.costs, dataset.next_observations[:, 0] > 0)
    with pytest.raises(DataError, match=r"episode_0/infos/cost: expected a key of that name, or a cost labeller"):
        load_minari(path, BINARY_TASK)


def test_an_episode_without_end_mark_in_the_middle_was_cut(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda file: put(file, "episode_0/terminations", np.zeros(20, bool)))
    dataset = load_minari(path, BINARY_TASK)
    assert dataset.lengths.tolist() == [20, 30]
    assert dataset.truncated[19]


def test_episodes_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    dataset = make_dataset(BINARY_TASK, lengths=tuple(range(1, 13)), tail=0)
    save_minari(tmp_path / "many", dataset, BINARY_TASK)
    # By name episode_10 would come before episode_2.
    assert load_minari(tmp_path / "many", BINARY_TASK).lengths.tolist() == list(range(1, 13))


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match="expected a new folder to write to, found something of that name"):
        save_minari(tmp_path / "mine", make_dataset(), POINT_ROBOT)
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(DataError, match="expected room on the disk to write it, found a full disk"):
        save_minari(tmp_path / "mine", make_dataset(), POINT_ROBOT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda file: file.clear(), r"main_data.hdf5: expected a group episode_0, found 0 other keys"),
        (lambda file: file.__delitem__("episode_1/actions"), r"episode_1/actions: expected an array of real numbers"),
        (
            lambda file: put(file, "episode_1/observations", np.zeros((30, 3))),
            r"episode_1/observations: expected 31 rows, one more than actions, found 30 for 30 actions",
        ),
        (lambda file: put(file, "episode_1/observations", np.zeros((31, 4))), r"expected shape \[T, 3\], found shape"),
        (lambda file: put(file, "episode_1/rewards", np.zeros((30, 2))), r"rewards: expected shape \[T\], found shape"),
        (
            lambda file: put(file, "episode_1/rewards", np.zeros(29)),
            r"rewards: expected 30 rows, or one more, found 29",
        ),
        (lambda file: put(file, "episode_1/rewards", np.full(30, np.inf)), r"rewards: expected finite numbers"),
        (lambda file: put(file, "episode_1/truncations", np.full(30, 0.5)), r"truncations: expected only 0 and 1"),
        (lambda file: put(file, "episode_1/actions", np.full((30, 2), 3.0)), r"actions: expected numbers in \[-1, 1\]"),
    ],
)
def test_other_layouts_are_refused(edit: Any, sentence: str, tmp_path: Path) -> None:
    path = edited(tmp_path, edit)
    with pytest.raises(DataError, match=sentence) as refusal:
        load_minari(path, BINARY_TASK)
    assert is_one_sentence(str(refusal.value))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "metadata.json: expected the metadata of a Minari dataset as JSON, found something"),
        ("[]", "expected the metadata of a Minari dataset .an object., found"),
        ('{"data_format": "arrow"}', "data_format: expected hdf5, found 'arrow'"),
        ('{"card": {"task": "CarRun"}}', "card: expected data of task Binary, found data of task 'CarRun'"),
    ],
)
def test_other_metadata_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    (path / "data" / "metadata.json").write_text(text)
    with pytest.raises(DataError, match=sentence):
        load_minari(path, BINARY_TASK)


def test_a_folder_without_metadata_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    shutil.rmtree(path / "data")
    with pytest.raises(DataError, match=r"expected a Minari dataset with metadata.json, found none\."):
        load_minari(path, BINARY_TASK)


def test_data_without_the_constraint_that_the_task_needs_are_refused(tmp_path: Path) -> None:
    save_minari(tmp_path / "mine", make_dataset(), POINT_ROBOT)
    with h5py.File(tmp_path / "mine" / "data" / "main_data.hdf5", "r+") as file:
        del file["episode_1/infos/constraint"]
    with pytest.raises(DataError, match=r"infos/constraint: expected a key of that name, found none in some episode\."):
        load_minari(tmp_path / "mine", POINT_ROBOT)


def drop(file: h5py.File) -> None:
    del file["episode_1"]


def name_twice(file: h5py.File) -> None:
    del file["episode_1"]
    file["episode_00"] = file["episode_0"]


def call_otherwise(file: h5py.File) -> None:
    file.move("episode_1", "episode_last")


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (drop, "metadata.json: total_episodes: expected 1 as in main_data.hdf5, found 2."),
        (name_twice, "main_data.hdf5: expected one episode of each number, found episode_0 and episode_00."),
        (call_otherwise, "main_data.hdf5: expected episodes called episode_0, episode_1, ..., found 'episode_last'."),
    ],
    ids=["missing", "twice", "name"],
)
def test_episodes_that_are_missing_or_there_twice_are_refused(edit: Any, sentence: str, tmp_path: Path) -> None:
    path = edited(tmp_path, edit)
    with pytest.raises(DataError) as refusal:
        load_minari(path, BINARY_TASK)
    assert str(refusal.value) == f"{path / 'data'}/{sentence}"


def test_steps_that_are_missing_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path) / "data" / "metadata.json"
    path.write_text(path.read_text().replace('"total_steps": 50', '"total_steps": 60'))
    with pytest.raises(DataError, match=r"total_steps: expected 50 as in main_data\.hdf5, found 60\."):
        load_minari(path.parent, BINARY_TASK)
