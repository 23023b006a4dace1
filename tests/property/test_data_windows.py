"""Windows against their definition: every window, its padding, its start, and the sums to go, written out slowly."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data_fixtures import BINARY_TASK, make_dataset

from surefoot.data import Dataset, Windows, gather
from surefoot.data.windows import steps_left, steps_taken, sums_to_go, window_starts
from surefoot.errors import DataError
from surefoot.training import fit
from surefoot.types import DataSpec, Phase

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def dataset_of(lengths: list[int], tail: int) -> Dataset:
    return make_dataset(BINARY_TASK, lengths=lengths, tail=tail)


@settings(deadline=None, max_examples=30)
@given(LENGTHS, st.integers(0, 4))
def test_steps_are_counted_from_both_ends_of_their_episode(lengths: list[int], tail: int) -> None:
    dataset = dataset_of(lengths, tail)
    left = [count for length in lengths for count in range(length, 0, -1)] + [1] * tail
    taken = [count for length in [*lengths, tail] for count in range(length)]
    assert steps_left(dataset).tolist() == left
    assert steps_taken(dataset).tolist() == taken


@settings(deadline=None, max_examples=30)
@given(LENGTHS, st.integers(1, 9), st.integers(9, 12))
def test_windows_start_at_each_row_that_the_horizon_leaves(lengths: list[int], length: int, longest: int) -> None:
    dataset = dataset_of(lengths, 3)
    if length > max(lengths):
        with pytest.raises(DataError, match=f"expected at most {max(lengths)} steps, .* found {length}"):
            window_starts(dataset, length=length, longest=longest)
        return
    first, expected = 0, []
    for steps in lengths:
        expected += [first + offset for offset in range(min(steps - 1, longest - length) + 1)]
        first += steps
    assert window_starts(dataset, length=length, longest=longest).tolist() == expected


@settings(deadline=None, max_examples=30)
@given(LENGTHS, st.sampled_from([1.0, 0.9]), st.sampled_from([0.0, -100.0]))
def test_sums_to_go_are_the_discounted_sums_to_the_episodes_end(
    lengths: list[int], discount: float, penalty: float
) -> None:
    dataset = dataset_of(lengths, 2)
    before = dataset.required_rewards.copy()
    found = sums_to_go(dataset.required_rewards, dataset, discount=discount, at_termination=penalty)
    for start, end in zip(dataset.episode_starts, dataset.episode_ends, strict=True):
        for row in range(start, end):
            own = sum(discount ** (later - row) * float(dataset.required_rewards[later]) for later in range(row, end))
            ended = penalty * discount ** (end - 1 - row) if dataset.terminated[end - 1] else 0.0
            assert found[row] == pytest.approx(own + ended)
    assert (dataset.rewards == before).all()  # the penalty is added to a copy: once, however often this is called


def test_a_window_holds_its_episode_then_zeros_of_each_leafs_dtype() -> None:
    """Episodes of 2 and 3 steps: the window at row 1 has one step, that at row 2 all three of the second."""
    left = jnp.array([2, 1, 3, 2, 1], jnp.int32)
    steps = {"image": jnp.arange(10, 20, dtype=jnp.uint8).reshape(5, 1, 2), "reward": jnp.arange(1.0, 6.0)}
    windows, valid = jax.jit(lambda starts: gather(steps, left, starts, length=4))(jnp.array([1, 2]))
    assert valid.tolist() == [[True, False, False, False], [True, True, True, False]]
    assert windows["reward"].tolist() == [[2, 0, 0, 0], [3, 4, 5, 0]]
    assert windows["image"].dtype == jnp.uint8
    assert windows["image"][:, :, 0].tolist() == [[[12, 13]] + [[0, 0]] * 3, [[14, 15], [16, 17], [18, 19], [0, 0]]]


def test_windows_of_an_unfinished_episode_alone_are_refused() -> None:
    whole = dataset_of([1, 5], 0)
    cut = replace(whole, terminated=np.zeros(6, bool), truncated=np.zeros(6, bool))
    with pytest.raises(DataError, match="expected at least one complete episode, found none"):
        window_starts(cut, length=2, longest=9)


class Sum(NamedTuple):
    total: Any


class Pairs(NamedTuple):
    """Windows of two steps."""

    windows: Windows
    statistics = None

    @property
    def num_rows(self) -> int:
        return len(self.windows.starts)

    def take(self, rows: Any) -> Any:
        return gather(self.windows.steps, self.windows.left, self.windows.starts[rows], length=2)


class Summing:
    """Adds up the first rows of the windows that it is given."""

    phases = (Phase("sum", 6, 4),)

    def init(self, spec: DataSpec, key: Any, statistics: None = None) -> Sum:
        return Sum(jnp.zeros(()))

    def update(self, state: Sum, batch: Any, key: Any, *, phase: str) -> tuple[Sum, dict[str, Any]]:
        (values, _), largest = batch, batch[0].max()
        return Sum(state.total + values[:, 0].sum()), {"largest": largest}


def test_training_draws_starts_and_hands_the_algorithm_its_windows() -> None:
    """Only rows 0 and 2 may start a window: 24 windows add up to 24 + 2 times those at row 2, and never reach row 4."""
    values = np.array([1, 2, 3, 4, 9], np.float32)
    windows = Windows(values, jnp.array([2, 1, 3, 2, 1], jnp.int32), jnp.array([0, 2], jnp.int32))
    data = Pairs(windows)
    algorithm: Any = Summing()
    spec = DataSpec(1, 1, 3)
    state = fit(algorithm, data, spec=spec, seeds=(0, 5), log_interval=3, checkpoint_interval=6)
    totals = np.asarray(state.total)
    assert ((totals - 24) % 2 == 0).all()
    assert ((totals > 24) & (totals < 72)).all()
    none = Pairs(windows._replace(starts=jnp.zeros(0, jnp.int32)))
    with pytest.raises(DataError, match="data: expected at least one row that can be drawn, found none"):
        fit(algorithm, none, spec=spec, seeds=(0,), log_interval=3, checkpoint_interval=6)
