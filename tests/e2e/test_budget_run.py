"""TREBI under budgets from the command line: calibrate, evaluate, bench, report, and control from Python."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.e2e.test_simulator_runs import refusal
from tests.e2e.tiny import rows_of
from tests.memory import drop_programs
from tests.pages import programs_of
from tests.tiny_trebi import pendulum_data, trebi_run

import surefoot
from surefoot.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trebi")
    return trebi_run(folder / "run", pendulum_data(folder / "pendulum.hdf5"))


def test_a_run_under_budgets(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budgets = ["--budget", "0.2", "1.0", "--cost-limit", "inf", "--episodes", "2"]
    drop_programs()  # of one command before the next: together they take more than a test may hold
    assert main(["evaluate", str(run), *budgets]) == 0
    rows = rows_of(run / "evaluation" / "budget_episodes.jsonl")
    assert len(rows) == 3 * 2 * 2
    assert {(row["asked"], row["budget"]) for row in rows} == {
        ("ratio 0.2", 12.0),
        ("ratio 1", 60.0),
        ("cost inf", None),
    }
    assert {row["length"] for row in rows} == {200}
    with np.load(run / "evaluation" / "plans.npz") as plans:
        assert plans["plans"].shape == (200, 3, 4, 3)  # steps, budgets, steps ahead, observation
        # A plan begins where the environment is.
        np.testing.assert_allclose(plans["plans"][:, :, 0], plans["observations"], atol=0.02)

    # Two of twenty episodes are held out, 197 starts each, in four stretches of 50 steps.
    for method in ("segments", "selected"):
        assert main(["calibrate", str(run), "--level", "0.1", "--method", method]) == 0
        found = json.loads((run / "calibration.json").read_text())
        assert (found["method"], found["episodes"], found["outcomes"]) == (method, 2, 2 * 197)
        assert [len(found["seeds"][seed]["0.1"]) for seed in ("0", "1")] == [4, 4]
    drop_programs()
    assert main(["evaluate", str(run), *budgets, "--level", "0.1"]) == 0  # as many lanes: compiled already
    rows = rows_of(run / "evaluation" / "budget_episodes.jsonl")
    assert [row["level"] for row in rows] == [None] * 12 + [0.1] * 12

    drop_programs()
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "One step ahead, the plans are wrong by" in page
    for name in ("budgets", "plans", "calibration"):
        assert f'<figure id="{name}">' in page
    capsys.readouterr()
    assert main(["bench", "act", str(run), "--batch", "1", "--calls", "3"]) == 0
    assert "95th percentile" in capsys.readouterr().out


def test_margins_from_other_data_and_from_episodes(run: Path, tmp_path: Path) -> None:
    other = pendulum_data(tmp_path / "other.hdf5", episodes=3, seed=1)
    assert main(["calibrate", str(run), "--data", str(other), "--level", "0.1", "--method", "segments"]) == 0
    found = json.loads((run / "calibration.json").read_text())
    assert (found["episodes"], found["outcomes"]) == (3, 3 * 197)
    # Four limited episodes of each seed: enough for a level of 0.2, not for 0.1.
    assert main(["evaluate", str(run), "--budget", "0.2", "1.0", "--episodes", "2"]) == 0
    assert main(["calibrate", str(run), "--level", "0.2", "--method", "episodes"]) == 0
    rows = rows_of(run / "evaluation" / "budget_episodes.jsonl")
    over = [row["cost"] - row["budget"] for row in rows if row["seed"] == 0 and row["level"] is None and row["budget"]]
    margin = json.loads((run / "calibration.json").read_text())["seeds"]["0"]["0.2"]
    assert margin == [pytest.approx(max(0.0, *over), abs=1e-4)]  # the fourth smallest of four
    # A schedule's episodes, evaluated last, do not count.
    scheduled = {**rows[-1], "level": None, "setting": "another", "asked": "schedule steps.csv", "cost": 1e3}
    with (run / "evaluation" / "budget_episodes.jsonl").open("a") as file:
        file.write(json.dumps(scheduled) + "\n")
    # Two of each budget: enough for a level of 0.4, whose quantile is the larger.
    assert main(["calibrate", str(run), "--level", "0.4", "--method", "budgets"]) == 0
    given, kept = json.loads((run / "calibration.json").read_text())["kept"]["0"]["0.4"]
    assert given == [12.0, 60.0]
    worst = [max(row["cost"] for row in rows if (row["seed"], row["budget"]) == (0, budget)) for budget in given]
    np.testing.assert_allclose(kept, np.maximum.accumulate(worst), atol=1e-4)
    assert main(["evaluate", str(run), "--budget", "0.2", "1.0", "--episodes", "2", "--level", "0.4"]) == 0
    assert [row["level"] for row in rows_of(run / "evaluation" / "budget_episodes.jsonl")[-8:]] == [0.4] * 8


def test_what_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Not left to the tests above: workers share them out.
    assert main(["calibrate", str(run), "--level", "0.1", "--method", "segments"]) == 0
    capsys.readouterr()
    assert "expected a budget, found none" in refusal(capsys, "evaluate", str(run))
    assert "expected one that was calibrated" in refusal(
        capsys, "evaluate", str(run), "--budget", "0.5", "--level", "0.01"
    )
    assert "expected at least 99 held-out outcomes" in refusal(
        capsys, "calibrate", str(run), "--level", "0.01", "--method", "segments", "--stretch", "10"
    )
    assert "--stretch: expected at least 1, found 0" in refusal(capsys, "calibrate", str(run), "--stretch", "0")
    assert "--level: expected a number in (0, 1), found 1.5" in refusal(capsys, "calibrate", str(run), "--level", "1.5")


def test_control_from_python(run: Path) -> None:
    policy = surefoot.load(run, seed=1)
    observation = np.array([-1.0, 0.0, 0.0], np.float32)
    session = policy.session(30.0)
    assert session.act(observation).shape == (1,)
    session.pay(2.0)
    assert session.remaining == 28.0


def test_the_tutorial_s_loop_keeps_count(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "pendulum").symlink_to(run)
    (code,) = programs_of("tutorials/budget.md")
    names: dict[str, Any] = {}
    exec(compile(code, "budget.md", "exec"), names)
    assert (names["step"], names["truncated"]) == (199, True)
    assert names["session"].remaining == pytest.approx(20.0 - names["cost"], abs=1e-3)
