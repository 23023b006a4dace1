"""Constrained cross-entropy planning: the elite, the refit and the shift by hand, and what a search ends at."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.errors import ConfigError
from surefoot.planning import CrossEntropyConfig, plan_actions, refit, safe_first, shifted

RETURNS = jnp.array([[5.0, 1.0, 9.0, 3.0, 7.0]])


def test_where_enough_sequences_are_safe_the_best_of_them_are_the_elite() -> None:
    costs = jnp.array([[0.5, 0.5, 2.0, 1.9, 0.0]])
    # Below 2: sequences 0, 1, 3 and 4, with returns 5, 1, 3 and 7. The best, of return 9, costs 2 and is out.
    chosen = safe_first(RETURNS, costs, limit=2.0, elites=3)
    np.testing.assert_array_equal(chosen, [[4, 0, 3]])


def test_where_fewer_are_safe_the_cheapest_are_whatever_they_bring() -> None:
    costs = jnp.array([[4.0, 1.0, 3.0, 6.0, 0.5]])
    # Two below 2, three are wanted: by cost 4 (0.5), 1 (1), 2 (3).
    np.testing.assert_array_equal(safe_first(RETURNS, costs, limit=2.0, elites=3), [[4, 1, 2]])
    # Two are wanted: both are safe, the better return first.
    np.testing.assert_array_equal(safe_first(RETURNS, costs, limit=2.0, elites=2), [[4, 1]])


def test_every_environment_has_its_own_elite() -> None:
    costs = jnp.array([[0.0, 0.0, 0.0, 0.0, 0.0], [4.0, 1.0, 3.0, 6.0, 5.0]])
    chosen = safe_first(jnp.concatenate([RETURNS, RETURNS]), costs, limit=2.0, elites=2)
    np.testing.assert_array_equal(chosen, [[2, 4], [1, 2]])


def test_the_refit_by_hand() -> None:
    mean = jnp.array([[[1.0], [0.0]]])
    elite = jnp.array([[[[0.2], [0.5]], [[0.4], [-0.5]]]])
    found, deviation = refit(mean, elite, momentum=0.1)
    # 0.1 * 1 + 0.9 * 0.3 = 0.37; 0.1 * 0 + 0.9 * 0 = 0. Deviations of (0.2, 0.4) and (0.5, -0.5): 0.1 and 0.5.
    np.testing.assert_allclose(found, [[[0.37], [0.0]]], rtol=1e-6)
    np.testing.assert_allclose(deviation, [[[0.1], [0.5]]], rtol=1e-6)


def test_the_next_plan_starts_a_step_later() -> None:
    np.testing.assert_array_equal(shifted(jnp.array([[[1.0], [2.0], [3.0]]])), [[[2.0], [3.0], [0.0]]])


def sums(sequences: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return: the sum of all numbers. Cost: 1 where the first action is above 0.25, in the first environment only."""
    first_above = (sequences[:, :, 0, 0] > 0.25) * 1.0
    return sequences.sum((2, 3)), first_above * jnp.array([[1.0], [0.0]])


def test_a_search_goes_for_the_return_as_far_as_the_cost_allows() -> None:
    config = CrossEntropyConfig(num_samples=200, iterations=8, num_elites=20)
    plan = jax.jit(lambda key: plan_actions(sums, jnp.zeros((2, 3, 1)), key, limit=0.5, config=config))(
        jax.random.key(0)
    )
    assert plan.mean.shape == (2, 3, 1)
    # Everything goes to 1, but for the action that may not pass 0.25.
    assert (np.asarray(plan.mean[:, 1:]) > 0.8).all()
    assert 0.1 < plan.mean[0, 0, 0] < 0.26
    assert plan.mean[1, 0, 0] > 0.8
    np.testing.assert_allclose(plan.safe_share[1], 1.0)  # of what costs nothing, all


def test_a_proposal_that_nothing_drawn_reaches_becomes_the_plan() -> None:
    config = CrossEntropyConfig(num_samples=4, num_policy_samples=1, iterations=1, num_elites=1, momentum=0.0, std=0.01)
    proposals = jnp.full((2, 1, 3, 1), 0.25)
    plan = plan_actions(sums, jnp.zeros((2, 3, 1)), jax.random.key(0), limit=0.5, config=config, proposals=proposals)
    np.testing.assert_allclose(plan.mean, 0.25)
    np.testing.assert_allclose(plan.deviation, 0.0)


def test_settings_that_cannot_be_are_refused() -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"num_elites": 501}, "num_elites: expected at most all 500 sequences, found 501"),
        ({"iterations": 0}, "iterations: expected at least 1, found 0"),
        ({"num_policy_samples": -1}, "num_policy_samples: expected at least 0, found -1"),
        ({"momentum": 1.0}, r"momentum: expected a number in \[0, 1\), found 1"),
        ({"std": 0.0}, r"std: expected a number in \(0, inf\), found 0"),
    ]
    for changes, sentence in refused:
        with pytest.raises(ConfigError, match=sentence):
            CrossEntropyConfig(**changes)
