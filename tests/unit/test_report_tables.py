"""Which targets a summary meets, and how tables are set."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.errors import DataError
from surefoot.report.key_figures import key_figure_rows, key_figures, pose_text
from surefoot.report.summary_rows import evaluation_rows
from surefoot.report.tables import over_seeds, percent, plain_table
from surefoot.report.verdicts import verdict

INFEASIBLE = "Violating steps per episode from infeasible starts"
SAFE = "From (−2.7, −2.7) at 1 m/s, 45°"  # noqa: RUF001
TIGHT = "From (−1.8, 0) at 2 m/s, 45°, which full control only just saves"  # noqa: RUF001
BARELY = "at most 0.001 m inside a hazard, goal with 2 of 2 seeds"
IN_HAZARD = "at most 0.06 m inside a hazard, goal with 1 of 2 seeds"


def good_summary() -> dict[str, Any]:
    """A run that just meets every target."""
    return {
        "wall_seconds": 300.0,
        "peak_memory_mb": 2000,
        "feasible_region": {
            "iou": [0.99, 0.9, 0.9],  # mean 0.93
            "false_safe_rate": [0.0, 0.03, 0.01],
            "false_alarm_rate": [0.01, 0.02, 0.03],
        },
        "evaluation": {
            "feasible": {"episodes": 600, "violation_free_rate": 0.99, "return_mean": 2.5, "goal_rate": 0.5},
            "infeasible": {"episodes": 300, "violating_steps_mean": 6.0, "violation_free_interval": [0.1, 0.2]},
            "fixed": [
                {"pose": [-2.7, -2.7, 1, math.pi / 4], "reached_goal": [True, True], "max_violation_m": [0.0, 0]},
                {"pose": [-1.8, 0, 2, math.pi / 4], "reached_goal": [False, True], "max_violation_m": [0.05, 0.0]},
            ],
            "data": {"violating_steps_mean_infeasible_starts": 6.5, "violation_free_rate": 0.5, "return_mean": 1.0},
        },
    }


def change(summary: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *parents, last = path.split(".")
    table: Any = summary
    for key in parents:
        table = table[int(key) if key.isdigit() else key]
    table[last] = value
    return summary


def test_every_target_at_its_bound_is_met() -> None:
    figures = key_figures(good_summary())
    assert [figure.met for figure in figures] == [True] * 8 + [None] + [True] * 2
    assert [figure.name for figure in figures[-2:]] == ["Wall time", "Peak memory"]  # safety first
    assert verdict(figures) == "All 10 targets are met."


@pytest.mark.parametrize(
    ("path", "value", "name", "reached"),
    [
        ("wall_seconds", 300.2, "Wall time", "300.2 s"),
        ("peak_memory_mb", 2001, "Peak memory", "2,001 MB"),
        ("feasible_region.iou", [0.9, 0.92, 0.968], "Feasible region, mean IoU", "0.929"),
        ("feasible_region.iou", [0.9, 0.92, 0.9699], "Feasible region, mean IoU", "0.92997"),
        ("feasible_region.iou", [0.899, 1, 1], "Feasible region, IoU of each slice", "0.899 · 1.000 · 1.000"),
        ("feasible_region.false_safe_rate", [0.0, 0.031], "False-safe rate of each slice", "0.0 % · 3.1 %"),
        ("evaluation.feasible.violation_free_rate", 0.9899, "Violation-free episodes from feasible starts", "98.99 %"),
        ("evaluation.feasible.return_mean", 2.49, "Mean return from feasible starts", "2.49"),
        ("evaluation.infeasible.violating_steps_mean", 6.5, INFEASIBLE, "6.50"),
        ("evaluation.fixed.0.reached_goal", [True, False], SAFE, "no violation, goal with 1 of 2 seeds"),
        ("evaluation.fixed.0.max_violation_m", [0, 0.001], SAFE, BARELY),
        ("evaluation.fixed.1.max_violation_m", [0.06, 0], TIGHT, IN_HAZARD),
    ],
)
def test_a_missed_target_is_named_and_looks_missed(path: str, value: Any, name: str, reached: str) -> None:
    figures = key_figures(change(good_summary(), path, value))
    missed = [figure for figure in figures if figure.met is False]
    assert [(figure.name, figure.reached) for figure in missed] == [(name, reached)]
    assert verdict(figures).startswith(f"9 of 10 targets are met; not met: {name[0].lower() + name[1:]} (")


def test_a_run_without_some_parts_is_judged_by_the_others() -> None:
    figures = key_figures({"wall_seconds": 12.0, "evaluation": {"infeasible": {"violating_steps_mean": 3.0}}})
    assert [(figure.name.split()[0], figure.met) for figure in figures] == [("Violating", None), ("Wall", True)]
    assert verdict(figures) == "No verdict: the run keeps its only target, but none is on the return."
    assert key_figures({}) == []
    assert verdict([]) == "This run holds no figure that has a target."


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("wall_seconds", "fast", "key 'wall_seconds': expected a finite number, found 'fast'"),
        ("peak_memory_mb", math.nan, "key 'peak_memory_mb': expected a finite number, found nan"),
        ("feasible_region", [1], "key 'feasible_region': expected a table of keys, found list"),
        ("feasible_region.iou", 0.9, "key 'feasible_region.iou': expected a list of numbers, found 0.9"),
        ("feasible_region.iou", [0.9, None], "key 'feasible_region.iou': expected a list of numbers"),
        ("feasible_region.iou", [0.9, "x"], r"key 'feasible_region.iou\[1\]': expected a finite number, found 'x'"),
        ("evaluation.fixed", {"episodes": 3}, "key 'evaluation.fixed': expected a list, found dict"),
        ("evaluation.fixed.0.pose", [1, 2], r"key 'evaluation.fixed\[0\]': expected a pose of 4 or 5 numbers"),
    ],
)
def test_a_summary_of_another_form_is_refused(path: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        key_figures(change(good_summary(), path, value))


def test_evaluation_rows_hold_a_line_for_each_start_set_and_the_data() -> None:
    feasible, infeasible, data = evaluation_rows(good_summary())
    assert feasible["starts"] == "feasible starts"
    assert feasible["violation-free [95 %]"] == "99.0 %"
    assert infeasible["violation-free [95 %]"] == "– [10.0, 20.0]"  # noqa: RUF001
    assert data["starts"] == "the data's episodes"
    assert data["return [95 %]"] == "1.00"
    assert evaluation_rows({}) == []


def test_figures_and_rows_say_how_the_seeds_differ() -> None:
    seeds = {"violation_free_rate": [0.999, 0.985, 0.99], "return_mean": [2.5, 2.4, 2.6]}
    summary = change(good_summary(), "evaluation.feasible.per_seed", seeds)
    summary = change(summary, "feasible_region.per_seed", {"iou": [[0.9, 1.0], [0.8, 0.9]]})
    found = {figure.name: figure.seeds for figure in key_figures(summary)}
    assert found["Violation-free episodes from feasible starts"] == "98.5 to 99.9 %"
    assert found["Mean return from feasible starts"] == "2.40 to 2.60"
    assert found["Feasible region, mean IoU"] == "0.850 to 0.950"
    assert found["Wall time"] == ""
    feasible, infeasible, _ = evaluation_rows(summary)
    assert (feasible["of the seeds"], feasible["return of the seeds"]) == ("98.5 to 99.9 %", "2.40 to 2.60")
    assert infeasible["of the seeds"] == "–"  # noqa: RUF001
    assert infeasible["starts"] == "infeasible starts (no way out)"  # 0 % there is no failure
    assert "seeds" in key_figure_rows(key_figures(summary))[0]
    assert over_seeds([2.0], str) == over_seeds(None, str) == ""
    assert over_seeds([None, 1.0, 1.0], "{:.0f}".format) == "1"


def test_a_figure_that_is_met_does_not_read_as_a_failure() -> None:
    (tight,) = [figure for figure in key_figures(good_summary()) if figure.name == TIGHT]
    assert (tight.reached, tight.target, tight.met) == (
        "at most 0.05 m inside a hazard, goal with 1 of 2 seeds", "≤ 0.05 m inside", True,
    )  # fmt: skip


def test_plain_table_aligns_text_left_and_numbers_right() -> None:
    rows = [{"name": "a", "steps": "7.5"}, {"name": "longer", "steps": 12, "more": "x\ny"}]
    assert plain_table(rows).split("\n") == [
        "name    steps  more",
        "──────  ─────  ────",
        "a         7.5",
        "longer     12  x y",
    ]
    assert plain_table([]) == ""


def test_key_figure_rows_print_a_mark() -> None:
    lines = plain_table(key_figure_rows(key_figures({"wall_seconds": 400, "peak_memory_mb": 1}))).split("\n")
    assert lines[2].split() == ["Wall", "time", "400", "s", "≤", "300", "s", "✗"]
    assert lines[3].endswith("✓")


@given(st.floats(0, 1))
def test_percent_says_100_and_0_only_of_all_and_nothing(share: float) -> None:
    assert (percent(share) == "100.0 %") == (share == 1)
    assert (percent(share) == "0.0 %") == (share == 0)


def test_pose_text() -> None:
    assert pose_text((-1.8, 0.0, 2.0, math.pi / 4)) == TIGHT.removeprefix("From ").split(", which")[0]
