"""Installing the simulators: Safety-Gymnasium and Bullet beside surefoot, MetaDrive in an environment of its own.

The exact versions and the hashes of their files lie in `pins/`, which `make pins` writes. They are installed without
resolving dependencies: the simulators' own pins are of 2023 and exclude today's libraries, with which `compat.py` and
`bullet.py` make them work. What has no wheel (gym, and PyBullet for new Pythons) is built with the tools of
`pins/build.txt`, never with those that pip would fetch.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata as packages
from importlib.util import find_spec
from pathlib import Path

from surefoot.envs.workers.commands import isolated_python
from surefoot.errors import SimulatorError, check_name
from surefoot.files import aside, sweep
from surefoot.tasks import Task

PINS = Path(__file__).parent / "pins"
BUILD_TOOLS = "build"
SIMULATORS = ("safety-gymnasium", "bullet", "metadrive")
METADRIVE_PYTHONS = ("python3.11", "python3.10", "python3.9", "python3.8")
"""Pythons for which MetaDrive's pins have wheels, best first."""

Say = Callable[[str], None]


def simulator_versions(task: Task) -> dict[str, str]:
    """Name and version of the packages that simulate a task: those installed here; of an isolated environment, as it
    was made."""
    if task.environment is None:
        return {}
    names, isolated = task.environment.packages, task.environment.isolated
    if isolated is not None:
        lines = (PINS / f"{isolated}.txt").read_text(encoding="utf-8").splitlines()
        found = [re.match(r"([\w.-]+)==(\S+)", line) for line in lines]
        pins = {match[1]: match[2] for match in found if match}
        return {name: pins[name.lower()] for name in names}
    installed = {}
    for name in names:
        try:
            installed[name] = packages.version(name)
        except packages.PackageNotFoundError:
            installed[name] = "not installed in this environment"
    return installed


def install(names: tuple[str, ...], *, say: Say) -> None:
    """Install simulators; asks the package index.

    Args:
        names: Names of simulators, or "all".
        say: Called with sentences on the progress.

    Raises:
        UnknownNameError: There is no such simulator.
        SimulatorError: The installation fails; holds pip's last line.
    """
    for name in names:
        check_name("simulator", name, (*SIMULATORS, "all"))
    for name in SIMULATORS if "all" in names else dict.fromkeys(names):
        if name == "metadrive":
            _install_metadrive(say)
        else:
            say(f"installing {name} beside surefoot ({sys.executable})")
            if find_spec("setuptools") is None:
                _pip(Path(sys.executable), name, pins=BUILD_TOOLS)
            _pip(Path(sys.executable), name)


def _install_metadrive(say: Say) -> None:
    """Into a new environment, which takes the old one's place only when it is whole."""
    python = isolated_python("metadrive")
    place = python.parents[1]
    if os.path.lexists(place) and (place.is_symlink() or not (place / "pyvenv.cfg").is_file()):
        raise SimulatorError(
            f"{place}: expected MetaDrive's environment or nothing, found something else; move it away."
        )
    base = next((found for name in METADRIVE_PYTHONS if (found := _working(name))), None)
    if base is None:
        raise SimulatorError(
            f"MetaDrive's libraries exist for Python 3.8 to 3.11 only, and none of {', '.join(METADRIVE_PYTHONS)} was "
            f"found; install one of them beside the present Python."
        )
    say(f"installing metadrive into an environment of its own ({place}, about 900 MB)")
    place.parent.mkdir(parents=True, exist_ok=True)
    sweep(place.parent)
    new = aside(place)
    try:
        _run([base, "-m", "venv", str(new)], "MetaDrive's virtual environment could not be made")
        _pip(new / "bin" / "python", "metadrive", pins=BUILD_TOOLS)
        _pip(new / "bin" / "python", "metadrive")
        if place.exists():
            place.rename(old := aside(place))
            shutil.rmtree(old, ignore_errors=True)
        new.rename(place)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _working(name: str) -> str | None:
    """The path of a Python that starts; the stand-in of a version manager for one that it lacks does not."""
    for folder in os.get_exec_path():
        path = shutil.which(name, path=folder)
        with suppress(OSError):
            if path is not None and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
                return path
    return None


def _pip(python: Path, name: str, *, pins: str | None = None) -> None:
    """Install the files of `pins/`; what fails is the installation of `name`."""
    options = ["--disable-pip-version-check", "--quiet", "--no-deps", "--require-hashes", "--no-build-isolation"]
    command = [str(python), "-m", "pip", "install", *options, "--requirement", str(PINS / f"{pins or name}.txt")]
    _run(command, f"{name} could not be installed")


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()] or ["no output"]
        told = [line for line in lines if line.startswith("ERROR:")] or lines
        raise SimulatorError(f"{failure}: {told[-1]} (the command was: {' '.join(command)}).")
