"""What `surefoot collect` refuses before it simulates anything."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data_fixtures import make_dataset

from surefoot.cli.main import main
from surefoot.data import Dataset
from surefoot.experiments import collect_simulated as collect_module
from surefoot.tasks import get_task


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task", "BallRnu"], "unknown task 'BallRnu'; did you mean BallRun"),
        (["--task", "BallRun", "--steps", "0"], "--steps: expected at least 1, found 0."),
        (["--transitions", "1"], "--transitions: expected at least 2, found 1."),
        (["--task", "BallRun", "--workers", "33"], "--workers: expected 0 to 32 processes, found 33."),
        (["--task", "BallRun", "--workers", "-1"], "--workers: expected at least 0, found -1."),
        (["--task", "BallRun", "--transitions", "0"], "transitions: expected at least 1, found 0."),
        (["--task", "BallRun", "--seed", "-1"], "--seed: expected at least 0, found -1."),
        (["--steps", "100"], "--steps: expected none for PointRobot, which has no simulator, found 100."),
        (["--workers", "1"], "--workers: expected none for PointRobot, which has no simulator, found 1."),
    ],
)
def test_bad_options_are_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["collect", *words, "--out", str(tmp_path / "data.hdf5")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence in error
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data.hdf5"
    out.write_text("mine")
    assert main(["collect", "--task", "BallRun", "--out", str(out)]) == 2
    assert "the file exists already; add --overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"


@pytest.mark.parametrize("recipe", ["default", "medium-replay"])
def test_a_collection_that_holds_nan_is_not_written_and_its_parts_are_kept(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = get_task("Hopper" if recipe == "medium-replay" else "BallRun")
    rows = make_dataset(task, lengths=(40, 40), tail=0)
    rewards = rows.required_rewards.copy()
    rewards[7] = np.nan

    def collected(collection: Any, *_: object, **__: object) -> tuple[Dataset, dict[str, Any]]:
        collection.store.path.mkdir()
        (collection.store.path / "part").write_text("hours of work")
        return replace(rows, rewards=rewards), {}

    name = "collect_replay" if recipe == "medium-replay" else "collect_simulated"
    monkeypatch.setattr(collect_module, name, collected)
    monkeypatch.setattr(collect_module, "make_card", lambda *_, **__: {})
    out = tmp_path / "data.hdf5"
    assert main(["collect", "--task", task.name, "--recipe", recipe, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert (
        f"{out}: rewards: expected finite numbers, found nan in row 7; what was collected is kept in {out}.coll"
        in error
    )
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["part"]
