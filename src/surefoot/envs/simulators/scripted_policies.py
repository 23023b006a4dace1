"""Behaviors that collect images: robots that seek their target with and without care, by the simulator's own state.

Careful ones look at headings all around and take the one that leads on best among those that keep clear of every danger
within sight; careless ones go straight. Both are imperfect on purpose: noise and stretches of random actions, whose
amounts are drawn for each episode.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from surefoot.envs.simulators.surroundings import Surroundings, free_heading, steered
from surefoot.vision import Vision

BEHAVIORS = ("random", "careless", "careful")
"""Behaviors by number; episode e of a collection has behavior e modulo 3."""
_HELD = 12
"""Most decisions for which a random action is held."""
_BESIDE = 0.45
"""Metres behind the box, seen from its goal, where a robot goes before it pushes."""


class Temper(NamedTuple):
    """Draws of an episode."""

    noise: float
    """Standard deviation of the noise on each action."""
    random_share: float
    """Share of the decisions at which a stretch of random actions begins."""
    clearance: float
    """Metres that careful robots keep from a danger's edge."""


@dataclass
class ScriptedPolicy:
    """Behavior of one episode; it remembers the random action that it holds."""

    vision: Vision
    behavior: str
    generator: np.random.Generator

    def __post_init__(self) -> None:
        draw = self.generator.uniform
        self._temper = Temper(draw(0.0, 0.4), draw(0.0, 0.02 if self.behavior == "careful" else 0.05), draw(0.08, 0.2))
        self._held: Float[np.ndarray, " 2"] = np.zeros(2)
        self._left = 0

    def act(self, state: Surroundings) -> Float[np.ndarray, " 2"]:
        """The action, in [-1, 1]."""
        draw = self.generator
        starts = self.behavior == "random" or draw.uniform() < self._temper.random_share
        if not self._left and starts:
            # Straight ahead more often than chance has it: turning on the spot shows little.
            self._held, self._left = draw.uniform(-1.0, 1.0, 2), int(draw.integers(1, _HELD + 1))
        if self._left:
            self._left -= 1
            return self._held
        careful = self.behavior == "careful"
        target = _to_push(state) if state.beyond is not None else state.target
        wanted, speed = _heading(state, target, self._temper.clearance if careful else None)
        action = _drive(self.vision.robot, state, wanted, speed)
        return np.clip(action + self._temper.noise * draw.standard_normal(2), -1.0, 1.0)


def _to_push(state: Surroundings) -> Float[np.ndarray, " 2"]:
    """Where to go to move the box to its goal: behind it first, then on through it."""
    assert state.beyond is not None
    box, goal = state.target, state.beyond
    way = (goal - box) / max(float(np.linalg.norm(goal - box)), 1e-6)
    behind = box - _BESIDE * way
    aligned = float(np.dot(box / max(float(np.linalg.norm(box)), 1e-6), way))
    if aligned > 0.85:
        return goal
    if np.dot(behind, box) > 0 and np.linalg.norm(behind) > np.linalg.norm(box):
        # The box is in the way: around it, on the side that is nearer.
        side = np.array([-way[1], way[0]])
        side = side if np.dot(side, -box) > 0 else -side
        return box + _BESIDE * side
    return behind


def _heading(state: Surroundings, target: Float[np.ndarray, " 2"], clearance: float | None) -> tuple[float, float]:
    """Angle to go (radians, 0 ahead, to the left positive) and how fast (0 to 1)."""
    if clearance is None or not len(state.dangers):
        return float(np.arctan2(target[1], target[0])), 1.0
    nearest = float((np.linalg.norm(state.dangers, axis=-1) - state.radii).min())
    return free_heading(state, target, clearance, sliding=0.05), float(np.clip(0.25 + nearest, 0.3, 0.8))


def _drive(robot: str, state: Surroundings, wanted: float, speed: float) -> Float[np.ndarray, " 2"]:
    """The action that turns to an angle and goes there."""
    ahead = float(np.cos(wanted))
    angle = float(np.angle(np.exp(1j * wanted)))
    push = np.clip(4.0 * (speed * max(ahead, 0.0) ** 2 - state.velocity[0]), -1.0, 1.0)
    return steered(robot, push, angle, state.turning)
