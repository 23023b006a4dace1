"""surefoot evaluate, report and bench on a planner under budgets, from the command line."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.e2e.tiny import rows_of
from tests.stub_planner import StubPlanner
from tests.stub_run import know_the_stub, stub_run

from surefoot import checkpoint
from surefoot.cli.main import main
from surefoot.cli.next_commands import measuring_command
from surefoot.errors import ConfigError
from surefoot.evaluation import calibrate as calibration
from surefoot.evaluation.kinds import budgets
from surefoot.presets import build
from surefoot.safety.calibration import Calibration, write_calibration
from surefoot.safety.margins import HeldOut
from surefoot.tasks import get_task
from surefoot.training import RunDirectory, load_policy


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    know_the_stub(monkeypatch)
    return stub_run(tmp_path / "run", StubPlanner())


def rows(run: Path) -> list[dict[str, Any]]:
    return rows_of(run / "evaluation" / "budget_episodes.jsonl")


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says on stderr as it exits with code 2."""
    capsys.readouterr()
    assert main(words) == 2
    sentence = capsys.readouterr().err.splitlines()[-1].removeprefix("error: ")
    assert is_one_sentence(sentence), sentence
    return sentence


def test_evaluate_report_and_bench(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "evaluate",
        str(run),
        "--budget",
        "0.25",
        "0.5",
        "--cost-limit",
        "inf",
        "--episodes",
        "2",
        "--num-envs",
        "3",
    ]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "ratio 0.25" in printed
    assert "no limit" in printed
    found = rows(run)
    assert len(found) == 3 * 2 * 2  # budgets, seeds, episodes
    assert {(row["asked"], row["cost"]) for row in found} == {
        ("ratio 0.25", 1.0),
        ("ratio 0.5", 2.0),
        ("cost inf", 4.0),
    }
    figures = json.loads((run / "summary.json").read_text())["budgets"]
    assert [record["cost_mean"] for record in figures["budgets"]] == [1.0, 2.0, 4.0]
    assert figures["share_of_unconstrained_return"] == 0.5
    with np.load(run / "evaluation" / "plans.npz") as plans:
        assert plans["observations"].shape == (6, 3, 2)
        assert plans["plans"].shape == (6, 3, 3, 2)

    # With a margin of 0.5 on what is left.
    ours = load_policy(run).checkpoint_sha256
    half = {"0": {"0.1": [0.5]}, "1": {"0.1": [0.5]}}
    write_calibration(run, Calibration("segments", 2, 6, half, 9, 9, "x", checkpoint_sha256=ours))
    assert main(["evaluate", str(run), "--budget", "0.5", "--episodes", "2", "--level", "0.1"]) == 0
    assert {row["cost"] for row in rows(run) if row["level"] == 0.1} == {1.5}
    # Of the budgets that calibrated the smallest kept to 1.8; 1.0 is less.
    kept = {seed: {"0.1": [[1.0, 2.0], [1.8, 2.0]]} for seed in ("0", "1")}
    write_calibration(run, Calibration("budgets", 2, 6, {}, 9, 9, "x", kept, checkpoint_sha256=ours))
    capsys.readouterr()
    assert main(["evaluate", str(run), "--budget", "0.25", "0.5", "--episodes", "2", "--level", "0.1"]) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warned) == 1
    assert "not known to hold under 1:" in warned[0]
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    for name in ("budgets", "plans", "calibration"):
        assert f'<figure id="{name}">' in page
    assert "Episodes over budget, most" in page

    capsys.readouterr()
    assert main(["bench", "act", str(run), "--batch", "1", "4", "--calls", "3"]) == 0
    assert "95th percentile" in capsys.readouterr().out
    latency = json.loads((run / "summary.json").read_text())["latency"]
    assert [(record["batch"], record["calls"]) for record in latency["batches"]] == [(1, 3), (4, 3)]


def test_margins_that_are_given_to_an_evaluation(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate = ["evaluate", str(run), "--budget", "0.5", "--episodes", "2"]
    calibrate = ["calibrate", str(run), "--level", "0.4", "--method", "budgets"]
    assert main(evaluate) == 0
    assert main([*evaluate, "--cost-margin", "0"]) == 0  # the run's own: nothing is left to do
    assert main([*evaluate, "--cost-margin", "0.5"]) == 0
    assert [(row["overrides"], row["cost"]) for row in rows(run)] == [({}, 2.0)] * 4 + [({"cost_margin": 0.5}, 1.5)] * 4
    # Each calibration is of the episodes that were planned alike, and of no use to another planner.
    for margin, cost in ((["--cost-margin", "0"], 2.0), (["--cost-margin", "0.5"], 1.5)):
        assert main([*calibrate, *margin]) == 0
        assert json.loads((run / "calibration.json").read_text())["kept"]["0"] == {"0.4": [[2.0], [cost]]}
    assert (
        "calibration.json: expected margins for a planner with its own hyper-parameters, found those for one with "
        in (refusal(capsys, *evaluate, "--level", "0.4"))
    )
    assert main([*evaluate, "--level", "0.4", "--cost-margin", "0.5"]) == 0
    assert {row["cost"] for row in rows(run) if row["level"] == 0.4} == {1.5}
    # The page compares levels of one way of acting: the latest, without margins, has none of its own.
    page = run / "report.html"
    assert main(["report", str(run)]) == 0
    assert '<figure id="calibration">' in page.read_text()
    assert main(["evaluate", str(run), "--budget", "0.25", "--episodes", "2"]) == 0
    assert main(["report", str(run)]) == 0
    assert '<figure id="calibration">' not in page.read_text()


def test_a_killed_evaluation_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["evaluate", str(run), "--cost-limit", "1", "2", "--episodes", "3", "--num-envs", "2"]
    calls: list[int] = []
    append = budgets.append_rows

    def interrupted(path: Path, block: Any) -> None:
        if len(calls) == 2:
            with path.open("a") as file:
                file.write('{"asked": "cost 1", "seed"')  # killed while it wrote
            raise KeyboardInterrupt
        calls.append(len(block))
        append(path, block)

    monkeypatch.setattr(budgets, "append_rows", interrupted)
    assert main(words) == 130
    kept = (run / "evaluation" / "budget_episodes.jsonl").read_text().splitlines()[:-1]
    assert len(kept) == 4  # two blocks of two lanes
    monkeypatch.setattr(budgets, "append_rows", append)
    assert main(words) == 0
    found = (run / "evaluation" / "budget_episodes.jsonl").read_text().splitlines()
    assert found[:4] == kept
    places = [(row["asked"], row["seed"], row["episode"]) for row in rows(run)]
    assert len(places) == len(set(places)) == 12
    # Once more: nothing is left to do, and nothing is written.
    before = (run / "evaluation" / "budget_episodes.jsonl").read_bytes()
    assert main(words) == 0
    assert (run / "evaluation" / "budget_episodes.jsonl").read_bytes() == before


def test_a_schedule_from_a_file(run: Path, tmp_path: Path) -> None:
    schedule = tmp_path / "steps.csv"
    schedule.write_text("step,budget\n0,3\n2,1.5\n4,2.75\n")
    assert main(["evaluate", str(run), "--budget-schedule", str(schedule), "--episodes", "1"]) == 0
    assert {(row["asked"], row["budget"], row["cost"]) for row in rows(run)} == {("schedule steps.csv", 2.75, 2.75)}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "algorithm 'stub': expected a budget, found none; give --budget"),
        (["--budget", "nan"], "--budget: expected at least 0 (inf for no limit), found nan"),
        (["--budget", "-0.2"], "--budget: expected at least 0 (inf for no limit), found -0.2"),
        (["--cost-limit", "-1"], "--cost-limit: expected at least 0"),
        (["--budget", "0.5", "--level", "0.1"], "--level needs the margins of `surefoot calibrate`"),
        (["--budget", "0.5", "--num-envs", "0"], "--num-envs: expected at least 1, found 0"),
        (["--budget", "0.5", "--margin-level", "0"], "has no margin_level; leave --margin-level out"),
        (["--budget-schedule", "none.csv"], "--budget-schedule none.csv: the file cannot be read"),
    ],
)
def test_what_evaluate_refuses(words: list[str], part: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert part in refusal(capsys, "evaluate", str(run), *words)
    assert not (run / "evaluation").exists()


def test_a_schedule_shorter_than_the_episode(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "short.csv").write_text("budget\n1\n1\n")
    sentence = refusal(capsys, "evaluate", str(run), "--budget-schedule", str(tmp_path / "short.csv"))
    assert "expected a budget for each of the 6 steps" in sentence


def test_rows_that_are_none(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "evaluation").mkdir()
    (run / "evaluation" / "budget_episodes.jsonl").write_text("other\n{}\n")
    assert "line 1: expected a row" in refusal(capsys, "evaluate", str(run), "--budget", "0.5")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["sleep"], "unknown bench 'sleep'; known: act"),
        (["act", "RUN", "--batch", "0"], "--batch: expected at least 1, found 0"),
        (["act", "RUN", "--calls", "1"], "--calls: expected at least 3, found 1"),
        (["act", "RUN", "--budget", "-1"], "budget: expected at least 0"),
    ],
)
def test_what_bench_refuses(words: list[str], part: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert part in refusal(capsys, "bench", *[str(run) if word == "RUN" else word for word in words])


def test_bench_without_a_bench(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 0
    assert "surefoot bench act RUN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("algorithm", "task", "budgets"),
    [
        ("trebi", "SafePendulum", " --budget 0.2 0.4 0.6 0.8 1.0"),
        ("trebi", "BallCircle", " --cost-limit 10 20 40"),
        ("fisor", "BallCircle", ""),
    ],
)
def test_training_ends_with_a_command_that_measures(algorithm: str, task: str, budgets: str) -> None:
    found = measuring_command(build(algorithm, get_task(task)), get_task(task), Path("runs/my run"))
    assert found == f"surefoot evaluate 'runs/my run'{budgets}"


def test_margins_of_another_run_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--budget", "0.5", "--episodes", "2"]) == 0
    assert main(["calibrate", str(run), "--level", "0.4", "--method", "episodes"]) == 0
    ours = load_policy(run).checkpoint_sha256
    assert json.loads((run / "calibration.json").read_text())["checkpoint_sha256"] == ours
    other = stub_run(tmp_path / "other", StubPlanner(), gain=2.0)
    (other / "calibration.json").write_bytes((run / "calibration.json").read_bytes())
    sentence = refusal(capsys, "evaluate", str(other), "--budget", "0.5", "--episodes", "2", "--level", "0.4")
    assert f"found those of another, {ours[:16]}...; calibrate again" in sentence
    with pytest.raises(ConfigError, match="found those of another"):
        load_policy(other).session(1.0, level=0.4)


def test_an_evaluation_goes_on_with_the_rows_of_its_own_checkpoint_only(run: Path) -> None:
    words = ["evaluate", str(run), "--budget", "0.5", "--episodes", "2"]
    assert main(words) == 0
    before = rows(run)
    assert {row["cost"] for row in before} == {2.0}
    directory = RunDirectory(run)
    checkpoint.remove(directory.checkpoints()[-1])
    directory.save_checkpoint(2, {"gain": jnp.full(2, 0.5)}, directory.read_config().identity)  # weights of another run
    assert main(words) == 0
    assert rows(run)[: len(before)] == before
    assert {row["setting"] for row in rows(run)[len(before) :]} not in ({before[0]["setting"]}, set())
    summary = json.loads((run / "summary.json").read_text())["budgets"]
    assert summary["setting"] == rows(run)[-1]["setting"]


def test_a_calibration_on_outcomes_without_costs_is_remarked(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), "--budget", "0.5", "--episodes", "3"]) == 0
    words = ["calibrate", str(run), "--level", "0.4", "--method", "episodes"]
    assert main(words) == 0
    assert "warning" not in capsys.readouterr().err
    file = run / "evaluation" / "budget_episodes.jsonl"
    file.write_text("".join(json.dumps({**row, "discounted_cost": 0.0}) + "\n" for row in rows(run)))
    kept = (run / "calibration.json").read_bytes()
    sentence = "none of 6 episodes has a cost, so that the margins say nothing"
    assert sentence in refusal(capsys, *words, "--strict")
    assert (run / "calibration.json").read_bytes() == kept
    assert main(words) == 0
    assert f"warning: {file}: {sentence}" in capsys.readouterr().err

    # The same of segments, with a planner that predicts a cost.
    segments = HeldOut(np.zeros(9), np.ones(9), np.zeros(9), np.zeros(9, int))
    monkeypatch.setattr(StubPlanner, "predict", lambda: None, raising=False)
    monkeypatch.setattr(StubPlanner, "num_candidates", 64, raising=False)
    monkeypatch.setattr(calibration, "_held_out", lambda *_: (SimpleNamespace(episode_ends=[9]), None, np.arange(9)))
    monkeypatch.setattr(calibration, "held_out_outcomes", lambda *_, **__: segments)
    sentence = "nowhere.hdf5: none of 9 held-out segments has a cost, so that the margins say nothing"
    assert sentence in refusal(capsys, "calibrate", str(run), "--level", "0.4", "--strict")
    segments.realised_cost[0] = 1.0
    assert main(["calibrate", str(run), "--level", "0.4", "--strict"]) == 0
