"""Bullet-Safety-Gym 1.4.0 (MIT; Gronauer 2022), with episodes that are a function of their seed.

As published, `reset(seed=...)` ignores the seed: starts are drawn from NumPy's global generator, and a joint's motor
keeps the command of the last episode's last step, which acts in the simulation step that a reset takes. Both are
mended here, from outside. What a fresh simulator does after `numpy.random.seed(seed)` is what this does, to the bit.
"""

import random
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from typing import Any

import gymnasium
import numpy as np

from surefoot.envs.simulators.quiet import quiet
from surefoot.errors import SimulatorError
from surefoot.tasks import Task


class _ErrorStream:
    """What the package's own redirection of output asks of a stream. It takes no other's, such as a notebook's."""

    name = None

    def fileno(self) -> int:
        return 2

    def flush(self) -> None:
        """Nothing is held back."""


try:
    with quiet(), redirect_stderr(_ErrorStream()):  # pybullet greets on import  # pyright: ignore[reportArgumentType]
        import pybullet
        from bullet_safety_gym.envs import builder
    builder.RedirectStream = nullcontext  # pyright: ignore[reportAttributeAccessIssue] (see `quiet` below)
except ImportError as error:
    raise SimulatorError(
        f"the Bullet simulator is not installed ({error}); install it with `surefoot simulators install bullet`."
    ) from error


_EDGE, _RED = 6, (220, 40, 40)


class BulletBackend:
    """One Bullet task in a physics server of its own, without a window."""

    def __init__(self, task: Task, *, simulator_id: str, draws: bool) -> None:
        layout = gymnasium.spec(simulator_id).kwargs
        self.horizon = int(gymnasium.spec(simulator_id).max_episode_steps or 0)
        with _generators(0), quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its space of observations is float64 with float32 bounds
            self._env: Any = builder.EnvironmentBuilder(**layout)
        self.observation_dim: int = self._env.observation_space.shape[0]
        self.action_low, self.action_high = self._env.action_space.low, self._env.action_space.high
        self.frames_per_second = 1 / self._env.dt
        self._costs = False
        self._close = weakref.finalize(self, self._env.close)

    def reset(self, seed: int) -> np.ndarray:
        env = self._env
        agent = env.agent.body_id
        # Far from everything, contacts end; restoring the state would keep those of an agent that ended near its start.
        env.bc.resetBasePositionAndOrientation(agent, (0.0, 0.0, 1000.0), (0.0, 0.0, 0.0, 1.0))
        env.bc.performCollisionDetection()
        for joint in env.agent.motor_list:
            # As a motor is before its first command: without force.
            env.bc.setJointMotorControl2(
                joint.body_id, joint.index, pybullet.VELOCITY_CONTROL, targetVelocity=0, force=0
            )
        self._costs = False
        with _generators(seed):
            return env.reset()[0]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float, bool]:
        observation, reward, terminated, _, info = self._env.step(action)
        self._costs = info["cost"] > 0
        return observation, reward, info["cost"], terminated

    def render(self) -> np.ndarray:
        """Picture drawn by the processor, on any machine; a red edge means that the last step had a cost."""
        # It marks costs by a transparent sphere around the agent, which this renderer draws opaque, and at all times.
        sphere = self._env.agent.violation_body_id
        self._env.bc.resetBasePositionAndOrientation(sphere, (0.0, 0.0, -1000.0), (0.0, 0.0, 0.0, 1.0))
        picture = self._env.render("rgb_array").astype(np.uint8)
        if self._costs:
            inside = picture[_EDGE:-_EDGE, _EDGE:-_EDGE].copy()
            picture[:] = _RED
            picture[_EDGE:-_EDGE, _EDGE:-_EDGE] = inside
        return picture

    def close(self) -> None:
        self._close()


@contextmanager
def _generators(seed: int) -> Iterator[None]:
    """Seed the global generators, which the simulator draws from, and give them back to their owner as they were."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
