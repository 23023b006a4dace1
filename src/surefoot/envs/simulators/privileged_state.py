"""The surroundings of a robot of Safety-Gymnasium as the simulator knows them, without its sensors."""

from typing import Any

import numpy as np

from surefoot.envs.simulators.surroundings import FRONT, Surroundings
from surefoot.vision import Vision


def privileged_state_of(task: Any, vision: Vision) -> Surroundings:
    """The surroundings in a task of Safety-Gymnasium, in the middle of an episode."""
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
