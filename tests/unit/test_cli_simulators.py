"""`surefoot simulators`, and what it installs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from surefoot.cli.main import main
from surefoot.envs.simulators import install as install_module
from surefoot.envs.simulators.install import PINS, SIMULATORS, install
from surefoot.errors import SimulatorError, UnknownNameError
from surefoot.files import is_temporary

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def pins(path: Path) -> dict[str, str]:
    """Package -> version of a file of pins, names as pip compares them."""
    found = re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE)
    return {re.sub("[-_.]+", "-", name).lower(): version for name, version in found}


def unhashed(path: Path) -> list[str]:
    """Lines of a file of pins that name a package without a version or a hash, or a place to fetch it from."""
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^ *#.*\n", "", path.read_text())).splitlines()
    pinned = re.compile(r"[\w.-]+==[\w.]+( ; [^#@/]+)?( +--hash=sha256:[0-9a-f]{64})+ *")
    return [line for line in lines if not pinned.fullmatch(line)]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What would have been run; making an environment makes its folder."""
    seen: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        seen.append([str(word) for word in command])
        if command[1:3] == ["-m", "venv"]:
            (Path(command[3]) / "bin").mkdir(parents=True)
            (Path(command[3]) / "bin" / "python").touch()
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(install_module.subprocess, "run", run)
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    return seen


def test_check_prints_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulators", "check", "--tasks", "BallRun", "HopperVelocity", "--steps", "3"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [tuple(line[:5]) for line in lines] == [
        ("BallRun", "ok", "7", "2", "100"),
        ("HopperVelocity", "ok", "11", "3", "1000"),
    ]


def test_check_goes_on_past_a_failure_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    assert main(["simulators", "check", "--tasks", "easydense", "OfflineBallRun-v0", "--steps", "2"]) == 2
    captured = capsys.readouterr()
    assert [line.split()[1] for line in captured.out.splitlines()[2:]] == ["FAILED", "ok"]
    assert "error: 1 of 2 tasks failed; the first: the simulator MetaDrive is not installed" in captured.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check", "--tasks", "BalRun"], "unknown task 'BalRun'; did you mean BallRun"),
        (["check", "--tasks", "PointRobot"], "--tasks: expected tasks of a simulator, found PointRobot"),
        (["check", "--steps", "0"], "--steps: expected at least 1, found 0"),
        (["install"], "simulators install: expected safety-gymnasium, bullet, metadrive or all, found no name"),
        (["install", "bulet"], "unknown simulator 'bulet'; did you mean bullet?"),
    ],
)
def test_wrong_words_are_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulators", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_safety_gymnasium_and_bullet_go_beside_surefoot(commands: list[list[str]]) -> None:
    install(("bullet", "safety-gymnasium", "bullet"), say=lambda line: None)
    assert [command[0] for command in commands] == [sys.executable, sys.executable]
    assert [command[-1] for command in commands] == [str(PINS / "bullet.txt"), str(PINS / "safety-gymnasium.txt")]
    for option in ("--no-deps", "--require-hashes", "--no-build-isolation"):
        assert all(option in command for command in commands)


def test_tools_that_build_are_pinned_too(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_module, "find_spec", lambda name: None)
    install(("bullet", "metadrive"), say=lambda line: None)
    installed = [command for command in commands if "pip" in command]
    names = [Path(command[-1]).name for command in installed]
    assert names == ["build.txt", "bullet.txt", "build.txt", "metadrive.txt"]
    assert all("--require-hashes" in command and "--no-build-isolation" in command for command in installed)
    assert set(pins(PINS / "build.txt")) == {"setuptools", "wheel"}


@pytest.mark.parametrize("path", [*REQUIREMENTS.glob("*.txt"), *PINS.glob("*.txt")], ids=lambda path: path.name)
def test_every_pin_has_a_version_and_hashes_and_names_no_index(path: Path) -> None:
    assert [line for line in unhashed(path) if not (path.name == "sim.txt" and line.startswith("-r ../src/"))] == []


def test_the_scan_of_pins_finds_what_it_is_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(
        "# a==1\na==1 \\\n    --hash=sha256:" + "0" * 64 + "\nb==2\nc\n--index-url https://example.com\nd @ file:///d\n"
    )
    assert unhashed(tmp_path / "a.txt") == ["b==2", "c", "--index-url https://example.com", "d @ file:///d"]


def test_pins_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((REQUIREMENTS.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for wanted, file in ((project["dependencies"], "lock.txt"), (extras["dev"], "dev.txt")):
        found = pins(REQUIREMENTS / file)
        own = [extra for one in map(Requirement, wanted) if one.name == "surefoot" for extra in one.extras]
        asked = [one for one in (*wanted, *(one for extra in own for one in extras[extra])) if "surefoot[" not in one]
        for requirement in map(Requirement, asked):
            name = re.sub("[-_.]+", "-", requirement.name).lower()
            assert name in found, f"{requirement}: run make pins"
            assert found[name] in requirement.specifier, f"{requirement}: run make pins"
    assert pins(REQUIREMENTS / "lock.txt").items() <= pins(REQUIREMENTS / "dev.txt").items()


def test_the_makefile_installs_by_hashes_alone() -> None:
    text = (REQUIREMENTS.parent / "Makefile").read_text()
    installs = re.findall(r"install (.*)-r (\S+)", text)
    assert len(installs) >= 4
    assert all("$(PINNED)" in options or "$(SIMULATORS)" in options for options, _ in installs)
    for name in ("PINNED", "SIMULATORS"):
        assert "--require-hashes" in re.findall(rf"^{name} := (.*)$", text, re.MULTILINE)[0]


def test_metadrive_goes_into_an_environment_of_its_own(commands: list[list[str]], tmp_path: Path) -> None:
    said: list[str] = []
    install(("metadrive",), say=said.append)
    assert said == [f"installing metadrive into an environment of its own ({tmp_path / 'metadrive'}, about 900 MB)"]
    new = Path(commands[-1][0]).parents[1]
    assert is_temporary(new.name)
    assert new.parent == tmp_path
    assert commands[-1][-1] == str(PINS / "metadrive.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["metadrive"]


def test_an_environment_is_replaced_and_nothing_else_of_that_name(commands: list[list[str]], tmp_path: Path) -> None:
    place = tmp_path / "metadrive"
    (place / "thesis").mkdir(parents=True)
    with pytest.raises(SimulatorError, match="metadrive: expected MetaDrive's environment or nothing, found something"):
        install(("metadrive",), say=lambda line: None)
    assert [path.name for path in place.iterdir()] == ["thesis"]
    (place / "pyvenv.cfg").write_text("home = /usr/bin")
    install(("metadrive",), say=lambda line: None)
    assert [path.name for path in place.iterdir()] == ["bin"]
    assert list(tmp_path.iterdir()) == [place]


def test_a_failed_installation_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    monkeypatch.setattr(install_module, "_working", lambda name: sys.executable)

    def run(command: list[str], **_: Any) -> Any:
        if "pip" in command:
            return SimpleNamespace(returncode=1, stdout="", stderr="noise\nERROR: no such version\n")
        Path(command[-1]).mkdir()
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(install_module.subprocess, "run", run)
    with pytest.raises(
        SimulatorError, match=r"metadrive could not be installed: ERROR: no such version .the command was"
    ):
        install(("metadrive",), say=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_metadrive_wants_an_old_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lame = tmp_path / "python3.11"
    lame.write_text("#!/bin/sh\nexit 1\n")
    lame.chmod(0o755)
    with pytest.raises(SimulatorError, match=r"for Python 3.8 to 3.11 only, and none of python3.11, .* was found"):
        install(("metadrive",), say=lambda line: None)


def test_unknown_simulators_stop_it_before_anything_runs(commands: list[list[str]]) -> None:
    with pytest.raises(UnknownNameError):
        install(("bullet", "mujoco"), say=lambda line: None)
    assert commands == []


def test_pins_agree_with_those_of_surefoot_and_its_tools() -> None:
    shared = pins(REQUIREMENTS / "lock.txt") | pins(REQUIREMENTS / "dev.txt")
    beside = [pins(PINS / f"{name}.txt") for name in SIMULATORS if name != "metadrive"]
    for found in beside:
        assert found
        assert {name: version for name, version in found.items() if shared.get(name, version) != version} == {}
    # `make test` installs the same files.
    named = re.findall(r"^-r (.*)$", (REQUIREMENTS / "sim.txt").read_text(), re.MULTILINE)
    assert [(REQUIREMENTS / name).resolve() for name in named] == [PINS / "safety-gymnasium.txt", PINS / "bullet.txt"]


def test_importing_the_command_starts_nothing() -> None:
    code = "import surefoot.cli.simulators, sys; print({'mujoco', 'pybullet'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
