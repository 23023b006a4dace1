"""How the process of a simulator is started, and where MetaDrive's environment lies."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from surefoot.errors import SimulatorError


class Start(NamedTuple):
    """A worker's command line and environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


def home() -> Path:
    """Where surefoot keeps what it installs outside of its own environment: SUREFOOT_HOME, or ~/.cache/surefoot."""
    return Path(os.environ.get("SUREFOOT_HOME") or Path.home() / ".cache" / "surefoot")


def metadrive_python() -> Path:
    """The Python of MetaDrive's virtual environment, whether it exists or not."""
    return home() / "metadrive" / "bin" / "python"


def start_of(suite: str) -> Start:
    """How to start a worker for the tasks of `suite`. Raises `SimulatorError` where MetaDrive is not installed."""
    # One thread each: the workers share the cores.
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **os.environ}
    if suite != "metadrive":
        return Start((sys.executable, "-P", "-m", "surefoot.envs.workers.main"), environment)
    python = metadrive_python()
    if not python.exists():
        raise SimulatorError(
            f"the simulator MetaDrive is not installed (no {python}); install it with "
            f"`surefoot simulators install metadrive`."
        )
    # -E: what PYTHONPATH and the like say is meant for our Python, not for that one.
    return Start((str(python), "-E", "-s", str(Path(__file__).with_name("metadrive_main.py"))), environment)
