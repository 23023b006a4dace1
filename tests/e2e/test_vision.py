"""collect -> train -> evaluate -> finetune -> convert in Safety-Gymnasium through a robot's cameras, at tiny sizes."""

import io
import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.e2e.tiny import rows_of
from tests.memory import drop_programs, in_a_process

import surefoot
from _predictions import score_predictions
from surefoot.cli.main import main
from surefoot.data import episode_files
from surefoot.evaluation.evaluation import Episodes, Setting
from surefoot.evaluation.kinds.limits import by_protocol, pictures_of_data
from surefoot.runs.loaded import load_run
from surefoot.tasks import get_task

TASK, MOVED = "PointGoal1Vision", "PointGoal1VisionMoved"
MODEL = {"channels": "2 2 2 2", "deterministic": "8", "hidden": "8", "groups": "2", "classes": "4", "head-hidden": "8",
         "bins": "21"}  # fmt: skip
SIZES = [
    *[word for name, value in MODEL.items() for word in (f"--world-model.{name}", *value.split())],
    *["--schedule", "joint", "--joint-updates", "4", "--batch-size", "2", "--window", "4", "--horizon", "2"],
    *["--hidden", "8", "--actor-hidden", "8", "--log-interval", "2", "--checkpoint-interval", "4", "--seeds", "0"],
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vision") / "point_goal"
    assert main(["collect", "--task", TASK, "--transitions", "250", "--workers", "1", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    path = tmp_path_factory.mktemp("runs") / "fosp"
    words = ["train", "--algorithm", "fosp", "--task", TASK, "--data", str(data), "--stream", "always"]
    in_a_process([*words, "--out", str(path), *SIZES])
    return path


def test_a_policy_that_sees_is_trained_measured_and_tuned_in_the_simulator(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop_programs()  # of one command before the next: together they take more than a test may hold
    assert main(["evaluate", str(run), "--task", MOVED, "--episodes", "1", "--workers", "1"]) == 0
    assert f"{MOVED}: drawn by " in capsys.readouterr().err
    (row,) = rows_of(run / "evaluation" / f"episodes_{MOVED}.jsonl")
    assert (row["task"], row["length"], row["terminated"]) == (MOVED, 250, False)
    summary = json.loads((run / "summary.json").read_text())
    assert summary[f"protocol_{MOVED}"]["timing"]["environment_steps"] == 250

    drop_programs()
    loaded = load_run(run, {})
    task = get_task(loaded.config.task)
    at = Setting(evaluation=by_protocol(task), run=loaded, task=task)
    content = pictures_of_data(at, Episodes([])).files["pictures.npz"]
    with np.load(io.BytesIO(content), allow_pickle=False) as pictures:
        assert pictures["truth"].shape == pictures["predicted"].shape  # [1, 15, 64, 64, 6]
        assert pictures["infeasibility"].shape == (251,)
    tuned = tmp_path / "online"
    drop_programs()
    words = ["finetune", str(run), "--task", MOVED, "--steps", "250", "--num-envs", "1", "--ratio", "0.01"]
    in_a_process([*words, "--workers", "1", "--out", str(tuned)])
    (bill,) = rows_of(tuned / "online.jsonl")
    assert (bill["environment_steps"], bill["episodes"]) == (250, 1)
    before, after = surefoot.load(run), surefoot.load(tuned)
    assert after.config.task == MOVED
    frozen = after.state.offline_actor.network.out.kernel
    assert np.asarray(frozen).tobytes() == np.asarray(before.state.actor.network.out.kernel).tobytes()
    drop_programs()
    frames = episode_files.load(data, get_task(TASK), in_memory=False)
    scores = score_predictions(cast(Any, before.algorithm), before.state, frames)
    assert set(scores) == {"seen", "ahead"}
    assert all(score["reward_r2"] is not None and np.isfinite(score["reward_r2"]) for score in scores.values())


def test_episodes_go_to_the_public_codes_chunks_and_back(data: Path, tmp_path: Path) -> None:
    chunks, back = tmp_path / "chunks", tmp_path / "back"
    assert main(["data", "convert", str(data), "--to", "chunks", "--out", str(chunks)]) == 0
    assert [path.name.rsplit("-", 1)[1] for path in chunks.iterdir()] == ["251.npz"]
    assert main(["data", "convert", str(chunks), "--task", TASK, "--to", "episodes", "--out", str(back)]) == 0
    one, other = (episode_files.load(folder, get_task(TASK), in_memory=True) for folder in (data, back))
    assert one.fingerprint() == other.fingerprint()
    assert main(["data", "convert", str(back), "--to", "frames", "--out", str(tmp_path / "frames.hdf5")]) == 0


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert is_one_sentence(error.removeprefix("error: "))
    return error


def test_another_task_robot_or_camera_is_refused_with_the_reason(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    said = refusal(["finetune", str(run), "--task", "CarGoal2Vision", *out], capsys)
    assert "PointGoal1Vision, with robot Point, found Car" in said
    said = refusal(["evaluate", str(run), "--task", "PointPush1Vision"], capsys)
    assert "with kind of task Goal, found Push" in said
    assert "expected a task that looks like PointGoal1Vision" in refusal(
        ["evaluate", str(run), "--task", "PointGoal1"], capsys
    )
    other = tmp_path / "other_camera"
    shutil.copytree(run, other)
    config = json.loads((other / "config.json").read_text())
    config["data_selection"]["vision"]["action_repeat"] = 5
    (other / "config.json").write_text(json.dumps(config))
    said = refusal(["evaluate", str(other)], capsys)
    assert "expected PointGoal1Vision with action repeat 5, found 4; train it again" in said


def test_without_the_offline_data_the_cost_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = tmp_path / "lost"
    shutil.copytree(run, lost)
    config = json.loads((lost / "config.json").read_text())
    (lost / "config.json").write_text(json.dumps({**config, "data_path": str(tmp_path / "gone")}))
    said = refusal(["finetune", str(lost), "--out", str(tmp_path / "out")], capsys)
    assert "without them the model forgets what they taught it" in said
    assert "--without-offline-data" in said


def test_what_a_collection_cannot_do_is_said(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["collect", "--task", TASK, "--transitions", "250", "--workers", "1"]
    assert "holds another collection" in refusal([*words, "--seed", "1", "--out", str(data)], capsys)
    assert "--overwrite: expected none" in refusal([*words, "--overwrite", "--out", str(tmp_path / "new")], capsys)
    assert "--steps: expected none" in refusal([*words, "--steps", "9", "--out", str(tmp_path / "new")], capsys)
    said = refusal(["data", "convert", str(data), "--to", "minari", "--out", str(tmp_path / "new")], capsys)
    assert "--to: expected frames, episodes, chunks for images, found minari" in said
