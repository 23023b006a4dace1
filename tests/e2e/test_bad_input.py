"""Every kind of bad file through the command line: exit code 2, one sentence, nothing left behind."""

from pathlib import Path

import pytest
from tests.data_fixtures import BAD_FILES, BadFile, is_one_sentence
from tests.e2e.tiny import TINY

from surefoot.cli.main import main


@pytest.mark.parametrize("bad", BAD_FILES, ids=lambda bad: bad.name)
def test_train_refuses_a_bad_file(bad: BadFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "data.hdf5", tmp_path / "run"
    bad.write(path)
    assert main(["train", "--data", str(path), "--out", str(out), *TINY]) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    sentence = text.removeprefix("error: ").removesuffix("\n")
    assert is_one_sentence(sentence), sentence
    for part in (str(path), bad.key, bad.expected, bad.found):
        assert part in sentence
    assert not out.exists()


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_commands_refuse_what_is_no_run(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert main([command, str(tmp_path)]) == 2
    assert "expected a run directory" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--seeds", "3:1"], "--seeds"),
        (["--discount", "1.5"], "discount: expected a number in [0, 1)"),
        (["--log-interval", "0"], "--log-interval"),
        (["--constraint-updates", "0", "--reward-updates", "0", "--policy-updates", "0"], "at least one update"),
    ],
)
def test_train_refuses_a_bad_option(
    words: list[str], part: str, data_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = tmp_path / "run"
    assert main(["train", "--data", str(data_file), "--out", str(out), *TINY, *words]) == 2
    text = capsys.readouterr().err
    assert part in text
    assert text.count("\n") == 1
    assert not out.exists()
