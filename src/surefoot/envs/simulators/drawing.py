"""Where MuJoCo's pictures come from on a machine without a screen."""

import ctypes.util
import os
import sys

from surefoot.errors import SimulatorError

_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
"""MuJoCo's name of an off-screen renderer, and its library."""


def choose_renderer(task: str) -> None:
    """Set MUJOCO_GL, which MuJoCo and Gymnasium read, unless the user has set it, or the system has its own way.

    Raises `SimulatorError` on a Linux machine that has neither an off-screen renderer nor a screen.
    """
    if "MUJOCO_GL" in os.environ or not sys.platform.startswith("linux"):
        return
    for name, library in _LIBRARIES.items():
        if ctypes.util.find_library(library) is not None:
            os.environ["MUJOCO_GL"] = name
            return
    if "DISPLAY" not in os.environ:
        raise cannot_draw(task, "neither EGL nor OSMesa nor a screen was found")


def cannot_draw(task: str, why: object) -> SimulatorError:
    """The one sentence."""
    return SimulatorError(
        f"task {task}: this machine cannot draw it ({why}); install EGL or OSMesa (Debian and Ubuntu: apt install "
        f"libegl1 libosmesa6), or go without pictures."
    )
