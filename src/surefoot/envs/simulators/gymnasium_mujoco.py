"""Gymnasium's own MuJoCo robots as backends: TREBI's reacher, and runners that pay for speed.

Versions v4, whose observations and rewards are those of the v2 that TREBI and D4RL used: v5 drops a number from the
reacher's observation and takes its reward after the step, and changes rewards of the runners. What differs from v2 is
the physics engine, MuJoCo 3.3.7 in place of 1.50 or 2.x: trajectories drift apart, the laws of motion are the same.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from surefoot.envs.simulators.drawing import Drawing, choose_renderer, mujoco_viewers
from surefoot.errors import SimulatorError
from surefoot.tasks import Task

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gymnasium.envs.mujoco.half_cheetah_v4 import HalfCheetahEnv
        from gymnasium.envs.mujoco.hopper_v4 import HopperEnv
        from gymnasium.envs.mujoco.reacher_v4 import ReacherEnv
        from gymnasium.envs.mujoco.walker2d_v4 import Walker2dEnv
except Exception as error:  # Gymnasium raises its own kind where MuJoCo is missing
    raise SimulatorError(
        f"the simulator MuJoCo is not installed ({error}); install it with pip install 'surefoot[sim]'."
    ) from error

GOAL = 1.0
"""Both coordinates of the reacher's goal, metres, out of the arm's reach of 0.21 m: it asks to point at 45 degrees."""
HAZARD = np.array([0.5, 0.5, 0.0])
"""Center of the reacher's hazard, metres."""
HAZARD_REACH = 0.5
"""Distance from the center at which the cost reaches 0, metres."""


class SafeReacherEnv(ReacherEnv):
    """Gymnasium's reacher with TREBI's goal. The goal lies outside the range of the joints that hold it; those limits
    are off, so that it stays (in the published environment MuJoCo pushes it back, and two observations drift)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.model.jnt_limited[2:] = 0

    def reset_model(self) -> np.ndarray:
        qpos = self.init_qpos + self.np_random.uniform(-0.1, 0.1, self.model.nq)
        qvel = self.init_qvel + self.np_random.uniform(-0.005, 0.005, self.model.nv)
        qpos[2:], qvel[2:] = GOAL, 0.0
        self.set_state(qpos, qvel)
        return self._get_obs()


def tip_cost(tip: np.ndarray) -> float:
    """100 (1 - 2 d) of the fingertip [3] within d < 0.5 m of the hazard's centre, else 0: at most 0.57 in its reach."""
    distance = float(np.linalg.norm(tip - HAZARD))
    return max(0.0, 100.0 * (1.0 - distance / HAZARD_REACH))


def _reacher_cost(env: Any, info: dict[str, Any]) -> float:
    # The place that the step enters. (The reward is of the one that it leaves: v2 and v4 have it so.)
    return tip_cost(env.get_body_com("fingertip"))


def _speed(env: Any, info: dict[str, Any]) -> float:
    """Metres per second, either way, over the step: |x' - x| / dt. The sum over an episode limits the distance."""
    return abs(float(info["x_velocity"]))


class _Kind(NamedTuple):
    environment: Callable[..., Any]
    horizon: int
    """Environment steps, of Gymnasium's own registration."""
    cost: Callable[[Any, dict[str, Any]], float]


KINDS: dict[str, _Kind] = {
    "SafeReacher": _Kind(SafeReacherEnv, 50, _reacher_cost),
    "Hopper-v4": _Kind(HopperEnv, 1000, _speed),
    "Walker2d-v4": _Kind(Walker2dEnv, 1000, _speed),
    "HalfCheetah-v4": _Kind(HalfCheetahEnv, 1000, _speed),
}
"""`simulator_id` -> how it is made."""


class GymnasiumMujocoBackend:
    """One robot."""

    def __init__(self, task: Task, *, simulator_id: str, draws: bool) -> None:
        """`draws`: whether `render` will be called. Raises `SimulatorError`."""
        if draws:
            choose_renderer(task.name)
        kind = KINDS[simulator_id]
        self.horizon, self._cost = kind.horizon, kind.cost
        self._env = kind.environment(**({"render_mode": "rgb_array"} if draws else {}))
        self.observation_dim: int = self._env.observation_space.shape[0]
        self.action_low, self.action_high = self._env.action_space.low, self._env.action_space.high
        self.frames_per_second: float = self._env.metadata["render_fps"]
        self._drawing = Drawing(task.name, self._env, mujoco_viewers)

    def reset(self, seed: int) -> np.ndarray:
        return self._env.reset(seed=seed)[0]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float, bool]:
        observation, reward, terminated, _, info = self._env.step(action)
        return observation, reward, self._cost(self._env, info), terminated

    def render(self) -> np.ndarray:
        return self._drawing.picture()

    def close(self) -> None:
        self._drawing.close()
