"""A robot of Safety-Gymnasium among its target and its dangers, and how scripted robots steer by them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

SIGHT = 1.2
"""Metres within which a danger in the way counts."""
FRONT = {"Point": np.eye(2), "Car": np.array([[0.0, -1.0], [1.0, 0.0]])}
"""Robot -> rotation from the simulator's frame to one whose x points ahead: a car's front is to the right of its x."""
_HEADINGS = 48


class Surroundings(NamedTuple):
    """A robot's surroundings in its own frame: x ahead, y to its left, metres and seconds."""

    target: Float[np.ndarray, " 2"]
    """Place to reach: the goal, the right button, or the box."""
    beyond: Float[np.ndarray, " 2"] | None
    """Place to push the box to; None where nothing is pushed."""
    velocity: Float[np.ndarray, " 2"]
    """Velocity of the robot, metres per second."""
    turning: float
    """Turning rate of the robot, radians per second, positive to the left."""
    dangers: Float[np.ndarray, "n 2"]
    """Centers of objects with a cost."""
    radii: Float[np.ndarray, " n"]
    """Distance of the robot's center from each danger below which it costs."""


def free_heading(seen: Surroundings, target: Float[np.ndarray, " 2"], clearance: float, *, sliding: float) -> float:
    """The angle that leads on best to a target among those that keep clear of every danger in sight.

    Args:
        seen: The surroundings; at least one danger.
        target: Place to go, in the robot's frame, metres.
        clearance: Metres to keep from the edge of a danger.
        sliding: Weight of an angle to the present heading, as the robot slides on.

    Returns:
        Radians, 0 ahead, positive to the left.
    """
    distance = float(np.linalg.norm(target))
    straight = float(np.arctan2(target[1], target[0]))
    angles = straight + np.linspace(-np.pi, np.pi, _HEADINGS, endpoint=False)
    ways = np.stack([np.cos(angles), np.sin(angles)], -1)
    # It slides on: dangers are seen from where it will be.
    offsets = seen.dangers - 0.25 * seen.velocity
    # From a step ahead on: in a danger all ways are bad at first, and the shortest out of it is the best.
    along = np.clip(offsets @ ways.T, 0.2, max(0.2, min(distance, SIGHT)))
    gap = np.linalg.norm(offsets[:, None] - along[..., None] * ways, axis=-1) - seen.radii[:, None]
    blocked = np.clip(clearance - gap, 0.0, None) * (1.5 - along / SIGHT)
    turn = np.abs(np.angle(np.exp(1j * (angles - straight))))
    aside = np.abs(np.angle(np.exp(1j * angles)))
    return float(angles[int(np.argmin(20.0 * blocked.max(0) + 0.25 * turn + sliding * aside))])


def steered(robot: str, push: float, angle: float, turning: float) -> Float[np.ndarray, " 2"]:
    """The action that pushes ahead and turns.

    Args:
        robot: "Point" or "Car".
        push: Push ahead.
        angle: Angle to turn by, radians, positive to the left.
        turning: Present turning rate, radians per second.

    Returns:
        Action, [2]. A car's numbers are its wheels', the right one first, and may lie beyond [-1, 1].
    """
    if robot == "Point":
        return np.array([push, np.clip(1.5 * angle, -1.0, 1.0)])
    turn = np.clip(1.2 * angle - 0.15 * turning, -1.0, 1.0)
    return np.array([push + turn, push - turn])
