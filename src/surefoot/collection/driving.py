"""Scripted drivers of MetaDrive. They observe what a policy observes: the road's edges, its heading, speed, and lidar.

Each follows its lane at a speed of its own, brakes for traffic by its caution, and changes lanes where it is held up.
Speed alone costs: 0.01 a step for each kilometer per hour above 10.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from surefoot.tasks import Task

LIDAR = 240
"""Readings, the last numbers of an observation: 1 at 50 m, the first ahead, then clockwise."""
REACH = 50.0
"""Reach of the lidar in meters."""
LANE = 3.5
"""Width of a lane in meters."""
_LEFT, _RIGHT, _HEADING, _SPEED = 0, 1, 2, 3
"""Places in an observation."""
_SIDE_SCALE, _TOP_SPEED = 18.0, 80.0
"""Metres that a side's distance of 1 stands for, and kilometres per hour of a speed of 1."""
_FREE_SPEED = 10.0
"""Kilometres per hour that cost nothing."""
_HALF_WIDTH = 1.4
"""Metres to either side of the way ahead in which a reading is in the way."""
_REDRAW = 1.0 / 150.0
"""Chance a step that a moody driver draws another speed."""


class Road(NamedTuple):
    """Surroundings of a car as an observation shows them, in meters and kilometers per hour."""

    left: float
    """Distance to the left edge of the route's lanes."""
    width: float
    """Width of these lanes together."""
    turn: float
    """How far to turn to the left to follow the lane, as a sine."""
    speed: float
    around: Float[np.ndarray, "n 2"]
    """Positions that lidar shows: ahead, and to the right."""


class Temper(NamedTuple):
    """Traits of an episode's driver."""

    speed: float
    """Wanted speed in kilometers per hour."""
    gap: float
    """Time gap in seconds to what is ahead; 0 ignores it."""
    moody: bool
    """Whether it draws another speed now and then."""
    overtakes: bool
    lane_changes: float
    """Probability of a lane change without reason at each step."""
    steering_noise: float
    throttle_noise: float
    """Standard deviations of the action noise."""


@dataclass
class RoadDriver:
    """Driver of one episode; it remembers its lane (from 0 at the left) and its speed."""

    task: Task
    generator: np.random.Generator

    def __post_init__(self) -> None:
        self.temper = _draw_temper(self.generator)
        self._lane: int | None = None
        self._wanted = self.temper.speed

    def act(self, observation: Float[np.ndarray, " obs"]) -> Float[np.ndarray, " 2"]:
        """Action for an observation.

        Args:
            observation: The car's observation, [obs].

        Returns:
            Steering (left is positive) and throttle, not clipped, [2].
        """
        draw, temper = self.generator, self.temper
        road = view(observation)
        lanes = max(1, round(road.width / LANE))
        lane = int(np.clip(road.left // LANE, 0, lanes - 1)) if self._lane is None else min(self._lane, lanes - 1)
        if temper.moody and draw.uniform() < _REDRAW:
            self._wanted = _draw_speed(draw)
        if draw.uniform() < temper.lane_changes:
            lane = int(draw.integers(lanes))
        speed, ahead = self._wanted, gap_ahead(road, 0.0)
        if temper.gap > 0.0:
            # Five metres of the distance are the two cars' own.
            held = 3.6 * max(0.0, ahead - 5.0) / temper.gap
            if held < self._wanted and temper.overtakes:
                lane = _free_lane(road, lane, lanes)
            speed = min(speed, held)
        self._lane = lane
        aside = road.left - LANE * (lane + 0.5)  # to the right of the lane's middle
        # Faster cars turn more for the same steering.
        calm = 1.0 / (1.0 + road.speed / 30.0)
        steering = 3.0 * road.turn + 0.3 * calm * float(np.clip(aside, -1.5, 1.5))
        throttle = float(np.clip(0.12 * (speed - road.speed), -1.0, 0.7))
        noise = draw.standard_normal(2) * (temper.steering_noise, temper.throttle_noise)
        return np.array([steering, throttle]) + noise


def view(observation: Float[np.ndarray, " obs"]) -> Road:
    """The road as an observation [obs] shows it."""
    numbers = np.asarray(observation, np.float64)
    lidar = numbers[-LIDAR:]
    shown = np.flatnonzero(lidar < 1.0)
    angle, distance = 2.0 * np.pi * shown / LIDAR, REACH * lidar[shown]
    left = _SIDE_SCALE * numbers[_LEFT]
    return Road(
        left=left,
        width=left + _SIDE_SCALE * numbers[_RIGHT],
        turn=2.0 * numbers[_HEADING] - 1.0,
        speed=(_TOP_SPEED + 1.0) * numbers[_SPEED] - 1.0,
        around=distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1),
    )


def gap_ahead(road: Road, aside: float) -> float:
    """Distance to an obstacle on a straight line ahead.

    Args:
        road: The road.
        aside: Meters by which the line is shifted to the right.

    Returns:
        Meters; the lidar's reach where there is none.
    """
    ahead, right = road.around.T
    in_the_way = (ahead > 0.0) & (np.abs(right - aside) < _HALF_WIDTH)
    return float(ahead[in_the_way].min(initial=REACH))


def _free_lane(road: Road, lane: int, lanes: int) -> int:
    """The neighbouring lane with more room ahead and none beside or close behind; else the same."""
    best, room = lane, gap_ahead(road, 0.0) + 5.0
    for other in (lane - 1, lane + 1):
        aside = LANE * (other + 0.5) - road.left
        if not 0 <= other < lanes or abs(aside) > 1.5 * LANE:
            continue
        ahead, right = road.around.T
        beside = (np.abs(right - aside) < _HALF_WIDTH) & (ahead > -12.0) & (ahead < 8.0)
        if not beside.any() and gap_ahead(road, aside) > room:
            best, room = other, gap_ahead(road, aside)
    return best


def _draw_speed(generator: np.random.Generator) -> float:
    """A third below what costs; the others so that small and large costs are as frequent."""
    if generator.uniform() < 1.0 / 3.0:
        return generator.uniform(6.0, _FREE_SPEED + 1.0)
    return _FREE_SPEED + 10.0 ** generator.uniform(-0.3, 1.7)


def _draw_temper(generator: np.random.Generator) -> Temper:
    draw = generator.uniform
    return Temper(
        speed=_draw_speed(generator),
        gap=0.0 if draw() < 0.1 else draw(0.5, 2.0),
        moody=bool(draw() < 0.3),
        overtakes=bool(draw() < 0.7),
        lane_changes=0.004 * draw() ** 2,
        steering_noise=0.3 * draw() ** 2,
        throttle_noise=0.5 * draw() ** 2,
    )
