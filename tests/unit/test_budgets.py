"""Budgets at run time: what is left, what a ratio means, conversions, schedules from files."""

from pathlib import Path

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.stub_planner import TASK

from surefoot.constraints.budgets import (
    begin_budget,
    check_budgets,
    check_remaining,
    cost_of_ratio,
    pay,
    planner_budget,
    remaining_budget,
)
from surefoot.constraints.schedules import read_schedule
from surefoot.errors import ConfigError, SurefootError
from surefoot.tasks import get_task


def test_what_is_left_of_plain_costs() -> None:
    state = begin_budget(3)
    state = pay(state, np.array([1.0, 2.0, 0.5]), discount=1.0)
    state = pay(state, np.array([0.0, 3.0, 0.5]), discount=1.0)
    # 4 - 1, 4 - 5 (exceeded), no limit.
    np.testing.assert_allclose(remaining_budget(state, np.array([4.0, 4.0, np.inf])), [3.0, -1.0, np.inf])


def test_what_is_left_of_discounted_costs() -> None:
    state = pay(begin_budget(1), np.array([1.0]), discount=0.5)
    # (4 - 1) / 0.5 = 6, then (6 - 2) / 0.5 = 8.
    np.testing.assert_allclose(remaining_budget(state, np.array([4.0])), [6.0])
    state = pay(state, np.array([2.0]), discount=0.5)
    np.testing.assert_allclose(remaining_budget(state, np.array([4.0])), [8.0])


def test_a_budget_changed_on_the_way_keeps_what_was_spent() -> None:
    state = pay(begin_budget(1), np.array([3.0]), discount=1.0)
    np.testing.assert_allclose(remaining_budget(state, np.array([10.0])), [7.0])
    np.testing.assert_allclose(remaining_budget(state, np.array([2.0])), [-1.0])


def test_ratios_are_of_the_tasks_maximum() -> None:
    assert cost_of_ratio(0.25, TASK) == 1.0  # of 4
    with pytest.raises(ConfigError, match="no maximum budget"):
        cost_of_ratio(0.5, get_task("BallRun"))


def test_costs_in_the_planners_units() -> None:
    # Discount 1: as they are. Table: 2 x 0.5. Discounted: 0.5 of 3, whichever way it is given.
    assert planner_budget(2.0, TASK, discount=1.0) == 2.0
    assert planner_budget(2.0, TASK, discount=0.99) == 1.0
    assert planner_budget(2.0, TASK, discount=0.99, conversion="discounted") == 1.5
    assert planner_budget(2.0, TASK, discount=0.99, conversion="discounted", ratio=0.25) == 0.75
    # Evenly over 6 steps at discount 0.5: 2 / 6 a step, times 1 + 1/2 + ... + 1/32 = 63/32.
    assert planner_budget(2.0, TASK, discount=0.5, conversion="even") == pytest.approx(2 / 6 * 63 / 32)
    assert planner_budget(np.inf, TASK, discount=0.99) == np.inf
    with pytest.raises(ConfigError, match="no discounted maximum"):
        planner_budget(2.0, get_task("BallRun"), discount=0.99, conversion="discounted")


def test_a_task_without_a_measured_factor_spends_evenly() -> None:
    ball_run = get_task("BallRun")  # 100 steps
    expected = 10 * (1 - 0.99**100) / (0.01 * 100)
    assert planner_budget(10.0, ball_run, discount=0.99) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (None, "found none"),
        (np.nan, "found NaN"),
        ([1.0, np.nan], "found NaN"),
        (-0.5, "expected at least 0 (inf for no limit), found -0.5"),
        ("much", "found 'much'"),
    ],
)
def test_budgets_that_cannot_be_used(value: object, part: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_budgets(value, name="--budget")
    assert part in str(refused.value)
    assert str(refused.value).startswith("--budget: ")
    assert is_one_sentence(str(refused.value))


def test_no_limit_and_a_deficit_are_allowed() -> None:
    assert check_budgets(np.inf, name="budget") == np.inf
    assert check_remaining(-2.0, name="remaining_budget") == -2.0


@pytest.mark.parametrize(
    ("text", "totals"),
    [
        ("budget\n1\n2\n3\n4\n5\n6\n", [1, 2, 3, 4, 5, 6]),
        ("budget\n1\n2\n3\n4\n5\n6\n7\n", [1, 2, 3, 4, 5, 6]),  # longer than the episode
        ("ratio\n" + "0.5\n" * 6, [2] * 6),  # of 4
        ("step,budget\n0,3\n2,1\n", [3, 3, 1, 1, 1, 1]),
        ("step, budget\n\n0, 3\n5, inf\n", [3, 3, 3, 3, 3, np.inf]),
        ("step,ratio\r\n0,1\r\n1,0.25\r\n", [4, 1, 1, 1, 1, 1]),
    ],
)
def test_schedules(text: str, totals: list[float], tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_text(text)
    schedule = read_schedule(path, TASK)
    assert schedule.name == "steps.csv"
    np.testing.assert_array_equal(schedule.totals, totals)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("budget\n1\n2\n", "expected a budget for each of the 6 steps of an episode of Spend, found 2"),
        ("", "line 1: expected one of the headers"),
        ("cost\n1\n", "found 'cost'"),
        ("budget\n", "expected at least one row"),
        ("budget\n1\nnan\n", "line 3: budget: expected at least 0 (inf for no limit), found 'nan'"),
        ("budget\n-1\n", "line 2: budget: expected at least 0"),
        ("budget\nmuch\n", "found 'much'"),
        ("budget\n1_0\n", "line 2: budget: expected at least 0 (inf for no limit), found '1_0'"),
        ("step,budget\n0,1\n\u0661,2\n", "expected a whole number from 0, found '\u0661'"),
        (f"budget\n{'1' * 200_000}\n", "expected rows of CSV, found a fault (field larger than"),
        ("step,budget\n0,1\n1\n", "line 3: expected 2 values, found 1"),
        ("step,budget\n1,1\n", "line 2: step: expected 0 first, found 1"),
        ("step,budget\n0,1\n0,2\n", "line 3: step: expected more than 0, found 0"),
        ("step,budget\n0,1\n6,2\n", "expected at most 5, the last of an episode of Spend, found 6"),
        ("step,budget\n0,1\n1.5,2\n", "expected a whole number from 0, found '1.5'"),
    ],
)
def test_schedules_that_cannot_be_used(text: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_text(text)
    with pytest.raises(SurefootError) as refused:
        read_schedule(path, TASK)
    assert part in str(refused.value)
    assert str(path) in str(refused.value)
    assert is_one_sentence(str(refused.value))


def test_a_schedule_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        read_schedule(tmp_path / "none.csv", TASK)
