"""Evaluation under budgets: which episodes are missing, what a row holds, and what rows say together."""

from typing import Any

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.stub_planner import HORIZON, SPEND, TASK, StubPlanner, stub_states

from surefoot.constraints.schedules import Schedule
from surefoot.errors import ConfigError, DataError
from surefoot.evaluation.budgets import Budget, BudgetEvaluation, planner_totals, requested_budgets
from surefoot.evaluation.lanes import LaneResults, Lanes, Watched, roll_out_pure
from surefoot.evaluation.summarize import budget_figures

PLANNER = StubPlanner()


def roll_out(state: Any, lanes: Lanes, *, seed: int, **options: Any) -> LaneResults:
    return roll_out_pure(PLANNER, state, SPEND, lanes, seed=seed, margins=np.zeros(HORIZON), **options)


def evaluation(budgets: list[Budget], **changes: Any) -> BudgetEvaluation:
    return BudgetEvaluation(**{  # type: ignore[arg-type]
        "task": TASK, "budgets": budgets, "seeds": (0, 7), "episodes": 3, "most_lanes": 4, "discount": 1.0,
        "conversion": "table", "method": {"algorithm": "stub", "setting": "a", "level": None}, **changes,
    })  # fmt: skip


def run(one: BudgetEvaluation, done: Any = (), **options: Any) -> list[list[dict[str, Any]]]:
    blocks: list[list[dict[str, Any]]] = []
    one.run(stub_states(2), roll_out, done=set(done), on_rows=blocks.append, **options)
    return blocks


def test_requested_budgets() -> None:
    schedule = Schedule(np.array([3.0, 3, 3, 3, 3, 1]), "steps.csv")
    found = requested_budgets(TASK, ratios=(0.25, 1.0), costs=(3.0, np.inf), schedule=schedule)
    assert [one.asked for one in found] == ["ratio 0.25", "ratio 1", "cost 3", "cost inf", "schedule steps.csv"]
    assert [one.final for one in found] == [1.0, 4.0, 3.0, np.inf, 1.0]
    assert [one.ratio for one in found] == [0.25, 1.0, None, None, None]


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({}, "expected a budget, found none; give budget"),
        ({"ratios": (-0.1,)}, "budget: expected at least 0"),
        ({"costs": (np.nan,)}, "cost_limit: expected a number (inf for no limit), found NaN"),
        ({"ratios": (0.5, 0.5)}, "found ratio 0.5 twice"),
        ({"ratios": (1e308,)}, "budget: expected a ratio of the task's maximum (inf for no limit), found 1e+308"),
    ],
)
def test_budgets_that_are_refused(given: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError) as refused:
        requested_budgets(TASK, **given)
    assert part in str(refused.value)
    assert is_one_sentence(str(refused.value))


def test_a_schedule_in_the_planners_units() -> None:
    budget = Budget("schedule", np.array([4.0, 4, 2, 2, np.inf, np.inf]))
    found = planner_totals(budget, TASK, discount=0.99, conversion="table")
    np.testing.assert_allclose(found, [2, 2, 1, 1, np.inf, np.inf])  # the task's factor is 0.5


def test_rows_of_all_budgets_seeds_and_episodes() -> None:
    blocks = run(evaluation(requested_budgets(TASK, ratios=(0.25, 0.5), costs=(np.inf,))))
    rows = [row for block in blocks for row in block]
    # 3 budgets x 3 episodes a seed are 9 lanes: three blocks of 3 (at most 4) for each of two seeds.
    assert [len(block) for block in blocks] == [3] * 6
    assert {(row["asked"], row["seed"], row["episode"]) for row in rows} == {
        (asked, seed, episode)
        for asked in ("ratio 0.25", "ratio 0.5", "cost inf")
        for seed in (0, 7)
        for episode in range(3)
    }
    row = next(row for row in rows if row["asked"] == "ratio 0.5")
    expected = {
        "task": "Spend", "algorithm": "stub", "ratio": 0.5, "budget": 2.0, "planner_budget": 2.0, "return": 2.0,
        "normalised_return": 0.2, "cost": 2.0, "discounted_cost": 2.0, "normalised_cost": 1.0, "exceeded": False,
        "length": 6, "terminated": False, "lanes": 3,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    free = next(row for row in rows if row["asked"] == "cost inf")
    assert (free["budget"], free["normalised_cost"], free["exceeded"], free["cost"]) == (None, None, False, 4.0)


def test_what_is_there_already_is_not_rolled_out_again() -> None:
    one = evaluation(requested_budgets(TASK, ratios=(0.25, 0.5)))
    blocks = run(one)
    rows = {(row["asked"], row["seed"], row["episode"]): row for block in blocks for row in block}
    # Six lanes of each seed in two blocks of 3. Seven rows are there: seed 0, and the first of seed 7.
    done = list(rows)[:7]
    again = [row for block in run(one, done=done) for row in block]
    assert [(row["asked"], row["seed"], row["episode"]) for row in again] == list(rows)[7:]
    assert run(one, done=list(rows)) == []


def test_a_killed_evaluation_goes_on_with_the_same_numbers() -> None:
    noisy = StubPlanner(noise=0.5)
    one = evaluation(requested_budgets(TASK, ratios=(0.25, 0.5)))

    def noisy_roll_out(state: Any, lanes: Lanes, *, seed: int, **options: Any) -> LaneResults:
        return roll_out_pure(noisy, state, SPEND, lanes, seed=seed, margins=np.zeros(HORIZON), **options)

    def costs(done: Any) -> dict[Any, float]:
        blocks: list[list[dict[str, Any]]] = []
        one.run(stub_states(2), noisy_roll_out, done=set(done), on_rows=blocks.append)
        return {(row["asked"], row["seed"], row["episode"]): row["cost"] for block in blocks for row in block}

    whole = costs(())
    assert len(set(whole.values())) > 6  # the noise does something
    for there in (3, 4):  # after a block, and in the middle of one
        rest = costs(list(whole)[:there])
        assert rest == dict(list(whole.items())[there:])


def test_a_budget_more_costs_its_own_episodes_alone() -> None:
    """Of six episodes a seed (two blocks of 3) three are there: one block is left, with the numbers of the whole."""
    one = evaluation(requested_budgets(TASK, ratios=(0.25, 0.5)))
    whole = {(row["asked"], row["seed"], row["episode"]): row for block in run(one) for row in block}
    added = run(one, done=[key for key in whole if key[0] == "ratio 0.25"])
    assert [[row["asked"] for row in block] for block in added] == [["ratio 0.5"] * 3] * 2
    for row in (row for block in added for row in block):
        before = whole[row["asked"], row["seed"], row["episode"]]
        assert (row["cost"], row["lanes"]) == (before["cost"], before["lanes"])


def watched_budgets(done: Any = (), **changes: Any) -> list[tuple[list[str], Watched]]:
    seen: list[tuple[list[str], Watched]] = []
    run(
        evaluation(requested_budgets(TASK, ratios=(0.25, 0.5)), **changes), done=done,
        on_watched=lambda budgets, watched: seen.append(([one.asked for one in budgets], watched)),
    )  # fmt: skip
    return seen


def test_the_first_episode_of_the_first_seed_is_watched() -> None:
    ((asked, watched),) = watched_budgets()
    assert asked == ["ratio 0.25", "ratio 0.5"]
    assert watched.observations.shape == (HORIZON, 2, 2)
    # Of one budget it was seen before.
    ((asked, later),) = watched_budgets(done=[("ratio 0.25", 0, 0)])
    assert asked == ["ratio 0.5"]
    np.testing.assert_array_equal(later.observations, watched.observations[:, 1:])
    assert later.plans is not None
    assert later.plans.shape == (HORIZON, 1, 3, 2)
    # One lane: a block for each budget.
    assert [asked for asked, _ in watched_budgets(most_lanes=1)] == [["ratio 0.25"], ["ratio 0.5"]]


def test_progress_counts_the_steps_of_all_blocks() -> None:
    progress: list[tuple[int, int]] = []
    run(
        evaluation(requested_budgets(TASK, ratios=(0.25, 0.5))),
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert progress[0] == (0, 4 * HORIZON)  # six lanes of each of two seeds, in blocks of 3
    assert progress[-1] == (4 * HORIZON, 4 * HORIZON)


def row_of(
    asked: str, budget: float | None, cost: float, *, seed: int = 0, episode: int = 0, extra: Any = None, **more: Any
) -> Any:
    return {
        "task": "Spend", "algorithm": "stub", "setting": "a", "level": None, "asked": asked, "ratio": None,
        "budget": budget, "seed": seed, "episode": episode, "return": 2 * cost, "cost": cost, "discounted_cost": cost,
        "normalised_cost": None if budget is None else cost / budget, "length": 6, "lanes": 4, "step_seconds": 0.25,
        "exceeded": budget is not None and cost > budget, **more, **(extra or {}),
    }  # fmt: skip


def test_figures_of_each_budget() -> None:
    rows = [
        *[row_of("cost 2", 2.0, cost, seed=seed, episode=e) for seed, e, cost in
          ((0, 0, 1.0), (0, 1, 2.0), (1, 0, 2.1), (1, 1, 2.9))],
        *[row_of("cost 1", 1.0, 1.0, seed=seed) for seed in (0, 1)],
        *[row_of("cost inf", None, 5.0, seed=seed) for seed in (0, 1)],
    ]  # fmt: skip
    found = budget_figures(rows)
    assert [record["asked"] for record in found["budgets"]] == ["cost 1", "cost 2", "cost inf"]
    record = found["budgets"][1]
    assert record["cost_mean"] == pytest.approx(2.0)
    assert record["cost_per_seed"] == pytest.approx([1.5, 2.5])
    assert record["normalised_cost_mean"] == pytest.approx(1.0)
    assert record["exceeded_rate"] == 0.5  # 2.1 and 2.9
    assert record["nearly_within_rate"] == 0.75  # all but 2.9, since 1.1 x 2 = 2.2
    assert record["exceeded_per_seed"] == [0.0, 1.0]
    assert found["within_budget"] is True
    assert found["return_rises"] is True  # 2, then 4
    assert found["share_of_unconstrained_return"] == pytest.approx(4 / 10)


def test_negative_returns_are_compared_the_other_way_round() -> None:
    rows = [row_of("cost 1", 1.0, 1.0, extra={"return": -20.0}), row_of("cost inf", None, 1.0, extra={"return": -15.0})]
    assert budget_figures(rows)["share_of_unconstrained_return"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([], "found none"),
        ([row_of("cost 1", 1.0, 1.0)] * 2, "found it twice"),
        ([row_of("cost 1", 1.0, np.nan)], "expected a finite number"),
        ([row_of("cost 1", 1.0, 1.0), row_of("cost 2", 1.0, 1.0, setting="b")], "key 'setting': expected a single one"),
    ],
)
def test_rows_that_cannot_be_summarised(rows: list[Any], part: str) -> None:
    with pytest.raises(DataError, match=part):
        budget_figures(rows)
