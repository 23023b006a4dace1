"""highway-env's traffic with a car that is steered by numbers, and a log of it as a CSV file.

python highway_traffic.py highway.csv --episodes 300

The log's driver is highway-env's own: the model that drives the other cars (IDM and MOBIL: keep a gap, change lanes
where that is faster) acts in our car's place. Each episode draws how often it looks away and how much it is shaken;
while it looks away, it neither brakes nor accelerates anew.
"""

import argparse
import csv
from typing import Any

import gymnasium
import highway_env  # pyright: ignore[reportMissingImports]  (of the example alone)
import numpy as np
from highway_env.vehicle.behavior import IDMVehicle  # pyright: ignore[reportMissingImports]

SEEN = 4
"""Nearest cars that are observed."""
FAR = 100.0
"""Meters; where a car that is not there is said to be."""
ACCELERATION, STEERING = 5.0, 0.1
"""Largest commands, m/s^2 and rad."""
LANES = 3
COLUMNS = (
    "y",
    "forward",
    "sideward",
    *(f"{name}{car}" for car in range(1, SEEN + 1) for name in ("x", "y", "vx", "vy")),
)
NOISE = (0.8, 0.25)
"""Largest standard deviations of the noise on acceleration and steering, in half ranges of the action."""
KEPT = 0.8
"""Share of the noise that stays from one step to the next."""
AWAY, AWAY_STEPS = 0.2, (5, 16)
"""Largest chance in a step to look away, and for how many steps."""


class Steady(IDMVehicle):
    """A car that keeps its lane and its speed."""

    def act(self, action: Any = None) -> None:
        """Do nothing."""


class Traffic(gymnasium.Wrapper):
    """Ten seconds on three lanes, in steps of 0.2 s; `calm`: the other cars keep their lanes and speeds."""

    def __init__(self, calm: bool = False) -> None:
        others = f"{__name__}.Steady" if calm else "highway_env.vehicle.behavior.IDMVehicle"
        action = {"type": "ContinuousAction", "acceleration_range": [-ACCELERATION, ACCELERATION],
                  "steering_range": [-STEERING, STEERING]}  # fmt: skip
        gymnasium.register_envs(highway_env)
        settings = {"action": action, "policy_frequency": 5, "simulation_frequency": 5, "duration": 10,
                    "lanes_count": LANES, "vehicles_count": 12, "vehicles_density": 1.5, "offroad_terminal": True,
                    "other_vehicles_type": others}  # fmt: skip
        super().__init__(gymnasium.make("highway-fast-v0", config=settings, disable_env_checker=True))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (len(COLUMNS),), np.float32)
        self.driver: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self.env.reset(seed=seed)
        self.driver = None
        return self.observed(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step; `info["cost"]` is 1 where our car has crashed or left the road, and the episode ends."""
        _, reward, over, late, _ = self.env.step(np.asarray(action, np.float32))
        car = self.car
        failed = bool(car.crashed or not car.on_road)
        return self.observed(), float(reward), over, late and not over, {"cost": float(failed)}

    @property
    def car(self) -> Any:
        """Our car."""
        return self.unwrapped.vehicle  # pyright: ignore[reportAttributeAccessIssue]

    def observed(self) -> np.ndarray:
        """Our car's place across the road and its velocity, then the nearest cars', relative to ours; m and m/s."""
        car = self.car
        others = [one for one in car.road.vehicles if one is not car]
        others.sort(key=lambda one: float(np.linalg.norm(one.position - car.position)))
        seen = [car.position[1], *car.velocity]
        for one in others[:SEEN]:
            seen += [*(one.position - car.position), *(one.velocity - car.velocity)]
        seen += [FAR, 0.0, 0.0, 0.0] * (SEEN - len(others))
        return np.asarray(seen, np.float32)

    def driven(self) -> np.ndarray:
        """What highway-env's driver would do in our car's place, in half ranges of the action."""
        car, known = self.car, self.driver
        target = known.target_lane_index if known else car.lane_index
        driver = IDMVehicle(
            car.road, car.position, car.heading, car.speed, target, 30.0, timer=known.timer if known else None
        )
        vehicles = car.road.vehicles
        place = vehicles.index(car)
        vehicles[place] = driver  # cars look for others than themselves
        driver.act()
        vehicles[place] = car
        driver.timer += 0.2
        self.driver = driver
        wanted = np.array([driver.action["acceleration"] / ACCELERATION, driver.action["steering"] / STEERING])
        return np.clip(wanted, -1.0, 1.0)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--noise", type=float, nargs=2, default=NOISE, metavar=("ACCELERATION", "STEERING"))
    parser.add_argument("--first", type=int, default=0, help="number of the first episode, which draws its traffic")
    parser.add_argument("--calm", action="store_true", help="the other cars keep their lanes and speeds")
    options = parser.parse_args()
    env, random = Traffic(options.calm), np.random.default_rng(options.first)
    with open(options.out, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            [
                "episode",
                *COLUMNS,
                "acceleration",
                "steering",
                "reward",
                "failed",
                *(f"next_{name}" for name in COLUMNS),
                "ended",
            ]
        )
        for episode in range(options.first, options.first + options.episodes):
            observation, _ = env.reset(seed=episode)
            careless, noise, away, done = random.uniform(), np.zeros(2), 0, False
            wanted = env.driven()
            while not done:
                noise = KEPT * noise + np.sqrt(1 - KEPT**2) * random.normal(0, careless * np.array(options.noise))
                away = max(away - 1, 0) or int(random.uniform() < AWAY * careless) * int(random.integers(*AWAY_STEPS))
                driven = env.driven()
                wanted = np.array([wanted[0] if away else driven[0], driven[1]])
                action = np.clip(wanted + noise, -1.0, 1.0)
                entered, reward, terminated, truncated, info = env.step(action)
                numbers = [*observation, *action, reward, info["cost"], *entered]
                table.writerow([episode, *(f"{number:.6g}" for number in numbers), int(terminated)])
                observation, done = entered, terminated or truncated


if __name__ == "__main__":
    main()
