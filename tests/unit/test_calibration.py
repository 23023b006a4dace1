"""Margins from held-out outcomes: ranks by hand, coverage by simulation, what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence

from surefoot.errors import ConfigError
from surefoot.evaluation.metrics import bootstrap_interval, wilson_interval
from surefoot.safety.calibration import Calibration, read_calibration, write_calibration
from surefoot.safety.margins import (
    HeldOut,
    conformal_quantile,
    episode_margin,
    kept_budgets,
    segment_margins,
    selection_margins,
)


def test_the_rank_of_the_conformal_quantile() -> None:
    residuals = np.arange(1.0, 20.0)  # 19 of them: 1, ..., 19
    # ceil(20 x 0.95) = 19th, ceil(20 x 0.9) = 18th, ceil(20 x 0.5) = 10th smallest.
    assert conformal_quantile(residuals[::-1], 0.05) == 19.0
    assert conformal_quantile(residuals, 0.1) == 18.0
    assert conformal_quantile(residuals, 0.5) == 10.0


@pytest.mark.parametrize(("count", "level", "least"), [(18, 0.05, 19), (8, 0.1, 9), (0, 0.5, 1)])
def test_too_few_outcomes_for_a_level(count: int, level: float, least: int) -> None:
    with pytest.raises(ConfigError) as refused:
        conformal_quantile(np.zeros(count), level)
    assert f"expected at least {least} held-out outcomes" in str(refused.value)
    assert is_one_sentence(str(refused.value))
    conformal_quantile(np.zeros(least), level)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, np.nan, "0.05", None])
def test_levels_are_shares(level: Any) -> None:
    with pytest.raises(ConfigError, match=r"^level: expected a number( in \(0, 1\))?, found"):
        conformal_quantile(np.zeros(100), level)
    with pytest.raises(ConfigError, match=r"^level: expected a number( in \(0, 1\))?, found"):
        selection_margins(HeldOut(*[np.zeros(3)] * 4), level, horizon=3, stretch=3, candidates=2)
    for interval in (lambda: wilson_interval(1, 2, level=level), lambda: bootstrap_interval([[1.0]], level=level)):
        with pytest.raises(ConfigError, match=r"^level: expected a number( in \(0, 1\))?, found"):
            interval()


def test_a_further_residual_exceeds_the_quantile_as_seldom_as_promised() -> None:
    random = np.random.default_rng(0)
    drawn = random.exponential(size=(4000, 40))
    exceeded = [row[-1] > conformal_quantile(row[:-1], 0.1) for row in drawn]
    # 39 calibrate, the last one is new: exactly 1 - 36/40 = 10 % in expectation; standard error 0.5 %.
    assert np.mean(exceeded) == pytest.approx(0.1, abs=0.015)


def held_out(residuals: np.ndarray, step: np.ndarray) -> HeldOut:
    predicted = np.full(len(residuals), 10.0)
    return HeldOut(np.zeros(len(residuals)), predicted, predicted + residuals, step)


def test_each_stretch_of_steps_has_a_margin_of_its_own() -> None:
    step = np.repeat([0, 1, 2, 3], 10)
    residuals = np.tile(np.arange(1.0, 11.0), 4) * np.repeat([1.0, 2.0, 3.0, -1.0], 10)
    # Stretches of 2 steps: {1..10, 2..20} and {3..30, -1..-10}; 20 each, ceil(21 x 0.9) = 19th smallest.
    margins = segment_margins(held_out(residuals, step), 0.1, horizon=6, stretch=2)
    assert margins == [18.0, 27.0]  # no segment starts in steps 4 and 5
    assert segment_margins(held_out(-np.ones(40), step), 0.1, horizon=6, stretch=6) == [0.0]


def test_choosing_by_prediction_takes_a_larger_margin() -> None:
    """Predictions err by a standard normal; the more a segment costs the more it earns, so that of those that seem to
    keep the budget the planner takes one that costs more than it seems."""
    random = np.random.default_rng(1)
    error = random.normal(size=4000)
    realised = random.uniform(9, 11, 4000)
    segments = HeldOut(realised, realised - error, realised, np.zeros(4000, int))
    (plain,) = segment_margins(segments, 0.1, horizon=1, stretch=1)
    (chosen,) = selection_margins(segments, 0.1, horizon=1, stretch=1, candidates=32)
    assert plain == pytest.approx(1.28, abs=0.1)  # the 90 % quantile of a standard normal
    assert chosen > 1.5 * plain


def test_a_perfect_prediction_needs_no_margin() -> None:
    segments = HeldOut(np.arange(100.0), np.arange(100.0), np.arange(100.0), np.zeros(100, int))
    assert selection_margins(segments, 0.05, horizon=1, stretch=1, candidates=8) == [0.0]


def test_the_margin_of_whole_episodes() -> None:
    costs, budgets = np.arange(1.0, 20.0) + 10, np.full(19, 10.0)
    assert episode_margin(costs, budgets, 0.1) == 18.0
    assert episode_margin(budgets - 1, budgets, 0.1) == 0.0


def test_each_budget_is_calibrated_by_its_own_episodes() -> None:
    # Under 10 the costs are 11, ..., 29, under 20 they are 21, ..., 39, under 40 they are 2, ..., 38: the 18th of 19.
    costs = np.concatenate([np.arange(11.0, 30.0), np.arange(21.0, 40.0), np.arange(2.0, 40.0, 2.0)])
    budgets = np.repeat([10.0, 20.0, 40.0], 19)
    given, kept = kept_budgets(costs, budgets, 0.1)
    # Under 40 it keeps to 36, which the smaller 20 exceeds: a cost of 38 counts there, too.
    assert (given, kept) == ([10.0, 20.0, 40.0], [28.0, 38.0, 38.0])
    found = Calibration("budgets", 100, 6, {}, 57, 57, "rows", {"0": {"0.1": [given, kept]}})
    wanted = np.array([[28.0, 33.0, 38.0, 100.0, 5.0, np.inf]])
    # 28 is kept to under 10, and so is 33, as what comes between 10 and 20 is not known; 38 under 40, the larger of
    # two; below 28 the excess of 10 goes on; above 38 no margin is needed.
    np.testing.assert_allclose(found.margins(0, 0.1, wanted), [[18.0, 23.0, 0.0, 0.0, 18.0, 0.0]])
    with pytest.raises(ConfigError, match=r"expected one that was calibrated \(0.1\), found 0.05"):
        found.margins(0, 0.05, wanted)
    # Nothing that was tried kept to less than 28.
    assert found.holds_from(0, 0.1) == 28.0
    assert found.doubt([0], 0.1, wanted[:, [0, 1, 2, 3, 5]]) is None
    doubt = found.doubt([0], 0.1, wanted)
    assert doubt is not None
    assert doubt.startswith("the level 0.1 is not known to hold under 5: ")
    assert "keep to less than 28;" in doubt


def test_one_margin_for_all_budgets_is_in_no_doubt() -> None:
    found = Calibration("episodes", 100, 6, {"0": {"0.1": [3.0]}}, 19, 19, "rows")
    assert found.holds_from(0, 0.1) == 0.0
    assert found.doubt([0], 0.1, np.zeros((1, 6))) is None


def test_a_planner_that_jumps_keeps_every_budget_with_a_margin_for_each() -> None:
    """Under less than 20 it costs 15 more than its budget, from 20 on at least 45, noise on top. One margin for all is
    too little for a budget of 42 and too much for one of 60; those of each budget leave at most the level."""
    random = np.random.default_rng(0)

    def cost(budget: np.ndarray) -> np.ndarray:
        jumped = np.where(budget < 20, budget + 15, np.maximum(45.0, budget))
        return jumped + random.normal(size=budget.shape)

    tried = np.repeat(np.linspace(0, 60, 13), 400)
    given, kept = kept_budgets(cost(tried), tried, 0.1)
    found = Calibration("budgets", 1, 1, {}, 1, 1, "rows", {"0": {"0.1": [given, kept]}})
    for wanted in (20.0, 30.0, 40.0, 50.0, 60.0):
        budgets = np.full((4000, 1), wanted)
        assert np.mean(cost(budgets - found.margins(0, 0.1, budgets)) > wanted) <= 0.12  # 0.1 and 4 standard errors
    one = episode_margin(cost(tried), tried, 0.1)
    assert np.mean(cost(np.full(4000, 42.0) - one) > 42) > 0.9
    assert np.mean(cost(np.full(4000, 60.0) - one) > 60) < 0.01


FOUND = Calibration(
    "segments", 100, 50, {"0": {"0.05": [4.0, 3.0], "0.1": [2.0, 1.0]}}, 20, 400, "held_out.hdf5",
    checkpoint_sha256="ab" * 32,
)  # fmt: skip


def test_margins_step_by_step(tmp_path: Path) -> None:
    write_calibration(tmp_path, FOUND)
    found = read_calibration(tmp_path, step=100, sha256="ab" * 32)
    assert found == FOUND
    (margins,) = found.margins(0, 0.1, np.zeros((1, 120)))
    # From the 100th step on 20, 19, ..., 1 of the 21 last ones are left.
    np.testing.assert_allclose(margins[[0, 49, 50, 99, 100, 119]], [2, 2, 1, 1, 20 / 21, 1 / 21])
    np.testing.assert_array_equal(found.margins(0, 0.1, np.zeros((3, 100)))[:, 50:], 1.0)
    for seed, level in ((0, 0.2), (1, 0.05)):
        with pytest.raises(ConfigError, match="expected one that was calibrated") as refused:
            found.margins(seed, level, np.zeros((1, 120)))
        assert is_one_sentence(str(refused.value))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "needs the margins of `surefoot calibrate`"),
        ("{", "expected the margins of a run as JSON"),
        ("[]", "expected the margins of a run"),
        (json.dumps({"method": "segments"}), "format_version: expected 2, found null; calibrate again"),
        (json.dumps({"method": "segments", "format_version": 2}), "checkpoint_step: expected a value, found none"),
    ],
)
def test_calibrations_that_cannot_be_read(content: str | None, part: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(ConfigError, match=part) as refused:
        read_calibration(tmp_path, step=100, sha256="ab" * 32)
    assert is_one_sentence(str(refused.value))


def test_margins_of_another_checkpoint_are_refused(tmp_path: Path) -> None:
    write_calibration(tmp_path, FOUND)
    with pytest.raises(ConfigError, match="expected margins of the checkpoint of 200 updates, found those of 100"):
        read_calibration(tmp_path, step=200, sha256="ab" * 32)


def test_margins_of_another_run_are_refused(tmp_path: Path) -> None:
    write_calibration(tmp_path, FOUND)
    with pytest.raises(
        ConfigError, match=r"this run's checkpoint, sha256 cdcdcdcdcdcdcdcd\.\.\., found those of another"
    ):
        read_calibration(tmp_path, step=100, sha256="cd" * 32)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"format_version": 1}, "expected 2, found 1, which does not say whose margins they are; calibrate again."),
        ({"format_version": "2"}, 'expected 2, found "2"; calibrate again.'),
        ({"method": "guess"}, "method: expected 'segments', 'selected', 'episodes' or 'budgets', found \"guess\""),
        ({"method": "budgets"}, "seeds: expected nothing with the method budgets, found margins; calibrate again."),
        ({"checkpoint_sha256": ""}, "found those of another"),
        ({"checkpoint_step": -1}, "checkpoint_step: expected at least 0, found -1; calibrate again."),
        ({"stretch": 0}, "stretch: expected at least 1, found 0; calibrate again."),
        ({"seeds": {"0": {"0.1": [-1.0]}}}, "seeds.0.0.1: expected margins of at least 0"),
        ({"seeds": {"0": {"0.1": []}}}, "seeds.0.0.1: expected margins of at least 0"),
        ({"seeds": {"0": {"0.1": [True]}}}, "seeds.0.0.1.0: expected a valid number, found true"),
        ({"seeds": {"0": {"1.5": [1.0]}}}, "seeds.0: expected levels between 0 and 1 as keys, found '1.5'"),
        ({"seeds": {"0": {"nan": [1.0]}}}, "seeds.0: expected levels between 0 and 1 as keys, found 'nan'"),
        ({"seeds": {"a": {"0.1": [1.0]}}}, "seeds: expected numbers of seeds as keys, found 'a'"),
        ({"method": "budgets", "seeds": {}, "kept": {"0": {"0.1": [[1.0, 2.0], [1.0]]}}}, "expected as many budgets"),
        ({"method": "budgets", "seeds": {}, "kept": {"0": {"0.1": [[2.0, 1.0], [1.0, 1.0]]}}}, "rising budgets"),
        ({"method": "budgets", "seeds": {}, "kept": {"0": {"0.1": [[1.0], [-1.0]]}}}, "rising budgets"),
    ],
)  # fmt: skip
def test_margins_that_cannot_be_are_refused(changes: dict[str, object], part: str, tmp_path: Path) -> None:
    path = write_calibration(tmp_path, FOUND)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ConfigError) as refused:
        read_calibration(tmp_path, step=100, sha256="ab" * 32)
    assert part in str(refused.value)
    assert is_one_sentence(str(refused.value))
