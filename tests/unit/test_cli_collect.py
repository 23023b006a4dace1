"""What `surefoot collect` refuses before it simulates anything."""

from pathlib import Path

import pytest

from surefoot.cli.main import main


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task", "BallRnu"], "unknown task 'BallRnu'; did you mean BallRun"),
        (["--task", "BallRun", "--steps", "0"], "--steps: expected at least 1, found 0."),
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
