"""Safety-Gymnasium's tasks seen through the robot's cameras, decided on every few steps (FOSP and SafeDreamer)."""

from typing import Any

import numpy as np

from surefoot.envs.simulators import compat, layouts
from surefoot.envs.simulators.compat import PLAIN_SKY
from surefoot.envs.simulators.drawing import Ending, choose_renderer
from surefoot.envs.simulators.eyes import SKY, Eyes
from surefoot.envs.simulators.safety_gymnasium import build
from surefoot.envs.simulators.surroundings import FRONT, Surroundings
from surefoot.tasks import Task
from surefoot.vision import Vision


class VisionBackend:
    """One task. Observations are images [size, size, 3 per camera]; rewards and costs are sums over the repeated
    action."""

    def __init__(self, task: Task, *, simulator_id: str, draws: bool = True) -> None:
        """Raises `SimulatorError`, also where this machine cannot draw."""
        assert task.vision is not None
        choose_renderer(task.name)  # refused before any work
        self._name, self._vision = task.name, task.vision
        registration = compat.load()[simulator_id]
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
        """The surroundings as the simulator knows them, for behaviors that collect data."""
        return privileged_state_of(self._env.task, self._vision)

    def render(self) -> np.ndarray:
        """The cameras' pictures side by side, uint8 [size, size * cameras, 3]."""
        return np.concatenate(np.split(self._see(), len(self._vision.cameras), axis=-1), axis=1)

    def renderer(self) -> str:
        """The renderer in words; known after the first reset."""
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


def privileged_state_of(task: Any, vision: Vision) -> Surroundings:
    """The surroundings in a task of Safety-Gymnasium, in the middle of an episode.

    Args:
        task: Safety-Gymnasium's task.
        vision: The robot and the kind of task.

    Returns:
        The surroundings.
    """
    turn, place, frame = FRONT[vision.robot], task.agent.pos, task.agent.mat[:2, :2]

    def seen(points: Any) -> np.ndarray:
        offsets = np.asarray(points, np.float64).reshape(-1, np.shape(points)[-1] if len(points) else 3)[:, :2]
        return (offsets - place[:2]) @ frame @ turn.T

    centers, radii = [], []
    robot = 0.15 if vision.robot == "Point" else 0.22
    for name, radius in (("hazards", 0.0), ("vases", robot), ("gremlins", robot), ("pillars", robot)):
        objects = vars(task).get(name)
        if objects is not None and objects.is_constrained and objects.num:
            centers.append(seen(objects.pos))
            # A vase or a gremlin is a box: its corners reach further than its half side.
            reach = objects.size if name in ("hazards", "pillars") else 1.4 * objects.size
            radii += [reach + radius] * objects.num
    target, beyond = task.goal.pos, None
    if vision.kind == "Button":
        wrong = [place for number, place in enumerate(task.buttons.pos) if number != task.buttons.goal_button]
        centers.append(seen(wrong))
        radii += [task.buttons.size + robot] * len(wrong)
    if vision.kind == "Push":
        target, beyond = task.push_box.pos, seen([task.goal.pos])[0]
    velocity = turn @ task.agent.get_sensor("velocimeter")[:2]
    dangers = np.concatenate(centers) if centers else np.zeros((0, 2))
    gyro = float(task.agent.get_sensor("gyro")[2])
    return Surroundings(seen([target])[0], beyond, velocity, gyro, dangers, np.asarray(radii))
