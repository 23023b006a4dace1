"""Command line of a simulator's process, and the place of MetaDrive's environment."""

import os
import sys
from pathlib import Path

from surefoot.errors import SimulatorError

_SPELLED = {"metadrive": "MetaDrive"}


def home() -> Path:
    """Folder of everything that surefoot installs outside of its own environment: SUREFOOT_HOME, or
    ~/.cache/surefoot."""
    return Path(os.environ.get("SUREFOOT_HOME") or Path.home() / ".cache" / "surefoot")


def isolated_python(name: str) -> Path:
    """The Python of a simulator's own virtual environment, whether it exists or not."""
    return home() / name / "bin" / "python"


def start_of(isolated: str | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """A worker's command line and its environment variables.

    `isolated` names the virtual environment to run in, None our own. Raises `SimulatorError` where it is not installed.
    """
    # One thread each: the workers share the cores.
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **os.environ}
    if isolated is None:
        return (sys.executable, "-P", "-m", "surefoot.envs.workers.main"), environment
    python = isolated_python(isolated)
    if not python.exists():
        raise SimulatorError(
            f"the simulator {_SPELLED.get(isolated, isolated)} is not installed (no {python}); install it with "
            f"`surefoot simulators install {isolated}`."
        )
    # -E: what PYTHONPATH and the like say is meant for our Python, not for that one.
    return (str(python), "-E", "-s", str(Path(__file__).with_name(f"{isolated}_main.py"))), environment
