"""DSRL's simulators, Gymnasium's MuJoCo robots and environments of other people behind one interface.

Each is imported when one of its tasks is made, and never before.
"""

from typing import Literal

from surefoot.envs.own.backend import GymnasiumBackend
from surefoot.envs.simulators.adapter import Backend, Simulator
from surefoot.errors import ConfigError, check_name
from surefoot.tasks import Task, get_task

__all__ = ["Backend", "Simulator", "make"]

RENDER_MODES = ("rgb_array",)


def make(task: Task, *, render_mode: Literal["rgb_array"] | None = None) -> Simulator:
    """The simulator of a task as a Gymnasium environment.

    Actions [task.action_dim] in [-1, 1] are clipped, and rescaled to the simulator's box. Observations are float32
    [task.observation_dim], or uint8 images where the task has a robot's cameras. `info["cost"]` is the step's cost.
    Episodes are truncated after task.horizon steps. Without a render mode, navigation tasks on vectors reset about
    fifty times faster, with equal numbers.

    Args:
        task: The task.
        render_mode: "rgb_array" for pictures, or None.

    Returns:
        The environment.

    Raises:
        SimulatorError: The simulator is not installed, or the machine cannot draw.
        ConfigError: No simulator runs the task.
        UnknownNameError: There is no such render mode.
    """
    if render_mode is not None:
        check_name("render mode", render_mode, RENDER_MODES)
    if task.environment is None or task.environment.kind == "jax":
        found = "without" if task.environment is None else f"of the kind {task.environment.kind}"
        raise ConfigError(f"task {task.name}: expected one of a simulator, found one {found}.")
    draws = render_mode is not None
    own = task.environment.kind == "gymnasium"
    backend: Backend = GymnasiumBackend(task, draws=draws) if own else task.environment.make(task, draws=draws)
    return Simulator(task, backend, render_mode=render_mode)


def make_safe_reacher(render_mode: Literal["rgb_array"] | None = None) -> Simulator:
    """TREBI's reacher, for Gymnasium's registry."""
    return make(get_task("SafeReacher"), render_mode=render_mode)
