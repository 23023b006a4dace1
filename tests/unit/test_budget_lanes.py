"""Episodes under budgets side by side: sums that can be added up by hand, on a pure task and on a simulator."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fake_vector import FakeVector
from tests.stub_planner import HORIZON, SPEND, StubPlanner

from surefoot.errors import OutputError
from surefoot.evaluation.lanes import LaneResults, Lanes, roll_out_pure, roll_out_vector

STATE = {"gain": jnp.ones(())}
NO_MARGIN = np.zeros(HORIZON)


def lanes_of(*totals: Any, episodes: Any = None) -> Lanes:
    rows = np.array([np.broadcast_to(total, HORIZON) for total in totals], float)
    return Lanes(np.arange(len(totals)) if episodes is None else np.array(episodes), rows)


def spend(planner: StubPlanner, lanes: Lanes, **options: Any) -> LaneResults:
    return roll_out_pure(planner, STATE, SPEND, lanes, **{"seed": 0, "margins": NO_MARGIN, **options})


def test_each_lane_spends_its_own_budget() -> None:
    results = spend(StubPlanner(), lanes_of(0.0, 0.5, 2.0, np.inf))
    # 1 a step while something is left; without a limit the task ends the episode above 3.5, after the fourth step.
    np.testing.assert_allclose(results.cost, [0.0, 0.5, 2.0, 4.0])
    np.testing.assert_allclose(results.episode_return, results.cost)
    np.testing.assert_array_equal(results.length, [6, 6, 6, 4])
    np.testing.assert_array_equal(results.terminated, [False, False, False, True])
    assert results.steps == HORIZON


def test_a_budget_that_changes_within_the_episode() -> None:
    # 3 at first: 1, 1. From step 2 on 1.5, of which 2 are spent: nothing more. From step 4 on 2.75: 0.75 more.
    results = spend(StubPlanner(), lanes_of([3, 3, 1.5, 1.5, 2.75, 2.75]))
    np.testing.assert_allclose(results.cost, [2.75])


def test_a_margin_is_taken_off_what_is_left() -> None:
    results = spend(StubPlanner(), lanes_of(2.0), margins=np.array([0.5] * 6))
    np.testing.assert_allclose(results.cost, [1.5])
    # Only before the last two steps: by then everything is spent.
    results = spend(StubPlanner(), lanes_of(2.0), margins=np.array([0.0] * 4 + [0.5] * 2))
    np.testing.assert_allclose(results.cost, [2.0])


def test_discounted_costs_are_counted_by_the_planners_discount() -> None:
    # b = 1.25 at discount 0.5: spends 1, then has (1.25 - 1) / 0.5 = 0.5 left, spends that: 1 + 0.5 x 0.5 = 1.25.
    results = spend(StubPlanner(budget_discount=0.5), lanes_of(1.25))
    np.testing.assert_allclose(results.cost, [1.5])
    np.testing.assert_allclose(results.discounted_cost, [1.25])


def test_noise_is_a_function_of_seed_episode_and_step() -> None:
    planner, lanes = StubPlanner(noise=0.3), lanes_of(1.0, 1.0, 2.0, 1.0, episodes=[0, 1, 0, 0])
    first = spend(planner, lanes, seed=3)
    assert first.cost[0] == first.cost[3]
    assert len(set(first.cost)) == 3  # another episode, another budget
    assert (spend(planner, lanes, seed=4).cost != first.cost).all()
    alone = spend(planner, lanes_of(1.0, 2.0, episodes=[1, 0]), seed=3)  # elsewhere, among others
    np.testing.assert_array_equal(alone.cost, first.cost[1:3])


def test_idle_lanes_do_nothing() -> None:
    results = spend(StubPlanner(), lanes_of(2.0, 2.0, episodes=[0, -1]))
    np.testing.assert_array_equal(results.length, [6, 0])
    np.testing.assert_array_equal(results.cost, [2.0, 0.0])


def test_watched_lanes_are_kept_with_their_plans() -> None:
    done: list[int] = []
    results = spend(StubPlanner(), lanes_of(0.0, 2.0), watch=[1], on_step=done.append)
    assert results.watched.observations.shape == (HORIZON, 1, 2)
    np.testing.assert_allclose(results.watched.observations[:, 0, 0], [0, 1, 2, 2, 2, 2])
    assert results.watched.plans is not None
    assert results.watched.plans.shape == (HORIZON, 1, 3, 2)
    np.testing.assert_allclose(results.watched.plans[:, 0, 2], results.watched.observations[:, 0])
    assert done == [HORIZON]


def test_nothing_is_shown_behind_the_end_of_an_episode() -> None:
    # Without a limit four steps, from 0, 1, 2 and 3; on the simulator lane 2 has four of six steps.
    for watched in (
        spend(StubPlanner(), lanes_of(0.0, np.inf), watch=[1]).watched,
        on_simulator(0.0, 0.5, 1.0, watch=[2]).watched,
    ):
        lived = [True] * 4 + [False] * 2
        np.testing.assert_array_equal(np.isfinite(watched.observations).all((1, 2)), lived)
        assert watched.plans is not None
        np.testing.assert_array_equal(np.isfinite(watched.plans).all((1, 2, 3)), lived)
        np.testing.assert_array_equal(np.isnan(watched.plans).all((1, 2, 3)), np.logical_not(lived))


def on_simulator(
    *totals: Any, episodes: Any = None, deaths_at: Any = (), noise: float = 0.0, **options: Any
) -> LaneResults:
    lanes = lanes_of(*totals, episodes=episodes)
    vector = FakeVector(len(totals), deaths_at=deaths_at)
    return roll_out_vector(
        StubPlanner(noise=noise), STATE, vector, lanes, **{"seed": 0, "margins": NO_MARGIN, **options}
    )


def test_the_same_on_a_simulator() -> None:
    """The fake simulator starts at (seed % 5) / 10 = 0 and costs 1 a step above 1, which two steps of 1 reach."""
    results = on_simulator(0.0, 0.5, 1.0)
    # Seeds 1,000,000 to 1,000,002 last 4 + seed % 3 = 5, 6, 4 steps; those of even seeds terminate.
    np.testing.assert_array_equal(results.length, [5, 6, 4])
    np.testing.assert_array_equal(results.terminated, [True, False, True])
    # Lane 0 never moves. Lane 1 starts at 0.1 and moves by 0.5 a step: 0.6, 1.1: a cost of 1, left -0.5, then it stays
    # above 1: costs in steps 2 to 6. Lane 2 starts at 0.2: 1.2 at once, costs in all of its four steps.
    np.testing.assert_allclose(results.cost, [0.0, 5.0, 4.0])
    np.testing.assert_allclose(results.discounted_cost, results.cost)
    np.testing.assert_allclose(results.episode_return[1], 0.6 + 5 * 1.1)
    assert results.steps == 6


def test_a_worker_that_dies_begins_its_episodes_again_with_the_whole_budget() -> None:
    undisturbed = on_simulator(0.5, 1.0, noise=0.3)
    disturbed = on_simulator(0.5, 1.0, noise=0.3, deaths_at=[3])
    np.testing.assert_array_equal(disturbed.restarts, [1, 1])
    for column in ("cost", "discounted_cost", "episode_return", "length", "terminated"):
        np.testing.assert_array_equal(getattr(disturbed, column), getattr(undisturbed, column))


def test_idle_lanes_of_a_simulator() -> None:
    results = on_simulator(0.5, 0.5, episodes=[1, -1], watch=[0])
    np.testing.assert_array_equal(results.length, [6, 0])
    assert results.watched.observations.shape == (6, 1, 2)
    assert results.watched.plans is not None
    assert results.watched.plans.shape == (6, 1, 3, 2)


def test_a_planner_that_shows_no_plans() -> None:
    class Silent(StubPlanner):
        imagined = None  # type: ignore[assignment]

    results = roll_out_pure(Silent(), STATE, SPEND, lanes_of(1.0), seed=0, margins=NO_MARGIN, watch=[0])
    assert results.watched.plans is None
    assert results.watched.observations.shape == (HORIZON, 1, 2)


def test_actions_that_are_not_finite_end_the_evaluation() -> None:
    broken = {"gain": np.float32(np.nan)}
    with pytest.raises(
        OutputError, match=r"^return of an episode \(environment\): .* found nan at \[0\]; the policy gave"
    ):
        roll_out_pure(StubPlanner(), broken, SPEND, lanes_of(1.0), seed=0, margins=NO_MARGIN)
