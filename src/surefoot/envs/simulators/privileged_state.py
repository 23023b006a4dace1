"""Where a robot of Safety-Gymnasium stands to what it is to reach and to avoid, as the simulator knows it."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from surefoot.vision import Vision


class PrivilegedState(NamedTuple):
    """All in the robot's frame: x ahead, y to its left, metres."""

    target: Float[np.ndarray, " 2"]
    """Where the robot is to go; the goal, the right button, or the box."""
    beyond: Float[np.ndarray, " 2"] | None
    """Where the box is to go; None where nothing is pushed."""
    velocity: Float[np.ndarray, " 2"]
    """Of the robot, metres per second."""
    turning: float
    """Of the robot, radians per second, to the left."""
    dangers: Float[np.ndarray, "n 2"]
    """Centres of what costs something."""
    radii: Float[np.ndarray, " n"]
    """Distance of the robot's centre from a danger below which it costs something."""


def privileged_state_of(task: Any, vision: Vision) -> PrivilegedState:
    """Of a task of Safety-Gymnasium in the middle of an episode."""
    # Car's front is to the right of where its frame's x points.
    turn = np.array([[1.0, 0.0], [0.0, 1.0]]) if vision.robot == "Point" else np.array([[0.0, -1.0], [1.0, 0.0]])
    place, frame = task.agent.pos, task.agent.mat[:2, :2]

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
    return PrivilegedState(seen([target])[0], beyond, velocity, gyro, dangers, np.asarray(radii))
