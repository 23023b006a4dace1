"""train -> evaluate -> report on BallRun in its simulator, from the starter set; shares, comparisons, refusals."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data_fixtures import is_one_sentence
from tests.e2e.tiny import TINY, rows_of

from surefoot.cli.main import main
from surefoot.envs import simulators
from surefoot.errors import SimulatorError
from surefoot.training import RunDirectory

STARTER = Path(__file__).parents[1] / "data" / "ballrun_starter.hdf5"
BALL = ["--task", "BallRun", "--data", str(STARTER), *TINY]
BC = [
    *["--task", "BallRun", "--data", str(STARTER), "--algorithm", "bc", "--seeds", "0:2", "--policy-updates", "20"],
    *["--policy-batch-size", "32", "--diffusion.network.width", "16", "--diffusion.network.blocks", "1"],
    *["--diffusion.network.time-width", "16", "--log-interval", "10", "--checkpoint-interval", "20"],
]


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says on stderr as it exits with code 2."""
    capsys.readouterr()
    assert main(words) == 2
    text = capsys.readouterr().err
    sentence = text.splitlines()[-1].removeprefix("error: ")
    assert is_one_sentence(sentence), sentence
    return sentence


@pytest.fixture(scope="module")
def fisor_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FISOR of two seeds, three episodes each in two worker processes, one of them drawn."""
    run = tmp_path_factory.mktemp("simulator") / "fisor"
    assert main(["train", "--out", str(run), *BALL]) == 0
    assert main(["evaluate", str(run), "--episodes", "3", "--workers", "2", "--gifs", "1"]) == 0
    return run


@pytest.fixture(scope="module")
def safe_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BC on the safe half of the data's episodes."""
    run = tmp_path_factory.mktemp("simulator") / "bc_safe"
    assert main(["train", "--out", str(run), *BC, "--data-filter", "safe", "--fraction", "0.5"]) == 0
    assert main(["evaluate", str(run), "--episodes", "3", "--workers", "1"]) == 0
    return run


def summary_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def test_rows_and_figures_of_the_strict_protocol(fisor_run: Path) -> None:
    rows = rows_of(fisor_run / "evaluation" / "episodes.jsonl")
    assert [(row["seed"], row["episode"]) for row in rows] == [(seed, k) for seed in (0, 1) for k in range(3)]
    assert {(row["task"], row["algorithm"], row["limit"], row["length"]) for row in rows} == {
        ("BallRun", "fisor", 5.0, 100)
    }
    protocol = summary_of(fisor_run)["protocol"]
    costs = np.array([row["cost"] for row in rows])
    assert protocol["normalised_cost_mean"] == pytest.approx(costs.mean() / 5)
    assert protocol["limits"][0]["episode_safe_rate"] == pytest.approx((costs <= 5).mean())
    # Two seeds, three episodes, 100 steps.
    assert protocol["timing"]["environment_steps"] == 600
    assert protocol["worker_deaths"] == []
    assert set(summary_of(fisor_run)["simulator"]) == {"bullet-safety-gym", "pybullet", "gymnasium"}


def test_the_drawn_episode_is_the_first_row(fisor_run: Path) -> None:
    first = rows_of(fisor_run / "evaluation" / "episodes.jsonl")[0]
    (record,) = summary_of(fisor_run)["rollouts"]
    assert f"return {first['return']:.1f}, cost {first['cost']:g} in 100 steps" in record["caption"]
    with Image.open(fisor_run / "evaluation" / record["file"]) as picture:
        assert getattr(picture, "n_frames", 1) == 51  # the start and every second of 100 steps


def test_the_same_evaluation_twice_gives_the_same_bits(fisor_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(fisor_run, tmp_path / "again"))
    before = (run / "evaluation" / "episodes.jsonl").read_bytes()
    assert main(["evaluate", str(run), "--episodes", "3", "--workers", "1"]) == 0
    assert (run / "evaluation" / "episodes.jsonl").read_bytes() == before


def test_the_dsrl_protocol_scores_against_three_limits(fisor_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(fisor_run, tmp_path / "dsrl"))
    words = ["--episodes", "1", "--workers", "1", "--protocol", "dsrl", "--extraction", "feasible_first"]
    assert main(["evaluate", str(run), *words]) == 0
    protocol = summary_of(run)["protocol"]
    assert [record["limit"] for record in protocol["limits"]] == [10.0, 20.0, 40.0]
    assert protocol["episodes"] == 2
    assert {row["extraction"] for row in rows_of(run / "evaluation" / "episodes.jsonl")} == {"feasible_first"}


def test_the_page_shows_scatter_and_rollout(fisor_run: Path) -> None:
    assert main(["report", str(fisor_run)]) == 0
    page = (fisor_run / "report.html").read_text()
    assert "<title>FISOR on BallRun</title>" in page
    for name in ("cost-return", "training", "data", "rollout_0"):
        assert f'<figure id="{name}">' in page
    assert "data:image/gif;base64," in page
    assert "violating steps" not in page


def test_a_selection_is_kept_and_found_again(safe_run: Path) -> None:
    config = json.loads((safe_run / "config.json").read_text())
    assert config["data_selection"] == {"filter": "safe", "cost_limit": 5.0, "fraction": 0.5, "fraction_seed": 0}
    assert summary_of(safe_run)["data"]["filter"] == "safe"
    assert main(["report", str(safe_run)]) == 0  # whose data figure needs the same episodes
    assert '<figure id="data">' in (safe_run / "report.html").read_text()


def test_runs_are_compared(fisor_run: Path, safe_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "BallRun"
    assert main(["report", str(fisor_run), str(safe_run), "--out", str(out)]) == 0
    table = (out / "table.md").read_text()
    assert "| FISOR |" in table
    assert "| BC-Safe (50 %) |" in table
    assert len(rows_of(out / "episodes.jsonl")) == 12
    assert set(json.loads((out / "summary.json").read_text())["methods"]) == {"FISOR", "BC-Safe (50 %)"}
    assert (out / "report.html").exists()
    assert (out / "cost_return.png").exists()
    assert "expected a folder" in refusal(capsys, "report", str(fisor_run), str(safe_run))
    assert "each method once" in refusal(capsys, "report", str(fisor_run), str(fisor_run), "--out", str(out))


def test_shares_of_the_data_in_one_command(tmp_path: Path) -> None:
    words = ["sweep", *BC[:-1], "10", "--fraction", "0.1", "0.5", "--episodes", "1", "--out", str(tmp_path)]
    words += ["--workers", "1"]
    assert main(words) == 0
    shares = json.loads((tmp_path / "data_quantity.json").read_text())["shares"]
    assert [share["fraction"] for share in shares] == [0.1, 0.5]
    assert [row["fraction"] for row in rows_of(tmp_path / "episodes.jsonl")] == [0.1, 0.1, 0.5, 0.5]
    assert (tmp_path / "data_quantity.png").exists()
    sizes = [summary_of(tmp_path / f"fraction_{share:g}")["data"]["episodes"] for share in (0.1, 0.5)]
    assert sizes[1] == pytest.approx(5 * sizes[0], abs=3)
    kept = (tmp_path / "fraction_0.1" / "evaluation" / "episodes.jsonl").stat().st_mtime_ns
    assert main(words) == 0  # goes on where nothing is left to do
    # Killed in the second share's training.
    killed, rows = tmp_path / "fraction_0.5", (tmp_path / "episodes.jsonl").read_bytes()
    last = RunDirectory(killed).latest()
    assert last is not None
    ends = {path.name: path.read_bytes() for path in last.iterdir() if path.name != "metadata.json"}
    for path in (last, killed / "evaluation"):
        shutil.rmtree(path)
    for path in (killed / "summary.json", tmp_path / "episodes.jsonl", tmp_path / "data_quantity.json"):
        path.unlink()
    assert main(["sweep", "--out", str(tmp_path), "--resume"]) == 0
    assert (tmp_path / "fraction_0.1" / "evaluation" / "episodes.jsonl").stat().st_mtime_ns == kept
    assert {name: (last / name).read_bytes() for name in ends} == ends
    assert (tmp_path / "episodes.jsonl").read_bytes() == rows
    assert summary_of(killed)["training"]["resumed_at"] == 10


def test_data_of_another_task_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--task", "CarCircle", "--data", str(STARTER), "--out", str(tmp_path / "run")]
    assert "expected data of task CarCircle, found data of task 'BallRun'" in refusal(capsys, *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["--workers", "1"], ["--gifs", "1"]])
def test_a_missing_simulator_or_screen_is_said_and_changes_nothing(
    words: list[str], fisor_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise SimulatorError("the Bullet simulator is not installed; install it with `surefoot simulators install`.")

    monkeypatch.setattr(simulators, "make", missing)
    monkeypatch.setattr("surefoot.envs.workers.vector.VectorSimulator", missing)
    before = (fisor_run / "summary.json").read_bytes()
    assert "simulators install" in refusal(capsys, "evaluate", str(fisor_run), *words)
    assert (fisor_run / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--episodes", "0"], "--episodes: expected at least 1, found 0"),
        (["--workers", "0"], "--workers: expected at least 1, found 0"),
        (["--gifs", "-1"], "--gifs: expected at least 0, found -1"),
    ],
)
def test_bad_options_are_refused(
    words: list[str], part: str, fisor_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert part in refusal(capsys, "evaluate", str(fisor_run), *words)


def test_a_sweep_refuses_shares_outside_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sweep"
    assert "(0, 1]" in refusal(capsys, "sweep", *BC, "--fraction", "0.5", "1.5", "--out", str(out))
    assert not out.exists()
