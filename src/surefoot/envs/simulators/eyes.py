"""A robot's cameras: small pictures of a world of MuJoCo, without a screen, made fast.

What makes it fast, and leaves the pictures as they are in kind: one context for all episodes, though each has a world
compiled anew; the sky's images (3,259 pixels a side) brought to `SKY` pixels once, of which a picture of 64 pixels
shows no more; no shadows, for which the simulator has no light that casts any; no reflections in the floor, a faint
glow under objects (0.1 of 255 on average) that takes 40 % of the time. The sky and four samples a pixel stay.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from surefoot.envs.simulators.drawing import cannot_draw, choose_renderer, open_context
from surefoot.vision import Vision

SKY = 256
"""Pixels along a side of the sky's images."""
_MOST_GEOMS = 200


class Eyes:
    """The cameras of a robot in the worlds of one task, which differ in their numbers only."""

    def __init__(self, task: str, vision: Vision, model: Any) -> None:
        """`model`: a world of the task with a plain sky of `SKY` pixels. Raises `SimulatorError`."""
        mujoco = _mujoco()
        self._vision, self._task, self._mujoco = vision, task, mujoco
        self.renderer = choose_renderer(task)
        size = vision.size
        model.vis.global_.offwidth = model.vis.global_.offheight = size
        model.vis.quality.shadowsize = 0
        _paint_sky(model)
        self._context = open_context(task, self.renderer, size)
        try:
            self._context.make_current()
            self._drawer = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._drawer)
        except Exception as error:  # whatever the graphics drivers of this machine raise
            raise cannot_draw(task, f"{type(error).__name__}: {error}") from error
        self._scene = mujoco.MjvScene(model, _MOST_GEOMS)
        for left_out in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[left_out.value] = 0
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = 1
        self._nobody = mujoco.MjvPerturb()
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED.value
        self._numbers = [model.camera(name).id for name in vision.cameras]
        self._frame = mujoco.MjrRect(0, 0, size, size)
        self._counts = _counts(model)
        self._open = True

    def see(self, model: Any, data: Any) -> UInt8[np.ndarray, "size size channels"]:
        """Pictures of a world by the cameras, three channels each.

        Args:
            model: MuJoCo's model of the world.
            data: Its present state.

        Returns:
            The pictures, [size, size, channels].
        """
        mujoco, size = self._mujoco, self._vision.size
        # The context holds the first world's textures and meshes, which all worlds of a task share.
        assert _counts(model) == self._counts, "a world of another task"
        self._context.make_current()  # another robot's may have its turn in this process
        seen = np.empty((size, size, 3 * len(self._numbers)), np.uint8)
        picture = np.empty((size, size, 3), np.uint8)
        for place, number in enumerate(self._numbers):
            self._view.fixedcamid = number
            mujoco.mjv_updateScene(
                model, data, self._options, self._nobody, self._view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
            )
            mujoco.mjr_render(self._frame, self._scene, self._drawer)
            mujoco.mjr_readPixels(picture, None, self._frame, self._drawer)
            seen[..., 3 * place : 3 * place + 3] = picture[::-1]  # OpenGL's first row is the lowest
        return seen

    def describe(self) -> str:
        """The renderer in words, as for a log: "EGL (llvmpipe ...)"."""
        from OpenGL import GL

        self._context.make_current()
        name = GL.glGetString(GL.GL_RENDERER)
        return f"{self.renderer.upper()} ({name.decode() if isinstance(name, bytes) else name})"

    def close(self) -> None:
        """Free the context; calling it again does nothing."""
        if self._open:
            self._open = False
            self._context.make_current()
            self._drawer.free()
            self._context.free()
            # OSMesa's context frees itself once more when it is collected, which fails at the interpreter's end.
            del self._context


def _mujoco() -> Any:
    # Imported here: a machine may have no simulator. Its compiled names are unknown to type checkers.
    import mujoco

    return mujoco


def _counts(model: Any) -> tuple[int, int, int]:
    return model.ntex, model.nmat, model.nmesh


def _paint_sky(model: Any) -> None:
    """Put the sky's images, made small, in the place of a plain sky of `SKY` pixels."""
    mujoco = _mujoco()
    (number,) = np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX.value)
    faces = sky_faces(SKY)
    start = int(model.tex_adr[number])
    model.tex_data[start : start + faces.size] = faces.reshape(-1)


@cache
def sky_faces(side: int) -> UInt8[np.ndarray, "6 side side 3"]:
    """The six images of Safety-Gymnasium's sky in MuJoCo's order, averaged down; read once in a process."""
    import safety_gymnasium
    import yaml

    package = Path(str(safety_gymnasium.__file__)).parent
    attributes = yaml.safe_load((package / "configs" / "assets.yaml").read_text(encoding="utf-8"))["textures"]["skybox"]
    words = " ".join(f'{name.removeprefix("@")}="{value}"' for name, value in attributes.items())
    folder = package / "assets" / "textures"
    model = _mujoco().MjModel.from_xml_string(
        f'<mujoco><compiler texturedir="{folder}"/><asset><texture {words}/></asset></mujoco>'
    )
    width = int(model.tex_width[0])
    whole = np.asarray(model.tex_data).reshape(6, width, width, 3)
    edges = np.linspace(0, width, side + 1).astype(int)
    small = np.empty((6, side, side, 3), np.uint8)
    for face, image in enumerate(whole):
        rows = np.add.reduceat(image, edges[:-1], axis=0, dtype=np.uint32)
        sums = np.add.reduceat(rows, edges[:-1], axis=1)
        areas = np.diff(edges)[:, None] * np.diff(edges)[None]
        small[face] = np.round(sums / areas[..., None])
    return small
