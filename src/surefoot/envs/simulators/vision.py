"""Safety-Gymnasium's tasks seen through the robot's cameras, decided on every few steps (FOSP and SafeDreamer)."""

from typing import Any

import numpy as np

from surefoot.envs.simulators import layouts
from surefoot.envs.simulators.compat import PLAIN_SKY
from surefoot.envs.simulators.drawing import Ending, choose_renderer
from surefoot.envs.simulators.eyes import SKY, Eyes
from surefoot.envs.simulators.privileged_state import privileged_state_of
from surefoot.envs.simulators.safety_gymnasium import build, registrations
from surefoot.envs.simulators.surroundings import Surroundings
from surefoot.tasks import Task


class VisionBackend:
    """One task. Observations are images [size, size, 3 a camera], rewards and costs are summed over the repeat."""

    def __init__(self, task: Task, *, simulator_id: str, draws: bool = True) -> None:
        """Raises `SimulatorError`, also where this machine cannot draw."""
        assert task.vision is not None
        choose_renderer(task.name)  # refused before any work
        self._name, self._vision = task.name, task.vision
        registration = registrations()[simulator_id]
        self.horizon = registration.horizon // task.vision.action_repeat
        self._env = build(registration, draws=False)
        self._env.task.agent.looks_back = True
        # The first world lends its plain sky's room to the images; in the later ones nobody looks at the sky.
        self._env.task.agent.sky = SKY
        layouts.apply(self._env.task, task.vision.layout)
        self.observation_dim = int(np.prod(task.vision.image_shape))
        self.action_low, self.action_high = self._env.action_space.low, self._env.action_space.high
        self.frames_per_second: float = self._env.metadata["render_fps"] / task.vision.action_repeat
        self._eyes: list[Eyes] = []
        """One pair, from the first picture on."""
        self._ending = Ending(self, _close, self._eyes, self._env)

    def reset(self, seed: int) -> np.ndarray:
        self._env.reset(seed=seed)
        return self._see()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float, bool]:
        reward = cost = 0.0
        terminated = False
        for _ in range(self._vision.action_repeat):
            _, step_reward, step_cost, terminated, truncated, _ = self._env.step(action)
            reward, cost = reward + step_reward, cost + step_cost
            if terminated or truncated:
                break
        return self._see(), reward, cost, terminated

    def privileged_state(self) -> Surroundings:
        """What the simulator knows and the images only show: for behaviours that collect data."""
        return privileged_state_of(self._env.task, self._vision)

    def render(self) -> np.ndarray:
        """The cameras' pictures side by side, uint8 [size, size * cameras, 3]."""
        return np.concatenate(np.split(self._see(), len(self._vision.cameras), axis=-1), axis=1)

    def renderer(self) -> str:
        """What draws, in words. After the first reset."""
        return self._eyes[0].describe()

    def close(self) -> None:
        self._ending.now()

    def _see(self) -> np.ndarray:
        world = self._env.task
        if not self._eyes:
            self._eyes.append(Eyes(self._name, self._vision, world.model))
            world.agent.sky = PLAIN_SKY
            self._ending.has_drawn()
        return self._eyes[0].see(world.model, world.data)


def _close(opened: list[Eyes], env: Any) -> None:
    for eyes in opened:
        eyes.close()
    env.close()
