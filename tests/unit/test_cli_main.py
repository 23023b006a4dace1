"""The entry: help, versions, near names, exit codes, and how little is imported for them."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import surefoot
from surefoot.cli import main as main_module
from surefoot.cli.main import COMMANDS, main


def command_that(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """`surefoot train` raises `error`."""

    def run(arguments: Any) -> None:
        raise error

    monkeypatch.setattr(main_module.importlib, "import_module", lambda name: SimpleNamespace(run=run))


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_command_with_its_description(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, command in COMMANDS.items():
        assert any(line.split() == [name, *command.description.split()] for line in lines)


def test_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"surefoot {surefoot.__version__}\n"


def test_unknown_command_lists_the_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evalute", "run"]) == 2
    assert capsys.readouterr().err == "error: unknown command 'evalute'; did you mean evaluate or calibrate or audit?\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: surefoot {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_options_exit_with_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = {
        "evaluate": ["run"],
        "calibrate": ["run"],
        "finetune": ["run", "--out", "f"],
        "report": ["run"],
        "benchmark": ["plan.toml"],
        "collect": ["--out", "d"],
        "train": ["--out", "r", "--data", "d"],
        "data": ["info", "d"],
    }
    assert main([command, *words.get(command, []), "--no-such-option"]) == 2
    assert "no-such-option" in capsys.readouterr().err


def test_interrupt_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command_that(monkeypatch, KeyboardInterrupt())
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "interrupted: start the same command again with --resume to go on.\n"


def test_system_errors_are_one_sentence_with_the_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(monkeypatch, PermissionError(13, "Permission denied", "/root/run"))
    assert main(["train"]) == 2
    assert capsys.readouterr().err == "error: /root/run: Permission denied.\n"


def test_faults_of_our_own_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    command_that(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["train"])


def test_help_loads_neither_jax_nor_tyro() -> None:
    code = (
        "import sys\n"
        "from surefoot.cli.main import main\n"
        "assert main(['--help']) == 0\n"
        "heavy = {'jax', 'tyro', 'rich', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_a_null_character_is_refused_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    """It was refused by the system, after the work."""
    assert main(["train", "--out", "a\0b"]) == 2
    assert capsys.readouterr().err == "error: expected words without null characters, found one with them.\n"


def test_a_stdout_that_was_closed_is_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a Python that calls `main`: it ended in a ValueError."""
    closed = (tmp_path / "output").open("w")
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    assert main(["--version"]) == 0
    assert sys.stdout is not closed
    sys.stdout.close()


def test_a_reader_that_leaves_causes_no_traceback() -> None:
    # The pipe is closed before anything is printed, so that the first flush fails.
    code = "import sys; from surefoot.cli.main import main; sys.stdin.readline(); sys.exit(main(['--help']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        errors = process.stderr.read()
        assert process.wait(timeout=60) == 141
    assert errors == b""
