"""`surefoot data` on images, and what it remarks on data that are suspicious."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.test_data_remarks import ball
from tests.unit.test_image_checks import frames

from surefoot.cli.main import main
from surefoot.data import episode_files, load, npz_chunks, pixels, read_card, save
from surefoot.tasks import get_task

TASK = get_task("HazardRun")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("layout", ["frames.hdf5", "episodes", "chunks"])
def test_info_shows_images_like_vectors(layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, images = tmp_path / layout, frames()
    if layout == "chunks":
        npz_chunks.write_chunks(path, images)
    elif layout == "episodes":
        episode_files.save(path, images, TASK, labels=["a", "b", "c"], card={"recipe": "by hand"})
    else:
        pixels.save(path, images, card={"recipe": "by hand"})
    assert main(["data", "info", str(path), *(["--task", "HazardRun"] if layout == "chunks" else [])]) == 0
    text = capsys.readouterr().out
    # Three episodes of five frames: twelve steps.
    low, high = int(images.observations.min()), int(images.observations.max())
    origin = "no card" if layout == "chunks" else "by hand"
    for name, value in {
        "transitions": "12", "episodes": "3 (0 terminated, the others cut)", "origin": origin,
        "images": f"15 of 16 x 16 x 3, values {low} to {high}",
        "steps with a cost": f"{(images.costs > 0).sum() / 12:.1%}",
    }.items():  # fmt: skip
        assert any(line.split() == f"{name} {value}".split() for line in text.splitlines()), (name, value, text)
    assert f"{images.returns.mean():,.4g}" in text


def test_images_are_no_transitions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    episode_files.save(tmp_path / "episodes", frames(), TASK, labels=["a", "b", "c"], card={})
    words = ["data", "filter", "safe", str(tmp_path / "episodes"), "--out", str(tmp_path / "safe.hdf5")]
    assert main(words) == 2
    assert "episodes: expected transitions of vectors, found images of HazardRun." in capsys.readouterr().err


def test_warnings_are_errors_where_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "ball.hdf5", tmp_path / "out.hdf5"
    save(path, ball(costs=np.zeros(1000, np.float32)))
    sentence = f"{path}: costs: 0 of 1,000 steps have a cost, too few to learn from what is unsafe"
    for words in (["info"], ["convert", "--out", str(out)], ["subset", "--share", "0.5", "--out", str(out)]):
        assert main(["data", *words, str(path), "--strict"]) == 2
        assert capsys.readouterr().err.endswith(f"error: {sentence} (an error because of --strict).\n")
        assert not out.exists()
    assert main(["data", "info", str(path)]) == 0
    assert f"warning: {sentence}." in capsys.readouterr().err


def test_a_subset_says_how_little_it_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "ball.hdf5", tmp_path / "out.hdf5"
    save(path, ball())
    assert main(["data", "subset", str(path), "--share", "0.3", "--out", str(out)]) == 0
    found = capsys.readouterr()
    assert found.out == f"{out}: 3 of 10 episodes, 300 transitions.\n"
    assert f"warning: {path}: subset leaves 3 of 10 episodes, which is little to learn from." in found.err


def test_terminations_at_the_horizon_are_part_of_the_description_and_of_the_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, whole = tmp_path / "ball.hdf5", ball()
    save(path, ball(terminated=whole.truncated, truncated=np.zeros(1000, bool)))
    assert main(["data", "info", str(path)]) == 0
    assert "10 terminated, the others cut; those after 100 steps, the horizon, look cut by a time limit" in (
        capsys.readouterr().out
    )
    assert main(["data", "convert", str(path), "--to", "minari", "--out", str(tmp_path / "minari")]) == 0
    assert main(["data", "subset", str(path), "--share", "1", "--out", str(tmp_path / "all.hdf5")]) == 0
    (remark,) = read_card(tmp_path / "all.hdf5")["remarks"]
    assert "10 of 10 episodes of 100 steps, the horizon of BallRun, terminate" in remark
    assert load(tmp_path / "minari", get_task("BallRun")).terminated.sum() == 10
