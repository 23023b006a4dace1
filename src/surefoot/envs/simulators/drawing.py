"""Off-screen renderers of MuJoCo on a machine without a screen."""

import atexit
import ctypes
import ctypes.util
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from surefoot.errors import SimulatorError

_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
"""MuJoCo's name of an off-screen renderer, and its library, the one to try first in front."""


def choose_renderer(task: str) -> str:
    """Set MUJOCO_GL, which MuJoCo and Gymnasium read, unless the user has set it, or the system has its own way.

    Returns its name. Raises `SimulatorError` on a Linux machine that has neither an off-screen renderer nor a screen.
    """
    if "MUJOCO_GL" in os.environ or not sys.platform.startswith("linux"):
        return os.environ.get("MUJOCO_GL", "glfw")
    for name, library in _LIBRARIES.items():
        found = ctypes.util.find_library(library)
        # A library of EGL without a driver has nothing to draw on: then OSMesa has its turn.
        if found is not None and (name != "egl" or _egl_has_a_device(found)):
            os.environ["MUJOCO_GL"] = name
            return name
    if "DISPLAY" not in os.environ:
        raise cannot_draw(task, "neither EGL nor OSMesa nor a screen was found")
    return "glfw"


def open_context(task: str, renderer: str, size: int) -> Any:
    """MuJoCo's context that draws with a chosen renderer; it is not made current yet.

    Args:
        task: Name of the task, for messages.
        renderer: Name as of `choose_renderer`.
        size: Pixels along a side of an image.

    Returns:
        The context.

    Raises:
        SimulatorError: The machine has no such renderer.
    """
    # Threads of Mesa's software renderer cost more on images this small than they bring.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    try:
        if renderer == "egl":
            from mujoco.egl import GLContext
        elif renderer == "osmesa":
            from mujoco.osmesa import GLContext
        else:
            from mujoco import GLContext  # pyright: ignore[reportAttributeAccessIssue]
        return GLContext(size, size)
    except Exception as error:  # whatever the graphics drivers of this machine raise
        raise cannot_draw(task, f"{type(error).__name__}: {error}") from error


class Ending:
    """Closes a renderer once: when told to, when its owner is collected, at the latest at exit."""

    def __init__(self, owner: Any, close: Callable[..., None], *parts: Any) -> None:
        """Calls close(*parts), which must not hold the owner."""
        self._close = weakref.finalize(owner, close, *parts)

    def has_drawn(self) -> None:
        """From now on a graphics library is loaded, and this comes before its end: at exit, what was registered last
        runs first."""
        atexit.unregister(self._close)
        atexit.register(self._close)

    def now(self) -> None:
        """Close."""
        self._close()
        atexit.unregister(self._close)


class Drawing:
    """The pictures of one environment that has Gymnasium's `render`, and the end of its viewers."""

    def __init__(self, task: str, env: Any, viewers: Callable[[Any], list[Any]]) -> None:
        """`viewers` gives what the environment has opened to draw with so far. The environment is closed with this, at
        the latest at exit."""
        self._task, self._env, self._viewers = task, env, viewers
        self._drew = False
        self._ending = Ending(self, _close_viewers, env, viewers)

    def picture(self) -> UInt8[np.ndarray, "h w 3"]:
        """Picture of the environment's present state. Raises `SimulatorError` where the machine cannot draw."""
        try:
            for viewer in self._viewers(self._env):
                viewer.make_context_current()  # another's that was closed took its place
            picture = np.array(self._env.render())
        except Exception as error:  # whatever the graphics drivers of this machine raise
            raise cannot_draw(self._task, f"{type(error).__name__}: {error}") from error
        if not self._drew:
            self._drew = True
            self._ending.has_drawn()
        return picture

    def close(self) -> None:
        """Close the viewers, then the environment."""
        self._ending.now()


def _close_viewers(env: Any, viewers: Callable[[Any], list[Any]]) -> None:
    for viewer in viewers(env):
        # Freed later, by the garbage collector, it would delete what has the same numbers in another's context.
        viewer.make_context_current()
        viewer.con.free()
        viewer.close()
        # Gymnasium frees the context once more when the viewer is collected, which fails with OSMesa at the
        # interpreter's end.
        viewer.opengl_context = _Freed()
    env.close()


class _Freed:
    """In the place of a context that was freed: freeing it again does nothing."""

    def free(self) -> None:
        pass


def mujoco_viewers(env: Any) -> list[Any]:
    """Viewers of Gymnasium's MuJoCo environments: one, after the first picture."""
    viewer = env.mujoco_renderer.viewer
    return [] if viewer is None else [viewer]


def cannot_draw(task: str, why: object) -> SimulatorError:
    """The error of a machine that cannot draw.

    Args:
        task: Name of the task.
        why: Reason, which is put in brackets.

    Returns:
        The error.
    """
    return SimulatorError(
        f"task {task}: this machine cannot draw it ({why}); install EGL or OSMesa (Debian and Ubuntu: apt install "
        f"libegl1 libosmesa6), or go without pictures."
    )


def _egl_has_a_device(library: str) -> bool:
    try:
        egl = ctypes.CDLL(library)
    except OSError:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return False
    count = ctypes.c_int()
    query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(address)
    return bool(query(0, None, ctypes.byref(count))) and count.value > 0
