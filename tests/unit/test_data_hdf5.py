"""The HDF5 format: what is read, what is refused and in which words, and that writing is all or nothing."""

import os
import resource
import stat
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import (
    BAD_FILES,
    BINARY_TASK,
    POINT_ROBOT,
    BadFile,
    file_arrays,
    is_one_sentence,
    make_dataset,
    write_arrays,
)

from surefoot.data import load, read_card, rewrite, save
from surefoot.data.minari import save_minari
from surefoot.errors import DataError


@pytest.mark.parametrize("bad", BAD_FILES, ids=lambda bad: bad.name)
def test_a_bad_file_is_refused_in_one_sentence(bad: BadFile, tmp_path: Path) -> None:
    path = tmp_path / "bad.hdf5"
    bad.write(path)
    with pytest.raises(DataError) as refusal:
        load(path, POINT_ROBOT)
    message = str(refusal.value)
    place = f"{path}: {bad.key}: expected " if bad.key else f"{path}: expected "
    assert message.startswith(place)
    expected, found = message.removeprefix(place).split(", found ", 1)
    assert bad.expected in expected
    assert bad.found in found
    assert is_one_sentence(message)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        load(tmp_path / "pipe", POINT_ROBOT)


def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    dataset = make_dataset()
    save(tmp_path / "data.hdf5", dataset)
    loaded = load(tmp_path / "data.hdf5", POINT_ROBOT)
    assert loaded.fingerprint() == dataset.fingerprint()
    assert loaded.task == "PointRobot"


def test_the_file_has_the_keys_of_dsrl_and_our_constraints(tmp_path: Path) -> None:
    save(tmp_path / "a.hdf5", make_dataset())
    save(tmp_path / "b.hdf5", make_dataset(BINARY_TASK))
    dsrl = {"observations", "next_observations", "actions", "rewards", "costs", "terminals", "timeouts"}
    with h5py.File(tmp_path / "a.hdf5") as ours, h5py.File(tmp_path / "b.hdf5") as theirs:
        assert set(ours) == dsrl | {"constraints"}
        assert set(theirs) == dsrl


def test_columns_other_dtypes_compression_and_extra_keys_are_accepted(tmp_path: Path) -> None:
    dataset = make_dataset(BINARY_TASK)
    arrays = file_arrays(dataset)
    arrays["observations"] = arrays["observations"].astype(">f8")
    arrays["costs"] = arrays["costs"].astype(np.int64)[:, None]
    arrays["terminals"] = arrays["terminals"].astype(np.uint8)[:, None]
    arrays["timeouts"] = arrays["timeouts"].astype(np.float64)
    arrays["comment"] = np.array(b"not ours to judge")
    arrays.pop("comment")
    write_arrays(tmp_path / "data.hdf5", arrays, compression="gzip", chunks=True)
    with h5py.File(tmp_path / "data.hdf5", "r+") as file:
        file["comment"] = "not ours to judge"
    assert load(tmp_path / "data.hdf5", BINARY_TASK).fingerprint() == dataset.fingerprint()


def test_logged_constraints_are_kept_for_a_task_without_them(tmp_path: Path) -> None:
    arrays = file_arrays(make_dataset(BINARY_TASK))
    arrays["constraints"] = np.linspace(-1, 1, 60)
    write_arrays(tmp_path / "data.hdf5", arrays)
    constraints = load(tmp_path / "data.hdf5", BINARY_TASK).constraints
    assert constraints is not None
    np.testing.assert_array_equal(constraints, np.linspace(-1, 1, 60).astype(np.float32))


def test_a_constant_column_among_others_is_no_error(tmp_path: Path) -> None:
    arrays = file_arrays(make_dataset())
    arrays["observations"][:, 2] = arrays["next_observations"][:, 2] = 7.0
    arrays["actions"][:, 0] = 0.0
    write_arrays(tmp_path / "data.hdf5", arrays)
    assert len(load(tmp_path / "data.hdf5", POINT_ROBOT)) == 60


@pytest.mark.parametrize(("excess", "accepted"), [(0.9, True), (1.1, False)])
def test_the_following_observation_may_differ_by_the_tolerance(excess: float, accepted: bool, tmp_path: Path) -> None:
    arrays = file_arrays(make_dataset())
    column = arrays["observations"][:, 4].astype(np.float64)
    column[[0, 1]] = -500.0, 500.0  # spread 1000, so the tolerance is 1e-4 * 1000 + 1e-5 = 0.10001
    arrays["observations"][:, 4] = column
    arrays["next_observations"][:-1, 4] = arrays["observations"][1:, 4]
    arrays["next_observations"][30, 4] += excess * 0.10001
    write_arrays(tmp_path / "data.hdf5", arrays)
    if accepted:
        load(tmp_path / "data.hdf5", POINT_ROBOT)
    else:
        with pytest.raises(DataError, match=r"next_observations: expected .* in row 30, column 4"):
            load(tmp_path / "data.hdf5", POINT_ROBOT)


def test_a_spread_beyond_float32_does_not_overflow(tmp_path: Path) -> None:
    arrays = file_arrays(make_dataset())
    arrays["observations"][1:3, 0] = arrays["next_observations"][:2, 0] = (
        -3e38,
        3e38,
    )  # spread 6e38, float32 ends at 3.4e38
    write_arrays(tmp_path / "data.hdf5", arrays)
    assert len(load(tmp_path / "data.hdf5", POINT_ROBOT)) == 60


def test_a_fault_behind_the_first_block_of_rows_is_found_where_it_is(tmp_path: Path) -> None:
    dataset = make_dataset(BINARY_TASK, lengths=(40,) * 500, tail=0)  # 20,000 rows, blocks of 16,384
    arrays = file_arrays(dataset)
    arrays["next_observations"][16_390, 1] = 50.0  # 16,390 = 40 * 409 + 30: inside an episode
    write_arrays(tmp_path / "data.hdf5", arrays)
    with pytest.raises(DataError, match=r"in row 16390, column 1 \(the observation of row 16391\), found 50\."):
        load(tmp_path / "data.hdf5", BINARY_TASK)


@pytest.mark.parametrize(("size", "accepted"), [(1.0009, True), (1.0011, False)])
def test_actions_may_leave_the_range_by_a_thousandth(size: float, accepted: bool, tmp_path: Path) -> None:
    arrays = file_arrays(make_dataset())
    arrays["actions"][3, 1] = -size
    write_arrays(tmp_path / "data.hdf5", arrays)
    if accepted:
        assert load(tmp_path / "data.hdf5", POINT_ROBOT).actions[3, 1] == np.float32(-size)
    else:
        with pytest.raises(DataError, match=r"actions: .* found -1\.0011 in row 3, column 1"):
            load(tmp_path / "data.hdf5", POINT_ROBOT)


def test_an_episode_of_just_the_horizon_is_accepted(tmp_path: Path) -> None:
    save(tmp_path / "data.hdf5", make_dataset(lengths=(300, 300), tail=300))
    assert load(tmp_path / "data.hdf5", POINT_ROBOT).lengths.tolist() == [300, 300]


def test_the_card_is_kept_and_names_the_task(tmp_path: Path) -> None:
    card = {
        "recipe": {"seeds": [0, 1], "note": 'a quote " and é'},
        "long": "x" * 200_000,
    }  # HDF5's small limit is 64 kB
    save(tmp_path / "data.hdf5", make_dataset(), card=card)
    assert read_card(tmp_path / "data.hdf5") == {"task": "PointRobot", **card}
    with h5py.File(tmp_path / "data.hdf5") as file:
        assert isinstance(file.attrs["card"], str)


def test_a_file_without_a_card_has_an_empty_one(tmp_path: Path) -> None:
    write_arrays(tmp_path / "data.hdf5", file_arrays(make_dataset()))
    assert read_card(tmp_path / "data.hdf5") == {}


def test_a_card_of_another_task_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"card: expected task PointRobot, found task 'AntRun'\."):
        save(tmp_path / "data.hdf5", make_dataset(), card={"task": "AntRun"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interruption", [OSError("no space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["h5py.Group.create_dataset", "os.fsync", "os.replace"])
def test_an_interrupted_save_leaves_the_old_file_and_nothing_else(
    step: str, interruption: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.hdf5"
    save(path, make_dataset(seed=1))

    def interrupt(*args: object, **kwargs: object) -> None:
        raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(step, interrupt)
        with pytest.raises(DataError if isinstance(interruption, OSError) else KeyboardInterrupt) as raised:
            save(path, make_dataset(seed=2))
    if isinstance(interruption, OSError):
        assert str(raised.value) == f"{path}: expected a place that can be written to, found a fault (no space left)."
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.hdf5"]
    assert load(path, POINT_ROBOT).fingerprint() == make_dataset(seed=1).fingerprint()


@pytest.mark.parametrize("kind", ["hdf5", "rewritten", "minari"])
def test_writes_that_fail_half_way_are_one_sentence_and_leave_nothing(kind: str, tmp_path: Path) -> None:
    """The system refuses to let a file grow, as a full disk would; HDF5 on its own then prints or ends the process."""
    dataset = make_dataset(lengths=(300,) * 20, tail=0)  # 6,000 rows of 31 numbers and flags: 0.7 MB
    save(tmp_path / "source.hdf5", dataset)
    target, before = tmp_path / "target", resource.getrlimit(resource.RLIMIT_FSIZE)
    write = {
        "hdf5": lambda: save(target, dataset),
        "rewritten": lambda: rewrite(tmp_path / "source.hdf5", target, POINT_ROBOT),
        "minari": lambda: save_minari(target, dataset, POINT_ROBOT),
    }[kind]
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(DataError, match=r"expected a place that can be written to, found a fault .*File too large"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["source.hdf5"]


def test_saving_over_a_folder_or_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "folder", tmp_path / "file" / "data.hdf5"):
        with pytest.raises(DataError, match="expected a place that can be written to, found a fault") as refusal:
            save(path, make_dataset())
        assert is_one_sentence(str(refusal.value))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_a_missing_folder_is_made_and_the_file_is_readable_as_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data.hdf5"
    save(path, make_dataset())
    (tmp_path / "plain").write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
