"""Tables and figures of evaluations under budgets."""

from typing import Any

import numpy as np
import pytest
from benchmarks.budgets import level_rows
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from surefoot.errors import ConfigError, DataError
from surefoot.report.budget_figures import VIEWS, levels_of
from surefoot.report.budget_plots import (
    PLANS_SHOWN,
    Imagined,
    Plane,
    budget_curves,
    calibration_plot,
    plans_over_trajectory,
)
from surefoot.report.key_figures import budget_key_figures, budget_verdict
from surefoot.report.summary_rows import budget_rows
from surefoot.report.tables import DASH


def row_of(asked: str, budget: float | None, cost: float, *, seed: int, level: float | None = None, **more: Any) -> Any:
    return {
        "task": "Spend", "algorithm": "stub", "setting": f"at {level}", "level": level, "asked": asked, "ratio": None,
        "budget": budget, "seed": seed, "episode": 0, "return": 3 * cost, "cost": cost, "discounted_cost": cost,
        "normalised_cost": None if budget is None else cost / budget, "length": 6, "lanes": 4, "step_seconds": 0.02,
        "exceeded": budget is not None and cost > budget, **more,
    }  # fmt: skip


def all_rows() -> list[Any]:
    """Two seeds. Without margin 10 and 12 of 10, 18 and 20 of 20, 25 without a limit; with one 9 and 9.5 of 10."""
    rows = [row_of("cost 10", 10.0, cost, seed=seed) for seed, cost in enumerate((10.0, 12.0))]
    rows += [row_of("cost 20", 20.0, cost, seed=seed) for seed, cost in enumerate((18.0, 20.0))]
    rows += [row_of("cost inf", None, 25.0, seed=seed) for seed in range(2)]
    return rows + [row_of("cost 10", 10.0, cost, seed=seed, level=0.1) for seed, cost in enumerate((9.0, 9.5))]


def ten_times(rows: list[Any]) -> list[Any]:
    """Ten episodes of each row's."""
    return [{**row, "episode": episode} for row in rows for episode in range(10)]


LEVELS = [figures for figures, _ in levels_of(ten_times(all_rows()))]


def test_the_last_setting_of_each_level_counts() -> None:
    newer = [row_of("cost 10", 10.0, 1.0, seed=0, setting="newer")]
    found = levels_of(all_rows() + newer)
    assert [(figures["level"], len(rows)) for figures, rows in found] == [(None, 1), (0.1, 2)]


def test_a_row_for_each_budget() -> None:
    first, second, free = budget_rows(LEVELS[0])
    assert first["budget"] == "cost 10"
    assert first["cost"].startswith("11.00 [")
    assert first["normalised cost"].startswith("1.100 [")
    assert first["over budget"].startswith("50.0 % [")
    assert second["over budget"].startswith("0.0 % [")
    assert first["ms a step"] == "5"  # 20 ms for four lanes
    assert (free["cost allowed"], free["over budget"]) == ("no limit", DASH)
    with pytest.raises(DataError, match="expected the figures of an evaluation under budgets"):
        budget_rows({"budgets": [{"asked": "cost 1"}]})


def test_figures_against_their_targets() -> None:
    judged = {figure.name: figure for figure in budget_key_figures(LEVELS[0])}
    assert judged["Mean cost over budget, largest"].reached == "1.100"
    assert judged["Mean cost over budget, largest"].met is False
    assert judged["Episodes within 1.1 of the budget, fewest"].met is False  # 12 of 10 is beyond: one of two
    assert judged["Return rises with the budget"].met is True
    # 57 of 75 at the largest budget, 20, which is less than the 25 of the unlimited planner: nothing to judge by.
    share = judged["Return at the largest budget, of the unconstrained planner's"]
    assert (share.reached, share.target, share.met) == ("76.0 %", "", None)
    with_margin = {figure.name: figure for figure in budget_key_figures(LEVELS[1])}
    assert with_margin["Episodes over budget, most"].met is True
    assert budget_key_figures({}) == []
    assert "1 of 3 targets are met" in budget_verdict(LEVELS[0])


@pytest.mark.parametrize(("ratio", "unlimited"), [(1.0, 25.0), (None, 20.0)])
def test_the_unlimited_return_is_a_target_where_the_largest_budget_is_all_it_takes(
    ratio: float | None, unlimited: float
) -> None:
    rows = [row_of("largest", 20.0, 19.0, seed=seed, ratio=ratio) for seed in range(2)]
    rows = ten_times(rows + [row_of("cost inf", None, unlimited, seed=seed) for seed in range(2)])
    share = budget_key_figures(levels_of(rows)[0][0])[-1]
    assert share.name.startswith("Return at the largest budget")
    # A return of three times the cost: 57 of 60 is the 95 % that are asked for, 57 of 75 is not.
    assert (share.target, share.met) == ("≥ 95.0 %", unlimited == 20.0)


def test_levels_beside_each_other() -> None:
    rows = level_rows(LEVELS)
    assert [(row["margin"], row["budget"], row["over budget"]) for row in rows] == [
        ("not calibrated", "cost 10", "50.0 %"), ("not calibrated", "cost 20", "0.0 %"),
        ("calibrated for 10 %", "cost 10", "0.0 %"),
    ]  # fmt: skip


def test_levels_are_compared_on_the_episodes_that_they_share() -> None:
    calibrating = [row_of("cost 10", 10.0, 30.0, seed=seed, episode=1000) for seed in range(2)]
    (plain, chosen), _ = levels_of(all_rows() + calibrating)
    assert {row["episode"] for row in chosen} == {0}
    assert plain["budgets"][0]["cost_mean"] == 11.0  # (10 + 12) / 2: the 30 are of episode 1000, which level 0.1 lacks


def test_curves_show_the_diagonal_and_the_unconstrained_planner() -> None:
    figure = budget_curves([("as trained", LEVELS[0]), ("calibrated", LEVELS[1])], all_rows())
    left, right = figure.axes
    lines = [np.asarray(line.get_xydata()) for line in right.lines]
    assert any(len(line) == 2 and np.allclose(line[:, 0], line[:, 1]) for line in lines)  # cost = budget
    assert any(np.allclose(line, [[10, 11], [20, 19]]) for line in lines if len(line) == 2)  # the means
    assert any(np.allclose(np.asarray(line.get_ydata()), 75) for line in left.lines)  # 3 x 25, no limit
    assert figure.legends
    with pytest.raises(ConfigError, match="expected at least one limited budget"):
        budget_curves([("a", levels_of([row_of("cost inf", None, 1.0, seed=0)])[0][0])])


def test_the_calibration_plot_shows_level_and_share() -> None:
    (axes,) = calibration_plot(LEVELS).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["not calibrated", "calibrated for 10 %"]
    heights = {float(np.asarray(line.get_ydata()).ravel()[0]) for line in axes.lines}
    assert {0.5, 0.0, 0.25} <= heights  # one of two, none, and one of four together
    with pytest.raises(ConfigError, match="expected at least one limited budget"):
        calibration_plot([])


def test_plans_lie_over_the_trajectory() -> None:
    time = np.linspace(0, 1, 40)
    path = np.stack([340 * time - 170, time], -1)
    plans = np.stack([path[np.minimum(np.arange(step, step + 5), 39)] for step in range(40)])
    plane = Plane("x", "y", periodic=360.0, marked=((-25.0, 75.0), (160.0, np.inf), (1e3, np.inf)))
    figure = plans_over_trajectory([Imagined("a", path, plans), Imagined("b", path, None)], plane)
    left, right = figure.axes
    (drawn,) = [one for one in left.collections if isinstance(one, LineCollection)]
    assert len(drawn.get_segments()) == PLANS_SHOWN
    assert not [one for one in right.collections if isinstance(one, LineCollection)]
    for axes in (left, right):
        shaded = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in shaded]
        np.testing.assert_allclose(spans, [(-25.0, 75.0), (160.0, axes.get_xlim()[1])])
    with pytest.raises(ConfigError, match="expected at least one trajectory"):
        plans_over_trajectory([], Plane("x", "y"))


def test_a_line_breaks_where_the_angle_wraps() -> None:
    path = np.array([[170.0, 0.0], [-170.0, 1.0], [-160.0, 2.0]])
    figure = plans_over_trajectory([Imagined("a", path, None)], Plane("x", "y", periodic=360.0))
    drawn = np.asarray(figure.axes[0].lines[0].get_xydata())
    np.testing.assert_array_equal(np.isnan(drawn[:, 0]), [False, True, False, False])


def test_planes_of_the_tasks() -> None:
    # cos 90 deg, sin 90 deg, speed.
    np.testing.assert_allclose(VIEWS["SafePendulum"].project(np.array([0.0, 1.0, -2.0])), [90, -2], atol=1e-9)
    # Both joints at 90 degrees: the first link up, the second to the left of it.
    observation = np.array([0.0, 0.0, 1.0, 1.0, *[0.0] * 7])
    np.testing.assert_allclose(VIEWS["SafeReacher"].project(observation), [-0.11, 0.1], atol=1e-9)
    np.testing.assert_allclose(VIEWS["CarCircle"].project(np.array([0.6, -0.2, *[0.0] * 6])), [6.0, -2.0])
