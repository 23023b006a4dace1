"""Frames: who owns a reward, windows, files of images and their faults."""

from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms.imagination import steps_of
from surefoot.data import Dataset, load, pixels
from surefoot.data.frames import (
    FrameData,
    Frames,
    ObservationScales,
    frames_of,
    from_episodes,
    join,
    scaled,
    transition_rows,
)
from surefoot.errors import DataError
from surefoot.evaluation.collect import collect_hazard_run
from surefoot.tasks import get_task

TASK = get_task("HazardRun")


def two_episodes() -> Dataset:
    """Episodes of 2 and 1 steps and an unfinished row. Rewards 1, 2 and 3; a cost of 5 on the second step."""
    observations = np.array([[0.0], [1.0], [10.0], [20.0]], np.float32)
    following = np.array([[1.0], [2.0], [11.0], [21.0]], np.float32)
    return Dataset(
        "PointRobot",
        observations,
        np.array([[0.1], [0.2], [0.3], [0.4]], np.float32),
        np.array([1, 2, 3, 4], np.float32),
        np.array([0, 5, 0, 0], np.float32),
        following,
        terminated=np.array([False, True, False, False]),
        truncated=np.array([False, False, True, False]),
    )


def test_rewards_move_to_the_frame_that_the_step_arrives_at() -> None:
    frames = frames_of(two_episodes())
    np.testing.assert_array_equal(frames.observations[:, 0], [0, 1, 2, 10, 11])
    np.testing.assert_allclose(frames.actions[:, 0], [0.1, 0.2, 0.0, 0.3, 0.0])  # none at an episode's end
    np.testing.assert_array_equal(frames.rewards, [0, 1, 2, 0, 3])
    np.testing.assert_array_equal(frames.costs, [0, 0, 5, 0, 0])
    np.testing.assert_array_equal(frames.is_first, [True, False, False, True, False])
    np.testing.assert_array_equal(frames.terminated, [False, False, True, False, False])
    np.testing.assert_array_equal(frames.truncated, [False, False, False, False, True])
    assert len(frames) == 3
    np.testing.assert_array_equal(frames.lengths, [2, 1])
    np.testing.assert_array_equal(frames.returns, [3, 3])
    np.testing.assert_array_equal(frames.cost_returns, [5, 0])
    np.testing.assert_array_equal(frames.violating_steps, [1, 0])
    np.testing.assert_array_equal(transition_rows(frames), [0, 1, 3])


def test_vectors_are_scaled_by_their_own_mean_and_deviation() -> None:
    rows = np.array([[1, 5, 0], [3, 5, 2000]], np.float32)
    scales = ObservationScales.of(rows)
    np.testing.assert_array_equal(scales.mean, [2, 5, 1000])
    np.testing.assert_array_equal(scales.deviation, [1, 1, 1000])  # the second never changes
    np.testing.assert_array_equal(scaled(jnp.asarray(rows), scales), [[-1, 0, -1], [1, 0, 1]])
    unchanged = jnp.asarray(rows)
    assert scaled(unchanged, None) is unchanged
    frames = frames_of(two_episodes())  # 0, 1, 2, 10, 11
    found = frames.windows(length=2, scales=True).statistics
    assert found is not None
    np.testing.assert_allclose(found, [[4.8], [4.7074409]], rtol=1e-6)
    assert frames.windows(length=2).statistics is None


def test_a_step_has_the_reward_and_the_cost_of_the_next_frame() -> None:
    frames = frames_of(two_episodes())
    batch = frames.windows(length=5).take(jnp.array([0]))
    steps = steps_of(batch.observation, batch)
    np.testing.assert_array_equal(steps.features[:, 0], [0, 1, 2, 10])
    np.testing.assert_array_equal(steps.next_features[:, 0], [1, 2, 10, 11])
    np.testing.assert_array_equal(steps.mask, [1, 1, 0, 1])  # no step leads from one episode to the next
    np.testing.assert_array_equal(steps.reward * steps.mask, [1, 2, 0, 3])
    np.testing.assert_array_equal(steps.cost * steps.mask, [0, 5, 0, 0])
    np.testing.assert_array_equal(steps.cost_here, [0, 0, 5, 0])
    np.testing.assert_array_equal(steps.continues * steps.mask, [1, 0, 0, 1])  # a timeout goes on
    np.testing.assert_array_equal(steps.continues_here, [1, 1, 0, 1])


def test_a_window_begins_afresh_and_may_reach_into_the_next_episode() -> None:
    data = frames_of(two_episodes()).windows(length=3)
    assert data.num_rows == 3  # 5 frames
    batch = data.take(jnp.array([1, 2]))
    np.testing.assert_array_equal(batch.observation[..., 0], [[1, 2, 10], [2, 10, 11]])
    np.testing.assert_array_equal(batch.is_first, [[True, False, True], [True, True, False]])


def test_too_few_frames_for_a_window_are_refused() -> None:
    with pytest.raises(DataError, match="expected at least 6, the length of a window, found 5"):
        frames_of(two_episodes()).windows(length=6)


def test_episodes_of_one_length_become_frames() -> None:
    found = from_episodes(
        "HazardRun",
        np.arange(6).reshape(2, 3, 1),
        np.ones((2, 2, 1)),
        np.array([[1.0, 2.0], [3.0, 4.0]]),
        np.array([[0.0, 1.0], [0.0, 0.0]]),
    )
    np.testing.assert_array_equal(found.rewards, [0, 1, 2, 0, 3, 4])
    np.testing.assert_array_equal(found.actions[:, 0], [1, 1, 0, 1, 1, 0])
    np.testing.assert_array_equal(found.truncated, [False, False, True] * 2)
    both = join([found, found])
    assert len(both.lengths) == 4
    assert both.fingerprint() != found.fingerprint()


@pytest.fixture(scope="module")
def collected() -> FrameData:
    return collect_hazard_run(transitions=100, seed=3)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_gives_the_same_frames_back(collected: FrameData, tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "frames.hdf5"
    pixels.save(path, collected, card={"seed": 3})
    found = pixels.load(path, TASK, mapped=mapped)
    assert found.observations.dtype == np.uint8
    assert found.observations.shape == (2 * 3 * 31, 16, 16, 3)  # 100 steps: two episodes of each behaviour
    assert found.fingerprint() == collected.fingerprint()


def faulty(path: Path, key: str, values: np.ndarray | None) -> None:
    with h5py.File(path, "r+") as file:
        del file[key]
        if values is not None:
            file[key] = values


@pytest.mark.parametrize(
    ("key", "change", "sentence"),
    [
        ("costs", None, "costs: expected an array of that name"),
        ("costs", lambda values: values - 1, "costs: expected numbers >= 0, found -1 in row"),
        ("rewards", lambda values: values * np.nan, "rewards: expected finite numbers"),
        ("observations", lambda values: values[:, :8], r"observations: expected shape \[186, 16, 16, 3\] for task Haz"),
        ("observations", lambda values: values / 255.0, "observations: expected uint8"),
        ("actions", lambda values: values[:5], r"actions: expected shape \[186, 2\]"),
        ("is_first", lambda values: np.roll(values, 1), "is_first: expected an episode's start in row 0"),
        ("is_first", lambda values: values | np.roll(values, 1), "episodes of at least two frames, found one of a"),
        ("timeouts", lambda values: np.roll(values, 3), "an episode's end before the next one's start only, found"),
    ],
)
def test_faults_of_a_file_are_named(collected: FrameData, tmp_path: Path, key: str, change, sentence: str) -> None:
    path = tmp_path / "frames.hdf5"
    pixels.save(path, collected)
    with h5py.File(path, "r") as file:
        values = np.asarray(file[key])
    faulty(path, key, None if change is None else change(values))
    with pytest.raises(DataError, match=sentence) as found:
        pixels.load(path, TASK)
    assert str(path) in str(found.value)


def test_frames_of_another_task_are_refused(collected: FrameData, tmp_path: Path) -> None:
    pixels.save(tmp_path / "frames.hdf5", collected)
    with pytest.raises(DataError, match="expected data of task HazardRunShifted, found data of task 'HazardRun'"):
        pixels.load(tmp_path / "frames.hdf5", get_task("HazardRunShifted"))


def test_frames_that_do_not_begin_an_episode_are_refused() -> None:
    good = frames_of(two_episodes())
    arrays = good.arrays() | {"is_first": np.zeros(5, bool)}
    with pytest.raises(DataError, match="is_first: expected an episode's start in row 0"):
        FrameData("PointRobot", **arrays)
    with pytest.raises(DataError, match="rewards: expected 1 axes, 5 rows of float32, found float64"):
        FrameData("PointRobot", **(good.arrays() | {"rewards": np.zeros(5)}))


def test_windows_are_trees_of_arrays() -> None:
    assert isinstance(frames_of(two_episodes()).windows(length=2).frames, Frames)


def test_frames_are_not_taken_for_transitions(collected: FrameData, tmp_path: Path) -> None:
    pixels.save(tmp_path / "frames.hdf5", collected)
    with pytest.raises(DataError, match="card: expected transitions of vectors, found frames of images"):
        load(tmp_path / "frames.hdf5", TASK)
