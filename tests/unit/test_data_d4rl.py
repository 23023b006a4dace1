"""D4RL's files: what they lack is derived, and costs come from a labeller."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import BINARY_TASK, is_one_sentence, write_arrays

from surefoot.data.d4rl import SpeedLimit, cut_at, labeller_of, load_d4rl
from surefoot.errors import ConfigError, DataError
from surefoot.tasks import TASKS, get_task

# BINARY_TASK: 3 columns, 2 actions, horizon 40.


def arrays_of(rows: int, *, terminals: tuple[int, ...] = (), timeouts: tuple[int, ...] | None = None) -> dict[str, Any]:
    """Row r has observation (r, r, r); flags at the given rows."""
    path = np.repeat(np.arange(rows, dtype=np.float64)[:, None], 3, 1)
    arrays: dict[str, Any] = {
        "observations": path,
        "actions": np.linspace(-1, 1, 2 * rows).reshape(rows, 2),
        "rewards": np.arange(rows),
        "terminals": np.isin(np.arange(rows), terminals),
        "infos": np.zeros(3),  # not ours to judge
    }
    if timeouts is not None:
        arrays["timeouts"] = np.isin(np.arange(rows), timeouts)
    return arrays


def above_five(observations: np.ndarray, actions: np.ndarray, entered: np.ndarray) -> np.ndarray:
    return (entered[:, 0] > 5).astype(np.float64)


def load(tmp_path: Path, arrays: dict[str, Any]) -> Any:
    write_arrays(tmp_path / "d4rl.hdf5", arrays)
    return load_d4rl(tmp_path / "d4rl.hdf5", BINARY_TASK, labeller=above_five)


def test_next_observations_are_the_following_rows_and_steps_without_one_are_left_out(tmp_path: Path) -> None:
    """Rows 0-3 terminate, rows 4-7 are cut, rows 8-9 are unfinished."""
    dataset = load(tmp_path, arrays_of(10, terminals=(3,), timeouts=(7,)))
    # Row 7 has no next observation, so row 6 ends its episode; of the unfinished episode row 9 goes.
    assert dataset.observations[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 8]
    assert dataset.next_observations[:, 0].tolist() == [1, 2, 3, 3, 5, 6, 7, 9]
    assert dataset.terminated.tolist() == [False] * 3 + [True] + [False] * 4
    assert dataset.truncated.tolist() == [False] * 6 + [True, False]
    assert dataset.rewards.tolist() == [0, 1, 2, 3, 4, 5, 6, 8]
    # Next observations above 5: rows 5 (6), 6 (7) and 8 (9).
    assert dataset.costs.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


def test_an_episode_of_one_cut_step_vanishes_as_a_whole(tmp_path: Path) -> None:
    dataset = load(tmp_path, arrays_of(6, terminals=(2,), timeouts=(3, 5)))
    assert dataset.observations[:, 0].tolist() == [0, 1, 2, 4]
    assert dataset.lengths.tolist() == [3, 1]
    assert dataset.terminated.tolist() == [False, False, True, False]
    assert dataset.truncated.tolist() == [False, False, False, True]


def test_given_next_observations_are_used_and_no_row_is_lost(tmp_path: Path) -> None:
    arrays = arrays_of(10, terminals=(3,), timeouts=(7,))
    arrays["next_observations"] = arrays["observations"] + 1
    dataset = load(tmp_path, arrays)
    assert len(dataset) == 10
    assert dataset.next_observations[7, 0] == 8
    assert dataset.lengths.tolist() == [4, 4]


def test_without_timeouts_episodes_are_cut_at_the_horizon(tmp_path: Path) -> None:
    # A horizon of 40: rows 0-39, 40-79 and, after the termination at 89, 90-129; the last of each has no next row's.
    dataset = load(tmp_path, arrays_of(135, terminals=(89,)))
    assert dataset.lengths.tolist() == [39, 39, 10, 39]
    assert len(dataset) == 39 + 39 + 10 + 39 + 4  # rows 130-134 less the last


@pytest.mark.parametrize(
    ("rows", "terminated", "horizon", "expected"),
    [
        (7, (), 3, [2, 5]),
        (7, (1,), 3, [4]),
        (7, (2,), 3, [5]),  # the third step terminates and is the horizon's: it terminates
        (4, (0, 1, 2, 3), 1, []),
        (3, (), 1, [0, 1, 2]),
    ],
)
def test_where_episodes_are_cut(rows: int, terminated: tuple[int, ...], horizon: int, expected: list[int]) -> None:
    cut = cut_at(np.isin(np.arange(rows), terminated), horizon)
    assert np.flatnonzero(cut).tolist() == expected


def test_a_step_that_terminates_at_the_horizon_is_not_cut_as_well(tmp_path: Path) -> None:
    dataset = load(tmp_path, arrays_of(10, terminals=(4,), timeouts=(4,)))
    assert dataset.terminated[4]
    assert not dataset.truncated[4]


def test_speed_limits_count_one_column_or_the_length_of_two() -> None:
    entered = np.array([[0.0, 3.0, 4.0], [9.0, -6.0, 0.0], [0.0, 5.1, 0.0]])
    assert SpeedLimit(5.0, (1,))(entered, entered, entered).tolist() == [0, 0, 1]
    # Lengths 5, 6 and 5.1.
    assert SpeedLimit(5.0, (1, 2))(entered, entered, entered).tolist() == [0, 1, 1]


def test_every_velocity_task_has_a_labeller_within_its_observation() -> None:
    labellers = {name: labeller_of(task) for name, task in TASKS.items()}
    with_limits = {name: labeller for name, labeller in labellers.items() if isinstance(labeller, SpeedLimit)}
    assert set(with_limits) == {name for name in TASKS if name.endswith("Velocity")}
    for name, labeller in with_limits.items():
        task = get_task(name)
        entered = np.zeros((2, task.observation_dim))
        entered[1, list(labeller.columns)] = 10.0
        assert labeller(entered, entered, entered).tolist() == [0.0, 1.0]


def test_ants_contact_forces_are_left_out(tmp_path: Path) -> None:
    task = get_task("AntVelocity")
    rng = np.random.default_rng(0)
    arrays = {
        "observations": rng.normal(size=(20, 111)),
        "actions": rng.uniform(-1, 1, (20, 8)),
        "rewards": rng.normal(size=20),
        "terminals": np.arange(20) == 19,
    }
    write_arrays(tmp_path / "ant.hdf5", arrays)
    dataset = load_d4rl(tmp_path / "ant.hdf5", task)
    np.testing.assert_array_equal(dataset.observations, arrays["observations"][:, :27].astype(np.float32))


def test_a_task_without_labeller_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cost labeller is known for CarRun") as refusal:
        load_d4rl(tmp_path / "d4rl.hdf5", get_task("CarRun"))
    assert is_one_sentence(str(refusal.value))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rewards": None, "reward": np.zeros(10)}, r"rewards: expected a key of that name, found only 'actions'"),
        ({"actions": None}, r"actions: expected a key of that name"),
        ({"observations": np.zeros((10, 4))}, r"observations: expected shape \[N, 3\] for task Binary, found shape"),
        ({"rewards": np.zeros((10, 2))}, r"rewards: expected shape \[N\] or \[N, 1\], found shape \[10, 2\]"),
        ({"rewards": np.zeros(9)}, r"rewards: expected 10 rows as in observations, found 9"),
        ({"rewards": np.full(10, np.nan)}, r"rewards: expected finite numbers, found nan in row 0"),
        ({"rewards": np.array([b"a"] * 10)}, r"rewards: expected real numbers, found strings"),
        ({"terminals": np.full(10, 2)}, r"terminals: expected only 0 and 1, found 2 in row 0"),
        ({"actions": np.arange(20.0).reshape(10, 2)}, r"actions: expected numbers in \[-1, 1\], found 19 in row 9"),
        ({"observations": np.zeros((0, 3))}, r"observations: expected at least one row, found 0 rows"),
    ],
)
def test_other_files_are_refused(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    arrays = {key: value for key, value in (arrays_of(10, terminals=(9,)) | change).items() if value is not None}
    with pytest.raises(DataError, match=sentence) as refusal:
        load(tmp_path, arrays)
    assert is_one_sentence(str(refusal.value))
