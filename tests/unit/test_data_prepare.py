"""From logged rows to transitions: scales, clips and the constraint signal."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import BINARY_TASK, POINT_ROBOT, make_dataset

from surefoot.data import reward_scale_of, to_transitions
from surefoot.types import UNKNOWN_AHEAD


def test_the_reward_scale_is_the_horizon_over_the_reference_span() -> None:
    assert reward_scale_of(POINT_ROBOT) == pytest.approx(300 / 8.05)
    assert reward_scale_of(BINARY_TASK) == pytest.approx(40 / (30 - -10))


def test_every_leaf_is_float32_and_carries_its_column() -> None:
    dataset = make_dataset()
    transitions = to_transitions(dataset, reward_scale=1.0)
    assert {leaf.dtype for leaf in transitions} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(transitions.observation, dataset.observations)
    np.testing.assert_array_equal(transitions.next_observation, dataset.next_observations)
    np.testing.assert_array_equal(transitions.cost, dataset.costs)
    np.testing.assert_array_equal(transitions.terminated, dataset.terminated)
    np.testing.assert_array_equal(transitions.truncated, dataset.truncated)


def test_rewards_are_scaled_and_the_data_left_alone() -> None:
    dataset = make_dataset()
    before = dataset.fingerprint()
    np.testing.assert_allclose(
        to_transitions(dataset, reward_scale=37.0).reward, dataset.required_rewards * 37.0, rtol=1e-6
    )
    assert dataset.fingerprint() == before


def test_actions_stay_off_the_border_by_1e_5() -> None:
    dataset = make_dataset()
    dataset.actions[:3, 0] = [-1.0005, 1.0, 0.25]
    action = to_transitions(dataset, reward_scale=1.0).action
    limit = np.float32(1 - 1e-5)
    assert action[:3, 0].tolist() == [-limit, limit, 0.25]


def test_the_signal_before_a_step_is_that_of_the_row_before_it_in_the_same_episode() -> None:
    # Three blocks: rows 0-1, rows 2-4 and the tail, rows 5-6; each first row takes its own value.
    dataset = make_dataset(lengths=(2, 3), tail=2)
    h = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], np.float32)
    transitions = to_transitions(replace(dataset, constraints=h), reward_scale=1.0)
    np.testing.assert_array_equal(transitions.constraint, h)
    np.testing.assert_array_equal(transitions.constraint_before, h[[0, 0, 2, 2, 3, 5, 5]])


def test_the_signal_ahead_is_the_largest_to_the_end_of_an_episode_that_terminated() -> None:
    # Rows 0-3 terminate, rows 4-5 time out, rows 6-7 are an unfinished tail: of those what follows is not known.
    dataset = make_dataset(lengths=(4, 2), tail=2)
    ends = {"terminated": np.arange(8) == 3, "truncated": np.arange(8) == 5}
    h = np.array([0.1, 0.4, -0.2, -0.3, 0.5, 0.6, 0.7, 0.8], np.float32)
    ahead = to_transitions(replace(dataset, constraints=h, **ends), reward_scale=1.0).constraint_ahead
    np.testing.assert_array_equal(ahead[:4], np.array([0.4, 0.4, -0.2, -0.3], np.float32))
    np.testing.assert_array_equal(ahead[4:], np.full(4, UNKNOWN_AHEAD, np.float32))


def test_a_way_that_was_cut_is_worth_its_discounted_value_with_a_violation_after_the_cut() -> None:
    """h = -1, 2, -1, -1 at discount 0.5, 2 supposed after the cut: from the last row on (-1 + 2) / 2 = 0.5, then
    (-1 + 0.5) / 2 = -0.25, at the violation 2, before it (-1 + 2) / 2 = 0.5."""
    dataset = make_dataset(BINARY_TASK, lengths=(4,), tail=0)
    ends = {"terminated": np.zeros(4, bool), "truncated": np.arange(4) == 3}
    dataset = replace(dataset, costs=np.array([0, 1, 0, 0], np.float32), **ends)
    ahead = to_transitions(dataset, reward_scale=1.0, violation_scale=2.0, constraint_discount=0.5).constraint_ahead
    np.testing.assert_allclose(ahead, [0.5, 2.0, -0.25, 0.5], rtol=1e-6)
    unknown = to_transitions(dataset, reward_scale=1.0, violation_scale=2.0).constraint_ahead
    np.testing.assert_array_equal(unknown, np.full(4, UNKNOWN_AHEAD, np.float32))


def test_costs_become_a_signal_where_none_is_logged() -> None:
    dataset = replace(make_dataset(BINARY_TASK, lengths=(3,), tail=0), costs=np.array([0, 0.5, 2], np.float32))
    assert to_transitions(dataset, reward_scale=1.0).constraint.tolist() == [-1.0, 25.0, 25.0]
    scaled = to_transitions(dataset, reward_scale=1.0, violation_scale=4.0)
    assert scaled.constraint.tolist() == [-1.0, 4.0, 4.0]
    assert scaled.constraint_before.tolist() == [-1.0, -1.0, 4.0]
