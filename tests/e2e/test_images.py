"""collect -> train -> evaluate -> finetune -> surefoot.load on images, as a user would, at tiny sizes."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.e2e.tiny import rows_of
from tests.memory import drop_programs, in_a_process
from tests.pages import programs_of

import surefoot
from surefoot.cli.main import main
from surefoot.errors import ConfigError

MODEL = {"channels": "4 4", "deterministic": "8", "hidden": "8", "groups": "2", "classes": "4", "head-hidden": "8",
         "bins": "21"}  # fmt: skip
SIZES = [
    *[word for name, value in MODEL.items() for word in (f"--world-model.{name}", *value.split())],
    *["--schedule", "joint", "--joint-updates", "4", "--batch-size", "2", "--window", "4", "--horizon", "2"],
    *["--hidden", "8", "--actor-hidden", "8", "--log-interval", "2", "--checkpoint-interval", "4", "--seeds", "0"],
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "hazard_run.hdf5"
    assert main(["collect", "--task", "HazardRun", "--transitions", "180", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    path = tmp_path_factory.mktemp("runs") / "fosp"
    words = ["train", "--algorithm", "fosp", "--task", "HazardRun", "--data", str(images), "--out", str(path), *SIZES]
    in_a_process(words)
    return path


def test_a_policy_that_sees_is_trained_measured_and_tuned(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop_programs()
    assert main(["evaluate", str(run), "--episodes", "6"]) == 0
    summary = json.loads((run / "summary.json").read_text())
    found = summary["evaluation"]["drawn"]
    rows = rows_of(run / "evaluation" / "episodes.jsonl")
    assert len(rows) == found["episodes"] == 6
    np.testing.assert_allclose(found["return_mean"], np.mean([row["return"] for row in rows]))
    assert summary["evaluation"]["data"]["episodes"] == 6
    assert summary["evaluation_infeasibility"]["violation_within_steps"] == 5

    tuned = tmp_path / "online"
    words = ["finetune", str(run), "--task", "HazardRunShifted", "--steps", "60", "--num-envs", "1", "--ratio", "0.05"]
    told = in_a_process([*words, "--out", str(tuned)])
    bill = rows_of(tuned / "online.jsonl")
    assert [row["environment_steps"] for row in bill] == [30, 60]
    assert bill[-1]["total_cost"] == sum(row["cost_mean"] for row in bill)
    assert bill[-1]["cost_regret"] == bill[-1]["total_cost"] / 2
    assert all(0.0 <= row["metrics"]["act/online_rate"] <= 1.0 for row in bill)
    assert "The actor that learns acted in" in told
    assert main(["finetune", "--out", str(tuned), "--resume"]) == 0  # alone: nothing is left to do
    assert rows_of(tuned / "online.jsonl") == bill
    capsys.readouterr()
    for words, sentence in [
        (
            ["--num-envs", "2", "--ratio", "1"],
            "--num-envs: the run has 1, found 2; --ratio: the run has 0.05, found 1",
        ),
        (["--steps", "90"], "--steps: the run has 60, found 90; a longer fine-tuning holds more new frames than this"),
        (["--task", "HazardRun"], "--task: the run has HazardRunShifted, found HazardRun; leave"),
    ]:
        assert main(["finetune", str(run), "--out", str(tuned), "--resume", *words]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["train", "--out", str(tuned), "--resume"]) == 2
    assert "found a fine-tuned one; go on with it by: surefoot finetune" in capsys.readouterr().err
    before, after = surefoot.load(run), surefoot.load(tuned)
    assert after.config.task == "HazardRunShifted"
    frozen = after.state.offline_actor.network.out.kernel
    assert np.asarray(frozen).tobytes() == np.asarray(before.state.actor.network.out.kernel).tobytes()

    image = np.zeros((16, 16, 3), np.uint8)
    session = before.session()
    actions = [session.act(image) for _ in range(2)]
    assert actions[0].shape == (2,)
    np.testing.assert_array_equal(actions[0].shape, before.act(image).shape)
    assert before.act(np.stack([image] * 3)).shape == (3, 2)
    with pytest.raises(ConfigError, match=r"expected uint8 images of shape \[16, 16, 3\] or \[n, ...\], found float64"):
        before.act(image / 255.0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "--algorithm", "fisor", "--task", "HazardRun"], "expected one that reads images for HazardRun, as"),
        (["train", "--algorithm", "fosp", "--task", "HazardRun", "--fraction", "0.5"], "whose data are images"),
        (["collect", "--task", "HazardRunShifted"], "HazardRunShifted is there to fine-tune on; collect HazardRun"),
        (["collect", "--task", "HazardRun", "--workers", "2"], "--workers: expected none for HazardRun"),
    ],
)
def test_what_images_cannot_do_is_said(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    data = ["--data", str(images)] if words[0] == "train" else []
    assert main([*words, *data, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert is_one_sentence(error.removeprefix("error: ").rstrip("\n"))


def test_another_task_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", str(run), "--task", "PointRobot", "--out", str(tmp_path / "out")]) == 2
    assert "expected a task that looks like HazardRun" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--task", "PointRobot"]) == 2
    assert "expected a task that looks like HazardRun" in capsys.readouterr().err


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data and a run of PointRobotPixels.

    Its commands are tests of their own: all of their compiled programs together take more than a test may hold.
    """
    folder = tmp_path_factory.mktemp("pixels")
    data, path = folder / "pixels.hdf5", folder / "run"
    assert main(["collect", "--task", "PointRobotPixels", "--transitions", "120", "--out", str(data)]) == 0
    words = ["train", "--algorithm", "fosp", "--task", "PointRobotPixels", "--data", str(data), "--out", str(path)]
    in_a_process([*words, *SIZES])
    return data, path


def test_point_robot_is_trained_from_pixels(pixels: tuple[Path, Path]) -> None:
    behaviors = json.loads(h5_card(pixels[0]))["behaviours"]
    assert [one["name"] for one in behaviors][1:] == ["careless goal-seekers", "careful goal-seekers"]


def test_a_run_on_pixels_is_measured_against_the_exact_set(pixels: tuple[Path, Path]) -> None:
    _, path = pixels
    in_a_process(["evaluate", str(path), "--episodes", "4"])
    summary = json.loads((path / "summary.json").read_text())
    assert (summary["evaluation"]["feasible"]["episodes"], summary["evaluation"]["infeasible"]["episodes"]) == (4, 1)
    exact = summary["evaluation_infeasibility"]["exact"]
    assert len(exact) == 1
    assert 0.0 < exact[0]["infeasible_share"] < 1.0
    assert 0.0 <= exact[0]["auroc"] <= 1.0
    assert main(["report", str(path)]) == 0
    page = (path / "report.html").read_text()
    shown = ("open-loop", "feasibility-along-episode", "probability-maps", "return-cost", "training", "data")
    assert [name for name in shown if f'<figure id="{name}">' in page] == list(shown)


def test_a_run_on_pixels_is_measured_where_the_target_moved(pixels: tuple[Path, Path]) -> None:
    in_a_process(["evaluate", str(pixels[1]), "--episodes", "4", "--task", "PointRobotPixelsMoved"])


def test_a_run_on_pixels_is_tuned_where_the_target_moved(pixels: tuple[Path, Path], tmp_path: Path) -> None:
    _, path = pixels
    tuned = tmp_path / "online"
    words = ["finetune", str(path), "--task", "PointRobotPixelsMoved", "--steps", "75", "--num-envs", "1"]
    in_a_process([*words, "--ratio", "0.02", "--out", str(tuned)])
    (row,) = rows_of(tuned / "online.jsonl")
    assert row["environment_steps"] == 75
    assert row["episodes"] >= 1
    assert main(["report", str(tuned)]) == 0
    assert '<figure id="fine-tuning">' in (tuned / "report.html").read_text()


def h5_card(path: Path) -> str:
    """The card of a file of data."""
    with h5py.File(path) as file:
        return str(file.attrs["card"])


def test_the_tutorial_s_program_acts_on_an_image(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "fosp").symlink_to(run)
    (code,) = programs_of("tutorials/pixels.md")
    names: dict[str, Any] = {}
    exec(compile(code, "pixels.md", "exec"), names)
    assert names["action"].shape == (2,)
    assert np.abs(names["action"]).max() <= 1.0
