"""Safety-Gymnasium's navigation (Ji et al. 2023; Apache-2.0) and velocity tasks as backends."""

import importlib
import sys
import warnings
from typing import Any

import numpy as np

from surefoot.envs.simulators import compat
from surefoot.envs.simulators.drawing import Drawing, choose_renderer, mujoco_viewers
from surefoot.errors import SimulatorError
from surefoot.tasks import Task

WIDTH, HEIGHT = 480, 360
"""Of a picture, pixels."""
_NAVIGATION = "safety_gymnasium.builder:Builder"


class SafetyGymnasiumBackend:
    """One task. A navigation world is compiled anew at each reset: in 5 ms without pictures, in 0.5 s with them.

    `step` is the simulator's own, which adds truncation and facts to what the adapter asks for.
    """

    def __init__(self, task: Task, *, simulator_id: str, draws: bool) -> None:
        """`draws`: whether `render` will be called. Raises `SimulatorError`."""
        if draws:
            choose_renderer(task.name)
        registration = compat.load()[simulator_id]
        self.horizon = registration.horizon
        self._env = build(registration, draws=draws)
        if registration.entry_point != _NAVIGATION:
            # Gymnasium's own step of MuJoCo copies each action to look at its shape, which the adapter has checked.
            self._env.do_simulation = self._env._step_mujoco_simulation
        self.step = self._env.step
        self.observation_dim: int = self._env.observation_space.shape[0]
        self.action_low, self.action_high = self._env.action_space.low, self._env.action_space.high
        self.frames_per_second: float = self._env.metadata["render_fps"]
        self._drawing = Drawing(task.name, self._env, _viewers)

    def reset(self, seed: int) -> np.ndarray:
        return self._env.reset(seed=seed)[0]

    def render(self) -> np.ndarray:
        return self._drawing.picture()

    def close(self) -> None:
        self._drawing.close()


def _viewers(env: Any) -> list[Any]:
    """What draws, as far as anything was drawn yet."""
    if isinstance(env, sys.modules["safety_gymnasium.builder"].Builder):
        return list(env.task._viewers.values())
    return mujoco_viewers(env)


def build(registration: compat.Registration, *, draws: bool) -> Any:
    """A task's environment of Safety-Gymnasium, made without its own `make`.

    Args:
        registration: Row of its table of tasks.
        draws: Whether pictures are asked for.

    Returns:
        The environment.

    Raises:
        SimulatorError: A part of Safety-Gymnasium is missing.
    """
    module, name = registration.entry_point.split(":")
    drawing: dict[str, Any] = {"render_mode": "rgb_array", "width": WIDTH, "height": HEIGHT} if draws else {}
    navigates = registration.entry_point == _NAVIGATION
    if navigates and draws:
        drawing["camera_name"] = "fixedfar"
    state = np.random.get_state()  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its spaces are float64 in places where Gymnasium wants float32
            env = vars(importlib.import_module(module))[name](**registration.arguments, **drawing)
    except ImportError as error:
        raise SimulatorError(
            f"a part of Safety-Gymnasium is missing ({error}); install it with "
            f"`surefoot simulators install safety-gymnasium`."
        ) from error
    finally:
        # A navigation task draws a first seed from the global generator, which belongs to the caller.
        np.random.set_state(state)  # noqa: NPY002
    if navigates:
        env.task.agent.sky = None if draws else compat.PLAIN_SKY
        env.task.agent.looks_back = False
    return env
