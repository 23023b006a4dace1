"""Scores and figures of the evaluation protocols, each expected number with its arithmetic."""

import math
from typing import Any

import pytest
from tests.fake_vector import TASK

from surefoot.errors import ConfigError, DataError
from surefoot.evaluation.kinds.limits import protocol_rows
from surefoot.evaluation.protocol import cost_limits, normalised_cost, normalised_return
from surefoot.evaluation.rows import against_limits
from surefoot.evaluation.simulated import Episode
from surefoot.evaluation.summarize import protocol_figures
from surefoot.tasks import get_task

METHOD = {"task": "Fake", "algorithm": "bc", "data": "all", "extraction": "single"}
# Costs of seed 0: 0, 1, 2, 3; of seed 1: 0, 0, 4, 8.
EPISODES = [
    Episode(seed, episode, episode_return=float(episode), cost=cost, length=5, terminated=False, restarts=seed)
    for seed, costs in ((0, (0.0, 1.0, 2.0, 3.0)), (1, (0.0, 0.0, 4.0, 8.0)))
    for episode, cost in enumerate(costs)
]


def scored(episodes: list[Episode], protocol: Any) -> list[dict[str, Any]]:
    """Their rows against the limits of a protocol."""
    return against_limits(protocol_rows(episodes, TASK, method=METHOD), cost_limits(TASK, protocol), protocol)


def rows_of(protocol: Any) -> list[dict[str, Any]]:
    return scored(EPISODES, protocol)


def test_limits_are_those_of_both_protocols() -> None:
    assert cost_limits(get_task("PointGoal1"), "strict") == (10.0,)
    assert cost_limits(get_task("PointGoal1"), "dsrl") == (20.0, 40.0, 80.0)
    assert cost_limits(get_task("BallRun"), "strict") == (5.0,)
    assert cost_limits(get_task("easymean"), "dsrl") == (10.0, 20.0, 40.0)
    with pytest.raises(ConfigError, match="protocol dsrl: task PointRobot is not in it"):
        cost_limits(get_task("PointRobot"), "dsrl")


def test_scores() -> None:
    assert normalised_cost(3.0, 2.0) == 1.5
    # A limit of 0: (C + 1) / (0 + 1), so that no cost scores 1 and any cost more.
    assert [normalised_cost(cost, 0.0) for cost in (0.0, 2.0)] == [1.0, 3.0]
    task = get_task("BallRun")
    assert normalised_return(task.return_min, task) == 0.0
    assert normalised_return(task.return_max, task) == 1.0


def test_rows_carry_the_columns_of_the_protocol() -> None:
    row = rows_of("strict")[3]
    assert row == {
        **METHOD, "protocol": "strict", "limit": 2.0, "seed": 0, "episode": 3,
        "simulator_seed": 1_000_003, "return": 3.0, "cost": 3.0, "length": 5, "normalised_return": 0.3,
        "normalised_cost": 1.5, "terminated": False, "restarts": 0,
    }  # fmt: skip


def test_strict_figures() -> None:
    figures = protocol_figures(rows_of("strict"))
    limit = figures["limits"][0]
    assert (figures["episodes"], figures["seeds"], figures["restarts"]) == (8, [0, 1], 4)
    assert figures["return_mean"] == 1.5
    assert figures["normalised_return_mean"] == pytest.approx(0.15)
    # Costs 0 1 2 3 0 0 4 8: 18 / 8; over the limit of 2 half of that.
    assert figures["cost_mean"] == 2.25
    assert figures["normalised_cost_mean"] == limit["normalised_cost_mean"] == 1.125
    assert not figures["safe"]
    # The worst 10 % of 8 episodes is 0.8 of the one that cost 8.
    assert figures["cost_cvar"] == pytest.approx(8.0)
    # Sorted 0 0 0 0.5 1 1.5 2 4 without two at each end: (0 + 0.5 + 1 + 1.5) / 4.
    assert limit["normalised_cost_iqm"] == 0.75
    # Within the limit: 0 1 2 of seed 0, 0 0 of seed 1.
    assert limit["episode_safe_rate"] == 5 / 8
    assert limit["episode_safe_rate_per_seed"] == [0.75, 0.5]
    # Wilson with z = 1.96: centre (5/8 + z^2/16) / (1 + z^2/8) = 0.584, half 0.279.
    assert limit["episode_safe_interval"] == pytest.approx([0.3057, 0.8632], abs=1e-3)
    # Seed 0's mean cost is 1.5 of 2, seed 1's 3 of 2.
    assert limit["normalised_cost_per_seed"] == [0.75, 1.5]
    assert limit["seed_safe_rate"] == 0.5
    assert limit["seed_safe_interval"] == pytest.approx([0.0945, 0.9055], abs=1e-3)
    assert figures["zero_cost_rate"] == 3 / 8
    low, high = limit["normalised_cost_iqm_interval"]
    assert 0 <= low < 0.75 < high <= 4


def test_dsrl_averages_over_its_limits() -> None:
    figures = protocol_figures(rows_of("dsrl"))
    assert [record["limit"] for record in figures["limits"]] == [1.0, 2.0, 4.0]
    assert figures["episodes"] == 8
    # 2.25 (1 + 1/2 + 1/4) / 3.
    assert figures["normalised_cost_mean"] == pytest.approx(1.3125)
    # Episodes within 1, 2 and 4: 4, 5 and 7 of 8.
    assert [record["episode_safe_rate"] for record in figures["limits"]] == [4 / 8, 5 / 8, 7 / 8]
    assert figures["episode_safe_rate"] == pytest.approx(16 / 24)
    assert figures["cost_mean"] == 2.25


def test_the_bootstrap_stays_within_a_seed() -> None:
    # All episodes of a seed alike: resampling inside seeds changes nothing, so the interval has no width.
    episodes = [Episode(seed, k, float(seed), 0.0, 5, False, 0) for seed in (0, 1) for k in range(4)]
    figures = protocol_figures(scored(episodes, "strict"))
    assert figures["normalised_return_interval"] == pytest.approx([0.05, 0.05])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cost": math.nan}, "key 'cost' of row 0: expected a finite number, found nan"),
        ({"episode": 1}, "expected episode 1 of seed 0 (limit 2.0) once, found it twice"),
        ({"algorithm": "fisor"}, "key 'algorithm': expected a single one, found bc, fisor"),
        ({"data": "safe"}, "key 'data': expected a single one, found all, safe"),
    ],
)
def test_rows_that_cannot_be_pooled_are_refused(change: dict[str, Any], sentence: str) -> None:
    rows = rows_of("strict")
    rows[0] |= change
    with pytest.raises(DataError) as raised:
        protocol_figures(rows)
    assert sentence in str(raised.value)


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="found none"):
        protocol_figures([])
