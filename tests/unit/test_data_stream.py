"""Data that stay in their file: mapped, gathered, drawn by weight; the same numbers as in memory."""

import sys
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import BAD_FILES, BINARY_TASK, POINT_ROBOT, BadFile, file_arrays, make_dataset, write_arrays

from surefoot.data import Dataset, TransitionStream, hdf5, load, mapping, read_card, rewrite, save, to_transitions
from surefoot.data.mapping import blocks, is_mapped, release
from surefoot.data.stream import exact_cumulative, exact_rows_at
from surefoot.errors import DataError
from surefoot.types import Transition


def scaled(dataset: Dataset) -> Transition:
    return to_transitions(dataset, reward_scale=3.0)


@pytest.fixture
def mapped(tmp_path: Path) -> Dataset:
    save(tmp_path / "data.hdf5", make_dataset())
    return load(tmp_path / "data.hdf5", POINT_ROBOT, mapped=True)


def test_mapped_data_are_those_of_the_file(mapped: Dataset) -> None:
    assert is_mapped(mapped.observations)
    assert is_mapped(mapped.required_rewards)
    assert not is_mapped(make_dataset().observations)
    assert mapped.fingerprint() == make_dataset().fingerprint()
    np.testing.assert_array_equal(mapped.returns, make_dataset().returns)


def test_released_pages_are_read_again(mapped: Dataset) -> None:
    before = mapped.observations.copy()
    release(mapped.observations, make_dataset().observations)
    np.testing.assert_array_equal(mapped.observations, before)


def test_places_beyond_32_bits_are_expected_too(tmp_path: Path) -> None:
    """Ten million rows of 1,000 bytes, none of them written: the file takes no room."""
    with h5py.File(tmp_path / "large.hdf5", "w") as file:
        node = file.create_dataset("observations", (10_000_000, 250), np.float32)
        node[-1] = 7.0
    with h5py.File(tmp_path / "large.hdf5") as file:
        node: Any = file["observations"]
        array = mapping.map_dataset(tmp_path / "large.hdf5", node)
    assert array is not None
    taken = mapping.take_rows({"rows": array}, np.array([0, 9_999_999], np.int32))
    assert taken["rows"][:, 0].tolist() == [0.0, 7.0]


def test_large_files_are_mapped_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "data.hdf5", make_dataset(BINARY_TASK))
    # 60 rows of 3 + 3 + 2 columns and four single numbers: 12 numbers of 4 bytes.
    monkeypatch.setattr(hdf5, "MAPPED_ABOVE", 60 * 12 * 4)
    assert not is_mapped(load(tmp_path / "data.hdf5", BINARY_TASK).observations)
    monkeypatch.setattr(hdf5, "MAPPED_ABOVE", 60 * 12 * 4 - 1)
    assert is_mapped(load(tmp_path / "data.hdf5", BINARY_TASK).observations)


@pytest.mark.parametrize(
    "bad", [bad for bad in BAD_FILES if bad.name not in ("too_large", "damaged_block")], ids=lambda bad: bad.name
)
def test_a_mapped_file_is_checked_like_any_other(bad: BadFile, tmp_path: Path) -> None:
    path = tmp_path / "bad.hdf5"
    bad.write(path)
    with pytest.raises(DataError) as in_memory:
        load(path, POINT_ROBOT)
    with pytest.raises(DataError) as in_file:
        load(path, POINT_ROBOT, mapped=True)
    if "surefoot data convert " not in str(in_file.value):  # a dtype that cannot be mapped comes first
        assert str(in_file.value) == str(in_memory.value)


def test_compressed_data_cannot_be_mapped_until_rewritten(tmp_path: Path) -> None:
    arrays = file_arrays(make_dataset())
    arrays["rewards"] = arrays["rewards"].astype(np.float64)[:, None]
    write_arrays(tmp_path / "old.hdf5", arrays, compression="gzip", chunks=True)
    hint = r"observations: .*found float32 in gzip; `surefoot data convert .* --out FILE` writes such"
    with pytest.raises(DataError, match=hint):
        load(tmp_path / "old.hdf5", POINT_ROBOT, mapped=True)
    rewrite(tmp_path / "old.hdf5", tmp_path / "new.hdf5", POINT_ROBOT, card={"recipe": "rewritten"})
    dataset = load(tmp_path / "new.hdf5", POINT_ROBOT, mapped=True)
    assert dataset.fingerprint() == make_dataset().fingerprint()
    assert read_card(tmp_path / "new.hdf5") == {"task": "PointRobot", "recipe": "rewritten"}


def test_a_bad_file_is_not_rewritten(tmp_path: Path) -> None:
    arrays = file_arrays(make_dataset())
    arrays["rewards"][17] = np.nan
    write_arrays(tmp_path / "old.hdf5", arrays)
    with pytest.raises(DataError, match=r"old\.hdf5: rewards: expected finite numbers, found nan in row 17"):
        rewrite(tmp_path / "old.hdf5", tmp_path / "new.hdf5", POINT_ROBOT)
    arrays["rewards"][17] = 0.0
    arrays["next_observations"][3, 1] = 9.0
    write_arrays(tmp_path / "old.hdf5", arrays)
    with pytest.raises(DataError, match=r"old\.hdf5: next_observations: .* in row 3, column 1"):
        rewrite(tmp_path / "old.hdf5", tmp_path / "new.hdf5", POINT_ROBOT)
    assert [path.name for path in tmp_path.iterdir()] == ["old.hdf5"]


def test_a_block_of_the_users_own_in_front_does_not_shift_what_is_mapped(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.hdf5", "w", userblock_size=512) as file:
        for key, array in file_arrays(make_dataset()).items():
            file.create_dataset(key, data=array)
    assert load(tmp_path / "data.hdf5", POINT_ROBOT, mapped=True).fingerprint() == make_dataset().fingerprint()


def test_blocks_cover_every_row_once() -> None:
    rows = np.arange(10)
    assert [(start, part.tolist()) for start, (part,) in blocks(rows, rows=4)] == [
        (0, [0, 1, 2, 3]), (4, [4, 5, 6, 7]), (8, [8, 9]),
    ]  # fmt: skip


@pytest.mark.parametrize("gathered", [1, 7, 2048])
def test_gathered_rows_are_those_of_the_prepared_whole(
    mapped: Dataset, gathered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the first row and the first of each episode, whose constraint_before is their own h."""
    monkeypatch.setattr("surefoot.data.stream.GATHERED_ROWS", gathered)
    rows = np.array([[0, 20, 21, 0], [59, 50, 49, 20], [1, 19, 3, 3]])
    whole = scaled(make_dataset())
    stream = TransitionStream(mapped, scaled)
    assert stream.num_rows == 60
    found = stream.take(rows)
    for name, values in whole._asdict().items():
        np.testing.assert_array_equal(getattr(found, name), np.asarray(values)[rows], err_msg=name)
        assert getattr(found, name).dtype == np.float32


def test_exact_weights_tell_rows_apart_where_float32_cannot() -> None:
    """A million rows of weight 1 and ten million of none behind them: float32 cannot hold 1 + 1e-7."""
    weights = np.array([1.0, 1e-9, 0.0, 2.0])
    cumulative = exact_cumulative(weights)
    total = 3.000000001
    np.testing.assert_allclose(cumulative, [1 / total, 1.000000001 / total, 1.000000001 / total, 1.0], rtol=1e-15)
    # Between 1/3.000000001 and 1.000000001/3.000000001 lies 3.3e-10, less than the step 1.2e-7 of a float32 draw.
    coarse = np.floor(cumulative[0] * 2**23) / 2**23
    fine = (cumulative[0] - coarse) * 2**23
    drawn = exact_rows_at(cumulative, np.array([coarse, coarse]), np.array([fine - 1e-4, fine + 1e-3]))
    assert drawn.tolist() == [0, 1]


def test_the_largest_draw_finds_the_last_row_of_weight() -> None:
    largest = np.float32(1) - np.float32(2) ** -23
    assert exact_rows_at(exact_cumulative([1.0, 2.0, 0.0]), np.array([largest]), np.array([largest])).tolist() == [1]


def test_bad_weights_are_refused() -> None:
    with pytest.raises(DataError, match="expected at least one above 0"):
        exact_cumulative(np.zeros(3))


def test_the_system_need_not_know_how_to_release(monkeypatch: pytest.MonkeyPatch, mapped: Dataset) -> None:
    monkeypatch.delattr(mapping.mmap, "MADV_DONTNEED")
    release(mapped.observations)
    assert jax.tree.leaves(TransitionStream(mapped, scaled).take(np.array([5])))[0].shape == (1, 11)


def test_rows_in_runs_are_those_picked_one_by_one(mapped: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([7, 8, 9, 3, 4, 5, 6, 6, 0])
    assert mapping.runs(rows).tolist() == [[0, 3], [3, 7], [7, 8], [8, 9]]
    arrays = {"observations": mapped.observations, "rewards": mapped.rewards}
    monkeypatch.setattr(mapping, "LONG_RUN", 2)  # 4 runs of 9 rows: 4 * 2 <= 9
    assert mapping.in_long_runs(rows)
    for name, values in mapping.take_rows(arrays, rows).items():
        np.testing.assert_array_equal(values, arrays[name][rows])
    stream = TransitionStream(mapped, scaled)
    gathered = stream.take(rows)
    monkeypatch.setattr("surefoot.data.stream.RUN_ROWS", 4)
    in_parts = stream.take(rows)
    monkeypatch.setattr(mapping, "LONG_RUN", 3)
    assert not mapping.in_long_runs(rows)
    for one, parts, other in zip(gathered, in_parts, stream.take(rows), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(parts, other)


def test_checks_and_fingerprint_tell_how_far_they_are(tmp_path: Path) -> None:
    save(tmp_path / "data.hdf5", make_dataset(BINARY_TASK, lengths=(40,) * 50))
    told: list[tuple[int, int]] = []
    dataset = load(tmp_path / "data.hdf5", BINARY_TASK, mapped=True, on_progress=lambda *both: told.append(both))
    # float32: observations and next observations of o numbers, actions of 2, reward and cost; then observations
    # twice, next observations once.
    rows, wide = len(dataset), dataset.observations.shape[1]
    assert told[-1] == (4 * rows * (2 * wide + 2 + 2 + 3 * wide),) * 2
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    told.clear()
    dataset.fingerprint(on_progress=lambda *both: told.append(both))
    assert told[-1] == (sum(array.nbytes for _, array in dataset.arrays()),) * 2


def test_data_found_good_before_are_not_checked_again(tmp_path: Path) -> None:
    save(tmp_path / "data.hdf5", make_dataset(BINARY_TASK))
    good = load(tmp_path / "data.hdf5", BINARY_TASK, mapped=True).fingerprint()
    with h5py.File(tmp_path / "data.hdf5", "a") as file:
        file["costs"][3] = np.nan  # pyright: ignore[reportIndexIssue]
    with pytest.raises(DataError, match="costs: expected finite numbers, found nan in row 3"):
        load(tmp_path / "data.hdf5", BINARY_TASK, mapped=True)
    with pytest.raises(DataError, match="costs: expected finite numbers, found nan in row 3"):
        load(tmp_path / "data.hdf5", BINARY_TASK, mapped=False, checked=False)
    assert load(tmp_path / "data.hdf5", BINARY_TASK, mapped=True, checked=False).fingerprint() != good
