"""collect -> train -> evaluate -> report -> surefoot.load, as a user would, at tiny sizes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.e2e.tiny import TINY, TRANSITIONS, UPDATES, rows_of
from tests.pages import programs_of

import surefoot
from surefoot.cli.main import main
from surefoot.data import load, read_card
from surefoot.safety.exact_sets import exact_set
from surefoot.tasks import get_task

# Two seeds, each with 8 feasible starts, half as many infeasible ones and the 2 fixed ones.
STARTS = {"feasible": 8, "infeasible": 4, "fixed": 2}


def copy_of(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "copy"))


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says on stderr as it exits with code 2."""
    capsys.readouterr()
    assert main(words) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    sentence = text.removeprefix("error: ").removesuffix("\n")
    assert is_one_sentence(sentence), sentence
    return sentence


def test_collected_data_carry_a_card_that_is_true(data_file: Path) -> None:
    dataset = load(data_file, get_task("PointRobot"))
    card = read_card(data_file)
    assert len(dataset) == TRANSITIONS
    assert card["seed"] == 1
    assert card["versions"]["jax"]
    assert [part["rows"] for part in card["behaviours"]] == [[0, 1000], [1000, 2000]]
    free = float((dataset.violating_steps == 0).mean())
    assert card["coverage"]["violation_free_rate"] == pytest.approx(free)
    assert card["coverage"]["episodes"] == len(dataset.lengths)


def test_collect_does_not_overwrite_unasked(data_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = data_file.read_bytes()
    words = ["collect", "--transitions", "50", "--out", str(data_file)]
    assert "--overwrite" in refusal(capsys, *words)
    assert data_file.read_bytes() == before


def test_collect_overwrites_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "data.hdf5"
    path.write_text("old")
    assert main(["collect", "--transitions", "50", "--out", str(path), "--overwrite"]) == 0
    assert len(load(path, get_task("PointRobot"))) == 50


def test_run_holds_configuration_curves_and_summary(finished_run: Path) -> None:
    config = json.loads((finished_run / "config.json").read_text())
    summary = json.loads((finished_run / "summary.json").read_text())
    assert config["hyperparameters"]["value_hidden"] == [16, 16]
    assert config["seeds"] == summary["seeds"] == [0, 1]
    assert summary["training"]["updates"] == sum(UPDATES.values())
    # One row per 10 updates and seed: 80 / 10 x 2.
    assert len(rows_of(finished_run / "metrics.jsonl")) == 16


def test_evaluation_rows_are_those_that_the_summary_counts(finished_run: Path) -> None:
    rows = rows_of(finished_run / "evaluation" / "episodes.jsonl")
    summary = json.loads((finished_run / "summary.json").read_text())
    for name, count in STARTS.items():
        for seed in (0, 1):
            mine = [row for row in rows if row["start"] == name and row["seed"] == seed]
            assert [row["episode"] for row in mine] == list(range(count))
    feasible = [row for row in rows if row["start"] == "feasible"]
    free = np.mean([row["violating_steps"] == 0 for row in feasible])
    assert summary["evaluation"]["feasible"]["violation_free_rate"] == pytest.approx(free)
    # A robot starts in the middle of a hazard in none of them, and an infeasible start is never survived.
    assert all(row["violating_steps"] > 0 for row in rows if row["start"] == "infeasible")
    assert [record["seeds"] for record in summary["evaluation"]["fixed"]] == [[0, 1], [0, 1]]


def test_region_scores_are_means_over_the_seeds(finished_run: Path) -> None:
    region = json.loads((finished_run / "summary.json").read_text())["feasible_region"]
    for name in ("iou", "false_safe_rate", "false_alarm_rate"):
        assert region[name] == pytest.approx(np.mean(region["per_seed"][name], axis=0))
        assert len(region[name]) == 3
    with np.load(finished_run / "evaluation" / "region.npz", allow_pickle=False) as arrays:
        learned, exact = arrays["learned"] > 0, arrays["exact"] > 0
    both = (learned[0, 0] & exact[0]).sum() / (learned[0, 0] | exact[0]).sum()
    assert region["per_seed"]["iou"][0][0] == pytest.approx(both, abs=1e-3)  # float16 may move a cell on the border


def test_paths_begin_at_the_starts(finished_run: Path) -> None:
    rows = rows_of(finished_run / "evaluation" / "episodes.jsonl")
    with np.load(finished_run / "evaluation" / "paths.npz", allow_pickle=False) as arrays:
        paths = {name: arrays[name] for name in arrays.files}
    assert {name: len(part) for name, part in paths.items()} == {"feasible": 8, "infeasible": 4, "fixed": 4}
    poses = [row["pose"][:2] for row in rows if row["start"] == "feasible" and row["seed"] == 0]
    np.testing.assert_allclose(paths["feasible"][:, 0], poses, atol=1e-5)
    lengths = [row["length"] for row in rows if row["start"] == "feasible" and row["seed"] == 0]
    # The start and one position for each step.
    np.testing.assert_array_equal(np.isfinite(paths["feasible"][..., 0]).sum(1), np.add(lengths, 1))


def test_report_shows_all_figures_and_needs_nothing_else(finished_run: Path) -> None:
    page = (finished_run / "report.html").read_text()
    for name in ("feasible-region", "value-paths", "trajectories", "training", "data"):
        assert f'<figure id="{name}">' in page
    assert "<script" not in page
    assert 'src="data:image/' in page
    assert 'src="http' not in page


def test_loaded_policy_acts_for_one_and_for_many(finished_run: Path) -> None:
    policy = surefoot.load(finished_run)
    observations = load(finished_run_data(finished_run), get_task("PointRobot")).observations[:5]
    one, many = policy.act(observations[0]), policy.act(observations)
    assert one.shape == (2,)
    assert many.shape == (5, 2)
    assert np.abs(many).max() <= 1
    assert policy.feasible_value(observations).shape == (5,)


def finished_run_data(run: Path) -> Path:
    return Path(json.loads((run / "config.json").read_text())["data_path"])


def test_another_way_of_acting_starts_from_the_same_poses(finished_run: Path, tmp_path: Path) -> None:
    run = copy_of(finished_run, tmp_path)
    assert main(["evaluate", str(run), "--episodes", "4", "--extraction", "maxq", "--num-candidates", "2"]) == 0
    rows, before = (rows_of(folder / "evaluation" / "episodes.jsonl") for folder in (run, finished_run))
    poses, old = (
        [row["pose"] for row in part if row["start"] == "feasible" and row["seed"] == 0] for part in (rows, before)
    )
    assert poses == old[:4]
    assert {row["extraction"] for row in rows} == {"maxq"}
    summary = json.loads((run / "summary.json").read_text())
    assert summary["acting"]["overrides"] == {"extraction": "maxq", "num_candidates": 2}
    assert summary["config"]["num_candidates"] == 4  # the run stays what was trained


def test_a_run_is_not_overwritten_unasked(
    trained_run: Path, data_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = refusal(capsys, "train", "--data", str(data_file), "--out", str(trained_run), *TINY)
    assert "--resume" in sentence
    assert "--out" in sentence


def test_resuming_with_other_hyperparameters_is_refused(
    trained_run: Path, data_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--data", str(data_file), "--out", str(trained_run), *TINY, "--resume", "--discount", "0.5"]
    sentence = refusal(capsys, *words)
    assert "--discount: the run has 0.99, found 0.5" in sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--seeds", "0:3"], "--seeds: the run has 0 1, found 0 1 2;"),
        (["--log-interval", "20", "--fraction", "0.5"], "--fraction: the run has 1, found 0.5;"),
        (["--log-interval", "20"], "--log-interval: the run has 10, found 20;"),
        (["--preset", "paper", "--algorithm", "bc"], "--algorithm: the run has fisor, found bc; --preset: the run has"),
        (["--joint-updates", "5"], "--joint-updates: the run has 100000, found 5;"),
        (["--task", "SafePendulum"], "--task: the run has PointRobot, found SafePendulum;"),
        (["--margin", "1", "--diffusion.network.width", "8"], "network.width: the run has 16, found 8; --margin"),
        (
            ["--constraint-updates", "60"],
            "has 40, found 60; the run cannot go on so: its phase 'reward' has trained on",
        ),
        (["--policy-updates", "10"], "found 10; the run cannot go on so: the run has done 20 updates of"),
    ],
)
def test_a_flag_that_is_given_with_resume_agrees_with_the_run(
    trained_run: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = (trained_run / "config.json").read_bytes()
    assert sentence in refusal(capsys, "train", "--out", str(trained_run), "--resume", *words)
    assert (trained_run / "config.json").read_bytes() == kept


def test_resume_alone_goes_on_and_more_updates_train_longer(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(trained_run, tmp_path)
    assert main(["train", "--out", str(run), "--resume"]) == 0
    assert json.loads((run / "summary.json").read_text())["training"]["updates"] == 80  # nothing was left to do
    assert main(["train", "--out", str(run), "--resume", "--policy-updates", "30"]) == 0
    assert "--policy-updates: the run has 20, found 30; it goes on after 80 updates." in capsys.readouterr().out
    config = json.loads((run / "config.json").read_text())
    assert config["hyperparameters"]["policy_updates"] == 30
    command = ["surefoot", "train", "--out", str(run), "--resume", "--policy-updates", "30"]
    assert config["extensions"] == [{"updates": 80, "before": {"policy_updates": 20}, "command": command}]
    assert {row["step"] for row in rows_of(run / "metrics.jsonl")} == set(range(10, 91, 10))
    assert surefoot.load(run).step == 90


def test_resuming_a_finished_run_changes_nothing(trained_run: Path, data_file: Path, tmp_path: Path) -> None:
    run = copy_of(trained_run, tmp_path)
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and "tensorboard" not in path.parts}
    assert main(["train", "--data", str(data_file), "--out", str(run), *TINY, "--resume"]) == 0
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_folder_of_other_files_is_neither_used_nor_touched(
    data_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("\\section{}")
    for extra in ([], ["--resume"]):
        refusal(capsys, "train", "--data", str(data_file), "--out", str(tmp_path), *TINY, *extra)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_tutorial_s_program_asks_a_run(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "fisor").symlink_to(finished_run)
    (code,) = programs_of("tutorials/point-robot.md")
    names: dict[str, Any] = {}
    exec(compile(code, "point-robot.md", "exec"), names)
    assert names["values"].shape == (2,)
    assert capsys.readouterr().out.count("slow: ") == 1
    # What the page says of the two states is true of the exact set.
    exact = exact_set("PointRobot").value(np.stack([names["slow"], names["fast"]]))
    assert exact[0] < 0 < exact[1]
