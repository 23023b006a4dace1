"""No interval of single episodes; no verdict of few, nor without a target on the return; costs under a limit of 0."""

from collections.abc import Callable
from typing import Any

import pytest

from surefoot.evaluation.budgets import budget_remarks, requested_budgets
from surefoot.evaluation.kinds.limits import protocol_rows as rows_of
from surefoot.evaluation.metrics import mean_interval
from surefoot.evaluation.protocol import cost_limits
from surefoot.evaluation.rows import against_limits
from surefoot.evaluation.simulated import Episode
from surefoot.evaluation.summarize import budget_figures, protocol_figures, start_figures
from surefoot.report.budget_plots import budget_curves
from surefoot.report.key_figures import budget_key_figures, budget_verdict, key_figures
from surefoot.report.protocol_plots import QuantityBar, cost_against_return, quantity_bars, scores_of
from surefoot.report.summary_rows import budget_rows, comparison_rows, evaluation_rows, protocol_rows
from surefoot.report.tables import DASH
from surefoot.report.verdicts import KeyFigure, all_are_met, verdict
from surefoot.tasks import get_task


def test_single_episodes_have_no_interval() -> None:
    assert mean_interval([[8.9], [8.7]]) is None
    assert mean_interval([[8.9, 8.7], [8.8]]) is None
    assert mean_interval([[8.9, 8.9], [8.9, 8.9]]) == [8.9, 8.9]


def protocol(task: str, episodes: int, *, cost: float = 0.0, value: float = -0.06) -> tuple[list[Any], dict[str, Any]]:
    """Rows and figures of two seeds that act alike."""
    found = [Episode(seed, number, value, cost, 10, False, 0) for seed in range(2) for number in range(episodes)]
    method = {"algorithm": "fisor", "data": "all", "extraction": "single"}
    known = get_task(task)
    rows = against_limits(rows_of(found, known, method=method), cost_limits(known, "strict"), "strict")
    return rows, protocol_figures(rows)


def test_a_protocol_table_says_the_number_of_episodes_where_it_has_no_interval() -> None:
    _, figures = protocol("BallRun", 1, cost=2.5)
    assert figures["normalised_return_interval"] is None
    (row,) = protocol_rows({"protocol": figures})
    assert row["normalised cost"] == "0.50 (n = 2)"
    assert row["normalised return"] == "-0.02 (n = 2)"
    assert quantity_bars([QuantityBar(1.0, figures)]) is not None


def test_an_evaluation_table_says_the_number_of_episodes_where_it_has_no_interval() -> None:
    method = {"task": "HazardRun", "algorithm": "fosp", "extraction": "single", "start": "drawn"}
    row = {**method, "seed": 0, "episode": 0, "return": 8.9, "cost": 0.0, "length": 9, "violating_steps": 0}
    figures = start_figures([{**row, "reached_goal": True}])
    (found,) = evaluation_rows({"evaluation": figures})
    assert found["return [95 %]"] == "8.90 (n = 1)"
    assert found["violation-free [95 %]"] == "100.0 % [20.7, 100.0]"  # Wilson's knows of a single trial


def test_no_cost_under_a_limit_of_zero_reads_as_no_cost() -> None:
    rows, figures = protocol("PointGoal1Vision", 10)
    (row,) = protocol_rows({"protocol": figures})
    assert row["cost"] == "0.00"
    assert "normalised cost" not in row
    (compared,) = comparison_rows([("FOSP", {"protocol": figures})])
    assert (compared["cost"], compared["safe"]) == ("0.00", "yes")
    first = key_figures({"protocol": figures})[0]
    assert (first.name, first.reached, first.target, first.met) == ("Mean cost", "0.00", "≤ 0.00", True)
    figure = cost_against_return([scores_of("FOSP", rows)])
    assert figure.axes[0].get_ylabel() == "cost"
    spent = key_figures({"protocol": protocol("PointGoal1Vision", 10, cost=3.0)[1]})[0]
    assert (spent.reached, spent.met) == ("3.00", False)


def test_standing_still_is_no_success() -> None:
    figures = key_figures({"protocol": protocol("BallRun", 10)[1]})
    assert [figure.met for figure in figures] == [True, True, None]
    found = verdict(figures)
    assert found.startswith(
        "No verdict: the run keeps its 2 targets, but none is on the return (mean normalised return"
    )
    assert all_are_met(figures) is None


def test_few_episodes_show_no_target_to_be_met() -> None:
    _, few = protocol("BallRun", 9)  # of two seeds: 18
    figures = key_figures({"protocol": few})
    assert [(figure.met, bool(figure.target)) for figure in figures] == [(None, True), (None, True), (None, False)]
    assert verdict(figures) == "No verdict: 2 of 2 targets can be judged from 20 episodes on."
    (row,) = comparison_rows([("FISOR", {"protocol": few})])
    assert row["safe"] == DASH
    # Missed is missed, however few there were.
    figures = key_figures({"protocol": protocol("BallRun", 9, cost=50.0)[1]})
    assert [figure.met for figure in figures] == [False, False, None]
    assert verdict(figures).startswith("0 of 2 targets are met; not met: mean normalised cost (10.00")
    assert all_are_met(figures) is False
    parts = {"feasible": {"episodes": 19, "violation_free_rate": 1.0, "return_mean": 4.0}}
    assert [figure.met for figure in key_figures({"evaluation": parts})] == [None, None]
    parts["feasible"]["episodes"] = 20
    assert [figure.met for figure in key_figures({"evaluation": parts})] == [True, True]
    assert verdict(key_figures({"evaluation": parts})) == "All 2 targets are met."


def test_some_missed_and_some_undecided() -> None:
    figures = [KeyFigure("Cost", "2", "≤ 1", False), KeyFigure("Return", "5", "≥ 4", None, is_return=True)]
    assert verdict(figures) == (
        "0 of 2 targets are met; not met: cost (2, target ≤ 1); 1 of 2 targets can be judged from 20 episodes on."
    )


def budget_row(asked: str, budget: float | None, *, episode: int, value: float, cost: float = 0.0) -> dict[str, Any]:
    return {
        "task": "SafePendulum", "algorithm": "trebi", "setting": "x", "level": None, "asked": asked, "ratio": None,
        "budget": budget, "seed": 0, "episode": episode, "return": value, "cost": cost, "discounted_cost": cost,
        "normalised_cost": None if budget is None else cost / budget if budget else cost + 1, "length": 6, "lanes": 4,
        "step_seconds": 0.02, "exceeded": budget is not None and cost > budget,
    }  # fmt: skip


def budgets(value: Callable[[float], float], *, episodes: int = 20) -> dict[str, Any]:
    """Figures of budgets of 0 and 10; `value`: the return under a budget."""
    return budget_figures(
        [
            budget_row(f"cost {budget:g}", budget, episode=episode, value=value(budget))
            for budget in (0.0, 10.0)
            for episode in range(episodes)
        ]
    )


def test_budgets_of_an_agent_that_stands_still() -> None:
    figures = budgets(lambda budget: -0.06)
    assert figures["return_rises"] is None
    assert budget_verdict(figures) == (
        "No verdict: the run keeps its 3 targets, but none is on the return (return rises with the budget "
        "the same under all)."
    )
    assert budget_verdict(budgets(lambda budget: budget)) == "All 4 targets are met."
    assert "not met: return rises" in budget_verdict(budgets(lambda budget: -budget))


def test_a_budget_of_zero_shows_its_cost() -> None:
    figures = budgets(lambda budget: budget)
    zero, ten = budget_rows(figures)
    assert (zero["normalised cost"], zero["cost"]) == (DASH, "0.00 [0.00, 0.00]")
    assert ten["normalised cost"] == "0.000 [0.000, 0.000]"
    names = {figure.name: figure.reached for figure in budget_key_figures(figures)}
    assert names["Mean cost under a budget of 0"] == "0.000"
    assert names["Mean cost over budget, largest"] == "0.000"


def test_budgets_of_single_episodes() -> None:
    figures = budgets(lambda budget: budget, episodes=1)
    assert budget_rows(figures)[1]["return"] == "10.0 (n = 1)"
    assert budget_verdict(figures) == "No verdict: 4 of 4 targets can be judged from 20 episodes on."
    assert budget_curves([("as trained", figures)]) is not None


@pytest.mark.parametrize(
    ("task", "given", "found"),
    [
        ("SafePendulum", {"ratios": [0.2, 1.0]}, []),
        (
            "SafePendulum",
            {"ratios": [20]},
            [
                "budget 20: a ratio above 1 allows a cost of 1,200, more than the maximum of SafePendulum, 60; a "
                "cost is given with cost_limit"
            ],
        ),
        ("SafePendulum", {"costs": [60, float("inf"), 0]}, []),
        (
            "SafePendulum",
            {"costs": [61]},
            ["cost_limit 61: allows a cost of 61, more than the maximum of SafePendulum, 60; no limit is inf"],
        ),
        (
            "SafePendulum",
            {"costs": [0.4]},
            ["cost_limit 0.4: less than 1% of the maximum of SafePendulum, 60; a ratio of it is given with budget"],
        ),
        ("BallRun", {"costs": [10, 20, 40]}, []),
        ("PointRobot", {"costs": [500]}, []),  # no table says what is much
    ],
)
def test_suspicious_budgets(task: str, given: dict[str, Any], found: list[str]) -> None:
    assert budget_remarks(get_task(task), requested_budgets(get_task(task), **given)) == found
