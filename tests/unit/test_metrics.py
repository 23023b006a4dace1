"""Statistics of episodes against numbers worked out by hand, and what must hold for all of them."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.errors import ConfigError, DataError
from surefoot.evaluation.metrics import (
    bootstrap_interval,
    conditional_value_at_risk,
    interquartile_mean,
    wilson_interval,
)
from surefoot.evaluation.summarize import fixed_start_figures, start_figures

COSTS = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


def row(**changes: Any) -> dict[str, Any]:
    plain = {
        "task": "PointRobot", "algorithm": "fisor", "extraction": "feasible_first", "start": "feasible", "seed": 0,
        "episode": 0, "return": 2.0, "cost": 0.0, "length": 100, "violating_steps": 0, "max_constraint": -0.1,
        "reached_goal": True, "exact_value": -0.2,
    }  # fmt: skip
    return plain | changes


def test_wilson_interval_by_hand() -> None:
    # 8 of 10, z = 1.959964, z^2 = 3.841459: centre (0.8 + 3.841459/20) / 1.3841459 = 0.716741,
    # half width 1.959964 / 1.3841459 * sqrt(0.8 * 0.2 / 10 + 3.841459 / 400) = 0.226577
    assert wilson_interval(8, 10) == pytest.approx((0.490164, 0.943318), abs=2e-6)
    # All of 10: 10 / (10 + z^2) = 0.722467 up to 1; none is its mirror image.
    assert wilson_interval(10, 10) == (pytest.approx(0.722467, abs=1e-6), 1.0)
    assert wilson_interval(0, 10) == (0.0, pytest.approx(0.277533, abs=1e-6))


@given(st.integers(1, 5000), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_interval_contains_the_share_and_narrows(trials: int, data: st.DataObject, level: float) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson_interval(successes, trials, level=level)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high
    narrow = wilson_interval(4 * successes, 4 * trials, level=level)
    assert narrow[1] - narrow[0] < high - low


@pytest.mark.parametrize(
    ("successes", "trials", "level"), [(0, 0, 0.95), (-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0), (1, 3, 0)]
)
def test_wilson_interval_refuses(successes: int, trials: int, level: float) -> None:
    with pytest.raises(ConfigError, match="expected"):
        wilson_interval(successes, trials, level=level)


def test_cvar_by_hand() -> None:
    costs = np.arange(1, 11)
    assert conditional_value_at_risk(costs, level=0.8) == pytest.approx(9.5)  # (10 + 9) / 2
    # The worst 2.5 of ten values: (10 + 9 + 8 / 2) / 2.5 = 9.2
    assert conditional_value_at_risk(costs, level=0.75) == pytest.approx(9.2)
    assert conditional_value_at_risk([3.0], level=0.99) == pytest.approx(3.0)


@given(COSTS, st.floats(0, 0.999), st.floats(0, 0.999))
def test_cvar_lies_between_mean_and_maximum_and_grows_with_the_level(
    costs: list[float], one: float, two: float
) -> None:
    low, high = (conditional_value_at_risk(costs, level=level) for level in sorted((one, two)))
    slack = 1e-9 * (1 + max(costs))
    assert np.mean(costs) - slack <= low <= high + slack <= max(costs) + 2 * slack
    assert conditional_value_at_risk(costs, level=0.0) == pytest.approx(np.mean(costs))


def test_interquartile_mean_by_hand() -> None:
    # Eight values: two are dropped at each end, (3 + 4 + 5 + 6) / 4; five values: one at each end, (2 + 3 + 10) / 3.
    assert interquartile_mean([-1000, 2, 3, 4, 5, 6, 7, 1000]) == pytest.approx(4.5)
    assert interquartile_mean([10, 2, 3, 99, -99]) == pytest.approx(5.0)
    assert interquartile_mean([7]) == 7.0


def test_bootstrap_keeps_the_seeds_apart() -> None:
    # Each seed's episodes are all alike, so that resampling within a seed changes nothing: (3 * 1 + 1 * 5) / 4 = 2.
    # A bootstrap of the pooled values would spread between 1 and 5.
    assert bootstrap_interval([[1.0, 1.0, 1.0], [5.0]], resamples=200) == (2.0, 2.0)


def test_bootstrap_agrees_with_the_normal_interval_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, (3, 400))
    low, high = bootstrap_interval(list(values), np.mean, level=0.9, resamples=4000)
    # 1.645 standard errors, within-seed deviations / sqrt(1200), on each side; the quantiles' noise is about 3 %.
    half = 1.645 * math.sqrt(values.var(axis=1).mean() / values.size)
    assert low == pytest.approx(values.mean() - half, abs=0.08 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.08 * half)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=20), min_size=1, max_size=4), st.integers(0, 5))
def test_bootstrap_contains_the_mean_and_repeats(values: list[list[float]], seed: int) -> None:
    low, high = bootstrap_interval(values, resamples=400, seed=seed)
    pooled = np.concatenate([np.array(stratum) for stratum in values])
    assert pooled.min() - 1e-9 <= low <= pooled.mean() + 1e-9
    assert pooled.mean() - 1e-9 <= high <= pooled.max() + 1e-9
    assert bootstrap_interval(values, resamples=400, seed=seed) == (low, high)


def test_statistics_refuse_nothing_and_nan() -> None:
    for statistic in (conditional_value_at_risk, interquartile_mean):
        with pytest.raises(ConfigError, match="expected at least one"):
            statistic([])
        with pytest.raises(DataError, match="expected finite numbers, found nan"):
            statistic([1.0, math.nan])
    with pytest.raises(ConfigError, match="at least one seed"):
        bootstrap_interval([])
    with pytest.raises(ConfigError, match="stratum 1: expected at least one"):
        bootstrap_interval([[1.0], []])
    with pytest.raises(ConfigError, match=r"level: expected a number in \[0, 1\), found 1"):
        conditional_value_at_risk([1.0], level=1)


def test_summarize_by_hand() -> None:
    rows = [
        row(seed=1, episode=0, **{"return": 4.0}),
        row(seed=0, episode=0, **{"return": 1.0}),
        row(seed=0, episode=1, cost=6.0, violating_steps=6, reached_goal=False, **{"return": 2.0}),
        row(seed=1, episode=1, **{"return": 5.0}),
        row(start="infeasible", violating_steps=3, cost=3.0),
    ]
    found = start_figures(rows)
    assert list(found) == ["feasible", "infeasible"]
    feasible = found["feasible"]
    assert feasible["episodes"] == 4
    assert feasible["seeds"] == [0, 1]
    assert feasible["violation_free_rate"] == 0.75
    assert feasible["violation_free_interval"] == list(wilson_interval(3, 4))
    assert feasible["return_mean"] == 3.0  # (4 + 1 + 2 + 5) / 4
    assert feasible["return_iqm"] == 3.0  # 1 and 5 are dropped: (2 + 4) / 2
    assert feasible["return_interval"][0] < 3.0 < feasible["return_interval"][1]
    assert feasible["violating_steps_mean"] == 1.5
    assert feasible["goal_rate"] == 0.75
    assert feasible["cost_cvar"] == pytest.approx(6.0)  # the worst 0.4 of an episode lies in the only costly one
    assert feasible["per_seed"]["return_mean"] == [1.5, 4.5]
    assert feasible["per_seed"]["violation_free_rate"] == [0.5, 1.0]
    assert found["infeasible"]["violation_free_rate"] == 0.0
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"return": math.nan}, "key 'return' of row 1: expected a finite number, found nan"),
        ({"cost": None}, "key 'cost' of row 1: expected a finite number, found None"),
        ({"reached_goal": 1}, "key 'reached_goal' of row 1: expected true or false, found 1"),
        ({"start": None}, "key 'start' of row 1: expected a name, found None"),
        ({"algorithm": "bc"}, "key 'algorithm': expected a single one, found bc, fisor"),
        ({"episode": 0}, "expected episode 0 of seed 0 .* once, found it twice"),
    ],
)
def test_summarize_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        start_figures([row(), row(episode=1) | changes])


def test_summarize_refuses_no_rows() -> None:
    with pytest.raises(DataError, match="expected at least one episode, found none"):
        start_figures([])


def test_fixed_starts_collects_the_seeds_of_each_pose() -> None:
    rows = [
        row(start="fixed", seed=1, episode=0, max_constraint=0.02, reached_goal=False),
        row(start="fixed", seed=0, episode=0, max_constraint=-0.3),
        row(start="fixed", seed=0, episode=1, max_constraint=0.5, **{"return": 7.0}),
        row(start="feasible", seed=0, episode=0, max_constraint=9.0),
    ]
    first, second = fixed_start_figures(rows, [(-1.8, 0, 2, 0.785), (-2.7, -2.7, 1, 0.785)])
    assert first == {
        "pose": [-1.8, 0.0, 2.0, 0.785], "seeds": [0, 1], "reached_goal": [True, False],
        "max_violation_m": [0.0, 0.02], "return": [2.0, 2.0],
    }  # fmt: skip
    assert second["max_violation_m"] == [0.5]
    with pytest.raises(DataError, match="expected an episode 2 of start set 'fixed', found none"):
        fixed_start_figures(rows, [(0, 0, 0, 0)] * 3)
