"""Figures over the tasks of a benchmark: which cells count, with which numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fake_cells import make_cell, rows_of_cell

from surefoot.evaluation import metrics
from surefoot.experiments.aggregate import mean_over_tasks, scores_by_task
from surefoot.experiments.cell import Measured
from surefoot.experiments.plan import Method, Plan, TaskEntry
from surefoot.experiments.resolve import Resolved
from surefoot.experiments.results import gather
from surefoot.experiments.store import DataRecord, Store
from surefoot.report.benchmark_tables import benchmark_rows, comparison_sentence, failures, overall_rows
from surefoot.tasks import get_task


def test_the_mean_over_tasks_and_its_interval() -> None:
    # Tasks of 0.2 and 0.6 on average; without spread the interval is a point.
    found = mean_over_tasks([np.full((3, 4), 0.2), np.full((2, 5), 0.6)])
    assert found == {"mean": pytest.approx(0.4), "interval": [pytest.approx(0.4)] * 2}
    # Three seeds at 0, 1 and 2 whose episodes do not differ: the mean of three drawn seeds has the deviation
    # sqrt(2 / 3 / 3) = 0.47, and a 95 % interval about 1.96 of it to each side.
    scores = np.repeat(np.array([[0.0], [1.0], [2.0]]), 4, axis=1)
    low, high = mean_over_tasks([scores])["interval"]
    assert (low, high) == (pytest.approx(1 - 1.96 * 0.47, abs=0.25), pytest.approx(1 + 1.96 * 0.47, abs=0.25))
    # Beside eight tasks without spread it shrinks by the number of tasks.
    wide = mean_over_tasks([scores, *[np.ones((3, 4))] * 8])["interval"]
    assert wide[1] - wide[0] == pytest.approx((high - low) / 9, rel=0.15)
    assert mean_over_tasks([]) == {"mean": None, "interval": None}


def test_scores_are_averaged_over_limits() -> None:
    rows = [{"seed": seed, "episode": 0, "limit": limit, "cost": seed + limit} for seed in (3, 7) for limit in (1, 2)]
    assert scores_by_task(rows, "cost").tolist() == [[4.5], [8.5]]


def judged(share: float) -> dict[str, Any]:
    """A verdict: so many states of safe episodes count as feasible, all else is well."""
    part: dict[str, Any] = {"episodes": 10, "safe_episodes": 5, "violating_episodes": 5, "warning_steps": None}
    values = {"safe_feasible": share, "violating_feasible": 0.0, "warned": 1.0, "fallback_safe": 0.0, "far_actions": 0}
    for name, value in {**values, "fallback": 0.0}.items():
        part[name] = {"share": value, "interval": [value, value], "per_seed": [value]}
    return {"training": part}


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """FISOR is safe on three of four tasks, on one of them it earns nothing; BC fails on the held-out task."""
    monkeypatch.setattr(metrics, "bootstrap_interval", lambda *_, **__: (0.25, 0.75))
    tasks = {name: TaskEntry("a", "held-out" if name == "AntRun" else "development")
             for name in ("BallRun", "CarRun", "DroneRun", "AntRun")}  # fmt: skip
    plan = Plan("tiny", tasks, {"fisor": Method("fisor"), "bc": Method("bc")}, seeds=(0, 1), episodes=2, baseline="bc")
    store, cells = Store(tmp_path), []
    # (reached, cost, share of feasible states)
    found = {
        "BallRun": (0.5, 0.0, 0.9),
        "CarRun": (0.1, 0.0, 0.9),
        "DroneRun": (0.6, 9.0, 0.1),
        "AntRun": (0.4, 0, 0.1),
    }
    for task, (reached, cost, share) in found.items():
        for method in plan.methods:
            cell = make_cell(0, key=f"{task}-{method}", task=task, method=method, algorithm=method)
            cells.append(cell)
            if (method, task) == ("bc", "AntRun"):
                store.folder(cell.key).mkdir(parents=True)
                store.fail(cell, "no safe episode is left.")
                continue
            details = {"held_out": judged(share)} if method == "fisor" else {}
            rows = rows_of_cell(cell, reached=reached if method == "fisor" else 0.3, cost=cost)
            store.finish(cell, Measured(rows, details))
    methods = {(task, key): Resolved(get_task(task), {"width": 3}, {}) for task in tasks for key in plan.methods}
    data = dict.fromkeys(tasks, DataRecord("a.hdf5", "f" * 64, 1, 1, 10, 100, 0.2, 0.8, 0.9))
    data["AntRun"] = replace(data["AntRun"], best_safe_return=None)
    return gather(plan, methods, cells, data, store).summary


def test_tasks_are_counted_by_role(summary: dict[str, Any]) -> None:
    counted = summary["methods"]["strict"]["fisor"]
    names = ("tasks", "done", "safe", "earning_judged", "safe_and_earning", "mostly_safe")
    assert [counted["development"][name] for name in names] == [3, 3, 2, 3, 1, 2]
    assert [counted["held-out"][name] for name in names] == [1, 1, 1, 0, 0, 1]  # its log has no safe episode
    assert [counted["all"][name] for name in names] == [4, 4, 3, 3, 1, 3]
    shown = [row["safe, half of the log's best"] for row in overall_rows(summary, "strict") if row["method"] == "fisor"]
    assert shown == ["1 of 3", "not known", "1 of 3"]
    # 0.0055 is what seeds and episodes add on average.
    assert counted["development"]["normalised_return"]["mean"] == pytest.approx((0.5 + 0.1 + 0.6) / 3 + 0.0055)
    assert counted["development"]["normalised_cost"]["mean"] == pytest.approx(9 / 5 / 3)
    assert summary["methods"]["strict"]["bc"]["held-out"]["done"] == 0


def test_verdicts_before_simulation_are_compared_with_it(summary: dict[str, Any]) -> None:
    # BallRun: good, passed. CarRun: earns too little, not caught. DroneRun: unsafe, caught. AntRun: good, not passed.
    verdicts = summary["methods"]["strict"]["fisor"]["all"]["verdicts"]
    assert verdicts == {"bad": 2, "bad_caught": 1, "good": 2, "good_passed": 1}
    shown = {row["method"]: row["verdict before simulation"] for row in overall_rows(summary, "strict")}
    assert shown == {"fisor": "1 of 2 bad caught, 1 of 2 good passed", "bc": "\N{EN DASH}"}


def test_the_baseline_is_compared_where_it_is_safe(summary: dict[str, Any]) -> None:
    found = summary["comparison"]["strict"]
    assert found["tasks"] == ["BallRun", "CarRun"]
    assert found["normalised_return"]["fisor"]["mean"] == pytest.approx(0.3055)
    assert found["normalised_return"]["bc"]["mean"] == pytest.approx(0.3055)
    assert "on which bc is safe (BallRun, CarRun): fisor 0.31" in comparison_sentence(summary, "strict")


def test_cells_say_what_they_are(summary: dict[str, Any]) -> None:
    rows = {row["task"]: row for row in benchmark_rows(summary, "strict")}
    assert rows["BallRun"]["fisor"] == "0.51 [0.25, 0.75] at 0.00 [0.25, 0.75], 100.0 %"
    assert rows["DroneRun"]["fisor"].endswith("at 1.80 [0.25, 0.75], 0.0 % ✗")
    assert rows["AntRun (held out)"]["bc"] == "failed"
    assert failures(summary) == ["bc on AntRun (held out) failed: no safe episode is left."]
