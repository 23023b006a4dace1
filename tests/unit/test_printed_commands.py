"""Every command in the documentation, and every one that a command prints, is one that the command line takes."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import tyro
from tests.own_log import TANK

from surefoot.cli.main import main
from surefoot.cli.next_commands import calibrated_command, measuring_command
from surefoot.presets import build
from surefoot.tasks import TASKS, get_task

TOP = Path(__file__).parents[2]
PAGES = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]


class _ParsedError(Exception):
    """The options were read; nothing is run."""


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Assert that the options of a command line are read, without running it."""
    cli = tyro.cli

    def read_only(*arguments: Any, **options: Any) -> Any:
        cli(*arguments, **options)
        raise _ParsedError

    monkeypatch.setattr(tyro, "cli", read_only)

    def check(command: str) -> None:
        words = shlex.split(command, comments=True)
        assert words[0] == "surefoot"
        try:
            code = main(words[1:])
        except _ParsedError:
            return
        raise AssertionError(f"{command}: {code}\n{''.join(capsys.readouterr())}")

    return check


def commands_of(page: Path) -> list[str]:
    """The lines of a page's blocks of code that call surefoot; what is left out of them ("...") is none."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("surefoot ") and "..." not in line]


def test_commands_of_the_documentation(parses: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pendulum", "circle"):  # the pages' own are written by `task infer`
        (tmp_path / f"{name}.toml").write_text(TANK.replace('"level", "flow_*"', '"level"'))
    for name in ("boiler", "cstr"):
        shutil.copy(TOP / "examples" / "own_systems" / f"{name}.toml", tmp_path)
    found = {command for page in PAGES for command in commands_of(page)}
    assert len(found) > 40
    for command in sorted(found):
        parses(command)


@pytest.mark.parametrize(
    "task", ["PointRobot", "SafePendulum", "SafeReacher", "BallRun", "easysparse", "hopper-medium-v2"]
)
def test_commands_that_follow_training_and_calibration(task: str, parses: Any) -> None:
    run = Path("runs/my run's $1")
    for algorithm in ("bc", "trebi"):
        parses(measuring_command(build(algorithm, get_task(task)), get_task(task), run))
    parses(calibrated_command(get_task(task), run, level=0.05, margins={"cost_margin": 0.5}, fresh=True))


def test_commands_in_hints(parses: Any) -> None:
    """Words between backquotes in the sources that call surefoot, with a name in the place of what is filled in."""
    found = set()
    for source in sorted((TOP / "src").rglob("*.py")):
        for command in re.findall(r"`(surefoot [^`\n]+)`", source.read_text()):
            if " --" in command or "install" in command:
                found.add(command)
    skipped = re.compile(r"\.\.\.|--help|--version|[A-Z]{3,}")
    for command in sorted(command for command in found if not skipped.search(command)):
        parses(re.sub(r"\{[^}]*\}", "name", command))


def test_every_task_has_budgets_that_can_be_asked_for() -> None:
    for task in TASKS.values():
        assert re.search(r" --(budget|cost-limit) [0-9]", calibrated_command(
            task, Path("run"), level=0.1, margins={}, fresh=False
        ))  # fmt: skip
