"""DSRL's simulators and Gymnasium's MuJoCo robots behind one interface.

Each is imported when one of its tasks is made, and never before.
"""

from typing import Literal

from surefoot.envs.simulators.adapter import Backend, SimulatedTask, Simulator
from surefoot.errors import ConfigError, check_name

__all__ = ["Backend", "SimulatedTask", "Simulator", "make"]

RENDER_MODES = ("rgb_array",)


def make(task: SimulatedTask, *, render_mode: Literal["rgb_array"] | None = None) -> Simulator:
    """The simulator of `task` as a Gymnasium environment.

    Observations are float32 [task.observation_dim], or uint8 images where the task has a robot's cameras; actions
    [task.action_dim] in [-1, 1], clipped, and rescaled to the simulator's box; `info["cost"]` is the step's cost;
    episodes are truncated after task.horizon steps. Without a render mode, navigation tasks on vectors reset about
    fifty times faster, with the same numbers.

    Raises `SimulatorError` where the simulator is not installed (it says how) or the machine cannot draw, `ConfigError`
    for a task that no simulator runs, `UnknownNameError` for another render mode.
    """
    if render_mode is not None:
        check_name("render mode", render_mode, RENDER_MODES)
    return Simulator(task, _backend(task, draws=render_mode is not None), render_mode=render_mode)


def make_safe_reacher(render_mode: Literal["rgb_array"] | None = None) -> Simulator:
    """TREBI's reacher, for Gymnasium's registry."""
    from surefoot.tasks import get_task  # worker processes import this module and need no table of tasks

    return make(get_task("SafeReacher"), render_mode=render_mode)


def _backend(task: SimulatedTask, *, draws: bool) -> Backend:
    # Imported here: a machine may have one simulator and not the others.
    if task.suite == "bullet_safety_gym":
        from surefoot.envs.simulators.bullet import BulletBackend

        return BulletBackend(task)
    if task.suite == "safety_gymnasium":
        if task.vision is not None:
            from surefoot.envs.simulators.vision import VisionBackend

            return VisionBackend(task)
        from surefoot.envs.simulators.safety_gymnasium import SafetyGymnasiumBackend

        return SafetyGymnasiumBackend(task, draws=draws)
    if task.suite == "metadrive":
        from surefoot.envs.simulators.remote import RemoteBackend

        return RemoteBackend(task, draws=draws)
    if task.suite == "gymnasium_mujoco":
        from surefoot.envs.simulators.gymnasium_mujoco import GymnasiumMujocoBackend

        return GymnasiumMujocoBackend(task, draws=draws)
    raise ConfigError(f"task {task.name}: expected one of a simulator, found one of the suite '{task.suite}'.")
