"""Episode bounds and statistics, the fingerprint, and what a Dataset refuses."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import is_one_sentence, make_dataset

from surefoot.data import Dataset
from surefoot.errors import DataError


@pytest.fixture
def dataset() -> Dataset:
    """Seven rows: episodes 0-2 (terminated) and 3-4 (truncated), and a tail of two."""
    rows = np.arange(7, dtype=np.float32)
    return Dataset(
        task="T",
        observations=rows[:, None],
        actions=rows[:, None] / 10,
        rewards=np.array([1, 2, 3, 10, 20, 500, 500], np.float32),
        costs=np.array([0, 1, 0.5, 0, 0, 9, 9], np.float32),
        next_observations=rows[:, None] + 1,
        terminated=np.array([0, 0, 1, 0, 0, 0, 0], bool),
        truncated=np.array([0, 0, 0, 0, 1, 0, 0], bool),
        constraints=np.array([-1, 0.2, -1, 0.0, 0.1, 3, 3], np.float32),
    )


def test_statistics_cover_complete_episodes_only(dataset: Dataset) -> None:
    assert len(dataset) == 7
    assert dataset.episode_starts.tolist() == [0, 3]
    assert dataset.episode_ends.tolist() == [3, 5]
    assert dataset.lengths.tolist() == [3, 2]
    assert dataset.returns.tolist() == [6.0, 30.0]  # 1 + 2 + 3 and 10 + 20; the tail's 500s are left out
    assert dataset.cost_returns.tolist() == [1.5, 0.0]
    assert dataset.violating_steps.tolist() == [1, 1]  # h = 0.2; h = 0.1 (h = 0 touches and does not violate)


def test_costs_stand_in_for_a_missing_constraint_signal(dataset: Dataset) -> None:
    assert replace(dataset, constraints=None).violating_steps.tolist() == [2, 0]  # costs 1 and 0.5


def test_a_step_that_terminates_and_truncates_ends_one_episode(dataset: Dataset) -> None:
    both = replace(dataset, truncated=dataset.truncated | dataset.terminated)
    assert both.episode_ends.tolist() == [3, 5]


def test_without_an_end_there_is_no_episode(dataset: Dataset) -> None:
    tail_only = replace(dataset, terminated=np.zeros(7, bool), truncated=np.zeros(7, bool))
    for statistic in (tail_only.episode_starts, tail_only.lengths, tail_only.returns, tail_only.violating_steps):
        assert statistic.tolist() == []


def test_sums_are_exact_beyond_float32(dataset: Dataset) -> None:
    # float32 has no 2^24 + 1: adding 1 to 2^24 twice would stay at 2^24.
    rewards = np.array([2**24, 1, 1, 0, 0, 0, 0], np.float32)
    assert replace(dataset, rewards=rewards).returns[0] == 2**24 + 2


def test_the_fingerprint_follows_every_array_and_no_memory_layout() -> None:
    dataset = make_dataset()
    prints = {dataset.fingerprint(), replace(dataset, constraints=None).fingerprint()}
    for name, array in dataset.arrays():
        changed = array.copy()
        changed[5] = ~changed[5] if changed.dtype == bool else changed[5] + 1
        prints.add(replace(dataset, **{name: changed}).fingerprint())
    assert len(prints) == 1 + 1 + 8
    assert all(len(text) == 64 and set(text) <= set("0123456789abcdef") for text in prints)
    other_layout = replace(dataset, observations=np.asfortranarray(dataset.observations))
    assert other_layout.fingerprint() == dataset.fingerprint()


def test_the_fingerprint_of_known_data_never_changes() -> None:
    ones = np.ones((1, 1), np.float32)
    flag = np.ones(1, bool)
    tiny = Dataset("T", ones, ones, ones[0], ones[0], ones, flag, flag)
    # sha256 of "observations <f4 (1, 1)\n" + 00 00 80 3f + "actions <f4 (1, 1)\n" + ..., in the order of the fields.
    digest = hashlib.sha256()
    for name in ("observations", "actions", "rewards", "costs", "next_observations"):
        shape = "(1,)" if name in ("rewards", "costs") else "(1, 1)"
        digest.update(f"{name} <f4 {shape}\n".encode() + b"\x00\x00\x80\x3f")
    for name in ("terminated", "truncated"):
        digest.update(f"{name} |b1 (1,)\n".encode() + b"\x01")
    assert tiny.fingerprint() == digest.hexdigest()


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("rewards", np.zeros(6, np.float32), r"float32 \[6\]"),
        ("rewards", np.zeros(7), r"float64 \[7\]"),
        ("terminated", np.zeros(7, np.float32), r"float32 \[7\]"),
        ("actions", np.zeros(7, np.float32), r"float32 \[7\]"),
        ("next_observations", np.zeros((7, 2), np.float32), r"\[7, 2\]"),
    ],
)
def test_a_wrong_shape_or_dtype_is_refused(dataset: Dataset, field: str, value: np.ndarray, found: str) -> None:
    with pytest.raises(DataError, match=rf"dataset of T: {field}: expected .*, found {found}\.$") as refusal:
        replace(dataset, **{field: value})
    assert is_one_sentence(str(refusal.value))
