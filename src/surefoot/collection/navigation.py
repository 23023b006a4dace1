"""Scripted drivers of Safety-Gymnasium's navigation. They observe what a policy observes: lidar, velocity, turning
rate.

Careful drivers compare headings all around and take the best among those that keep clear of costs; bold ones go
straight; lured ones visit dangers on their way. Speed, clearance and noise are drawn once for each episode.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from surefoot.envs.simulators.surroundings import FRONT, Surroundings, free_heading, steered
from surefoot.tasks import Task

BINS = 16
"""Bins of a lidar, all around."""
REACH = 3.0
"""Distance in meters at which a lidar reads 0; it reads 1 at the robot."""
_STYLES = {"careful": 0.6, "bold": 0.15, "lured": 0.2, "idle": 0.05}
"""Styles of drivers, and their shares of the episodes."""
_STUCK_STEPS, _STUCK_SPEED = 30, 0.05
"""So many steps below so many metres per second: a driver that got nowhere tries a random action."""
_BESIDE = 0.5
"""Distance in meters from the box's center at which a driver goes around it."""


class Layout(NamedTuple):
    """Lidars of a kind of task, in their order after the robot's own sensors, and their meaning."""

    lidars: tuple[str, ...]
    target: str
    """The lidar that shows the target."""
    dangers: dict[str, float]
    """Lidars of dangers and obstacles, and their radii in meters."""
    solid: frozenset[str]
    """Dangers that count by contact with the robot's body; others cost where its center is in them."""


_GOAL = ("goal", "hazards", "vases")
_LAYOUTS = {
    "Goal1": Layout(_GOAL, "goal", {"hazards": 0.2}, frozenset()),
    "Goal2": Layout(_GOAL, "goal", {"hazards": 0.2, "vases": 0.13}, frozenset(("vases",))),
    "Button1": Layout(
        ("buttons", "goal", "hazards", "gremlins"),
        "goal",
        {"buttons": 0.1, "hazards": 0.2, "gremlins": 0.16},
        frozenset(("buttons", "gremlins")),
    ),
    "Push1": Layout(
        ("goal", "hazards", "pillars", "push_box"),
        "push_box",
        {"hazards": 0.3, "pillars": 0.2},
        frozenset(("pillars",)),
    ),
}
_LAYOUTS |= {"Button2": _LAYOUTS["Button1"], "Push2": _LAYOUTS["Push1"]}
ROBOTS = {"Point": (12, 0.13), "Car": (24, 0.2)}
"""Numbers of a robot's own sensors, which come first, and the radius of its body in meters."""


class Temper(NamedTuple):
    """Traits of an episode's driver."""

    style: str
    clearance: float
    """Meters that careful drivers keep from the edge of a danger."""
    top_speed: float
    """Metres per second."""
    eagerness: float
    """Increase of the speed with the distance to the nearest danger, per second."""
    noise: float
    """Standard deviation of the action noise."""
    random_share: float
    """Share of the steps at which a stretch of one random action begins."""
    lure: float = 0.0
    """Share of the steps at which the lured go to the nearest danger."""


@dataclass
class NavigationDriver:
    """Driver of one episode; it remembers the random action that it holds."""

    task: Task
    generator: np.random.Generator
    robot: str
    """Row of `ROBOTS`."""
    kind: str
    """Kind of task, a key of `_LAYOUTS`."""

    def __post_init__(self) -> None:
        self.temper = _draw_temper(self.generator)
        self._held: Float[np.ndarray, " 2"] = np.zeros(2)
        self._left = 0
        self._slow_steps = 0
        self._visits_left = 0

    def act(self, observation: Float[np.ndarray, " obs"]) -> Float[np.ndarray, " 2"]:
        """Action for an observation.

        Args:
            observation: The robot's observation, [obs].

        Returns:
            The action, not clipped, [2].
        """
        draw, temper = self.generator, self.temper
        seen = view(self.robot, self.kind, observation)
        slow = float(np.linalg.norm(seen.velocity)) < _STUCK_SPEED
        self._slow_steps = self._slow_steps + 1 if slow else 0
        starts = temper.style == "idle" or draw.uniform() < temper.random_share
        if not self._left and (starts or self._slow_steps > _STUCK_STEPS):
            self._held, self._left, self._slow_steps = draw.uniform(-1.0, 1.0, 2), int(draw.integers(10, 40)), 0
        if self._left:
            self._left -= 1
            return self._held
        action = _drive(self.robot, seen, *self._aim(seen), careful=temper.style == "careful")
        return action + temper.noise * draw.standard_normal(2)

    def _aim(self, seen: Surroundings) -> tuple[float, float]:
        """Angle to go and speed."""
        temper = self.temper
        target = seen.target if seen.beyond is None else _to_push(seen.target, seen.beyond)
        if temper.style == "lured" and len(seen.dangers):
            if not self._visits_left and self.generator.uniform() < temper.lure:
                self._visits_left = int(self.generator.integers(20, 120))
            if self._visits_left:
                self._visits_left -= 1
                target = seen.dangers[np.argmin(np.linalg.norm(seen.dangers, axis=-1))]
        # What slides sideways past its target must point to the other side of it.
        direction = target / max(float(np.linalg.norm(target)), 1e-6)
        target = target - 0.7 * (seen.velocity - (seen.velocity @ direction) * direction)
        if temper.style != "careful" or not len(seen.dangers):
            return float(np.arctan2(target[1], target[0])), temper.top_speed
        wanted = free_heading(seen, target, temper.clearance, sliding=0.15)
        return wanted, min(temper.top_speed, 0.25 + temper.eagerness * _free_ahead(seen, wanted))


def view(robot: str, kind: str, observation: Float[np.ndarray, " obs"]) -> Surroundings:
    """Surroundings of the robot as an observation shows them.

    Args:
        robot: Row of `ROBOTS`.
        kind: Kind of task, a key of `_LAYOUTS`.
        observation: The robot's observation, [obs].

    Returns:
        Target, velocity and dangers in the robot's frame.
    """
    own, body = ROBOTS[robot]
    layout = _LAYOUTS[kind]
    numbers = np.asarray(observation, np.float64)
    lidars = dict(zip(layout.lidars, numbers[own:].reshape(len(layout.lidars), BINS), strict=True))
    turn = FRONT[robot]
    if "buttons" in lidars:  # the right one is no danger; it reads alike in both
        lidars["buttons"] = np.where(np.abs(lidars["buttons"] - lidars["goal"]) < 1e-6, 0.0, lidars["buttons"])
    points = {name: lidar_points(lidars[name]) @ turn.T for name in layout.dangers}
    centers = np.concatenate(list(points.values()))
    radii = [
        np.full(len(points[name]), radius + (body if name in layout.solid else 0.0))
        for name, radius in layout.dangers.items()
    ]
    target, beyond = lidar_point(lidars[layout.target]), lidar_point(lidars["goal"])
    middle = centers.mean(0) if len(centers) else np.array([1.0, 0.0])  # the arena's, where things are seen
    return Surroundings(
        middle if target is None else turn @ target,
        None if layout.target != "push_box" else middle if beyond is None else turn @ beyond,
        turn @ numbers[3:5],
        float(numbers[8]),
        centers,
        np.concatenate(radii),
    )


def lidar_point(readings: Float[np.ndarray, " 16"]) -> Float[np.ndarray, " 2"] | None:
    """Position of the only object that a lidar shows; None where it shows nothing.

    An object at the share `a` of its bin also reads `a` times as much in the next bin and `1 - a` times in the one
    before.
    """
    peak = int(np.argmax(readings))
    if readings[peak] <= 0.0:
        return None
    share = _share(readings[peak - 1], readings[(peak + 1) % BINS])
    return _points((peak + share) / BINS, readings[peak])


def lidar_points(readings: Float[np.ndarray, " 16"]) -> Float[np.ndarray, "n 2"]:
    """Possible positions [n, 2] of the objects that a lidar [16] shows: rather more than fewer where readings
    overlap."""
    before, after = np.roll(readings, 1), np.roll(readings, -1)
    peaks = (readings > 0.0) & (readings >= before) & (readings >= after)
    alone = peaks & (np.abs(before + after - readings) < 0.02 * readings)
    # Two things in neighbouring bins: the lower of a peak's two neighbours is likely its echo.
    explained = (
        np.roll(peaks & (alone | (after <= before)), 1) | np.roll(peaks & (alone | (before < after)), -1)
    ) & ~peaks
    shares = np.where(peaks, _share(before, after), 0.5)
    kept = (readings > 0.0) & ~explained
    return _points((np.arange(BINS) + shares) / BINS, readings)[kept]


def _share(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.where(before + after > 0.0, after / np.maximum(before + after, 1e-12), 0.5)


def _points(turns: np.ndarray, readings: np.ndarray) -> np.ndarray:
    angle = 2.0 * np.pi * turns
    return REACH * (1.0 - readings)[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def _draw_temper(generator: np.random.Generator) -> Temper:
    draw = generator.uniform
    style = str(generator.choice(list(_STYLES), p=list(_STYLES.values())))
    careful = style == "careful"
    # Squares: most noise is small, so that good episodes are not rare.
    return Temper(
        style,
        clearance=draw(-0.05, 0.15),
        top_speed=draw(0.4, 1.4) if careful else draw(0.5, 2.0),
        eagerness=draw(0.7, 2.0),
        noise=0.5 * draw() ** 2,
        random_share=0.01 * draw() ** 2 * (1.0 if careful else 3.0),
        lure=10.0 ** draw(-3.0, -1.5),
    )


def _free_ahead(seen: Surroundings, wanted: float) -> float:
    """Metres to the edge of the nearest danger within 60 degrees of where the robot goes or is to go, at least 0."""
    way = np.array([np.cos(wanted), np.sin(wanted)])
    speed = max(float(np.linalg.norm(seen.velocity)), 1e-6)
    distances = np.maximum(np.linalg.norm(seen.dangers, axis=-1), 1e-6)
    towards = np.maximum(seen.dangers @ way, seen.dangers @ seen.velocity / speed) / distances
    return max(0.0, float(np.where(towards > 0.5, distances - seen.radii, REACH).min()))


def _to_push(box: Float[np.ndarray, " 2"], goal: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
    """Where to go to move the box to its goal: around it until behind it, then on through it."""
    way = goal - box
    place, behind = np.arctan2(-box[1], -box[0]), np.arctan2(-way[1], -way[0])
    left = float(np.angle(np.exp(1j * (behind - place))))
    if abs(left) < 0.4:
        return box + 0.2 * way / max(float(np.linalg.norm(way)), 1e-6)
    angle = place + np.clip(left, -0.8, 0.8)
    return box + _BESIDE * np.array([np.cos(angle), np.sin(angle)])


def _drive(robot: str, seen: Surroundings, wanted: float, speed: float, *, careful: bool) -> Float[np.ndarray, " 2"]:
    """The action that turns to an angle and goes there; the careful back out of what they touch."""
    # Backwards where that takes less turning, unless it pushes; what is about even goes on as it moves.
    backwards = seen.beyond is None and np.cos(wanted) < (0.3 if seen.velocity[0] < -0.05 else -0.3)
    angle = float(np.angle(np.exp(1j * (wanted + np.pi * backwards))))
    forward = max(float(np.cos(angle)), 0.0) ** 2 * (-1.0 if backwards else 1.0)
    if careful and len(seen.dangers):
        gaps = np.linalg.norm(seen.dangers, axis=-1) - seen.radii
        nearest = int(np.argmin(gaps))
        side = float(np.sign(seen.dangers[nearest][0]))
        if gaps[nearest] < 0.05 and side * np.cos(wanted) > -0.3 and abs(forward) < 0.5:
            forward = -side
    push = float(np.clip(4.0 * (speed * forward - seen.velocity[0]), -1.0, 1.0))
    return np.clip(steered(robot, push, angle, seen.turning), -1.0, 1.0)
