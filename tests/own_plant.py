"""A stranger's environment for tests: a tank of which the observation is a Dict, and controllers for it."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

TASK = """\
[task]
name = "plant"
horizon = 8
reference_returns = [-8.0, 0.0]

[observation]
columns = ["level", "flow[0]", "flow[1]"]
units = { level = "m" }

[action]
columns = ["valve"]
low = [0.0]
high = [10.0]
rate_limit = [4.0]

[reward]
expression = "-abs(level - prev(level))"
at = "state"

[[constraint]]
name = "level"
expression = "level - 0.8"
unit = "m"
scale = 0.5

[[constraint]]
name = "trip"
column = "plant.trips[1]"
kind = "cost"
limit = 3

[episodes]
by = "episode"
time = "t"
step_seconds = 2.0
terminated = "done"

[environment]
make = "tests.own_plant:Plant"
"""
"""Of `Plant`, as a user would write it."""


class Plant(gymnasium.Env[Any, Any]):
    """The level rises by (valve - 5) / 10; above 0.8 costs 2, above 2 ends it. `fault`: what goes wrong at step 3."""

    def __init__(self, *, fault: str = "", limit: int = 100, render_mode: str | None = None) -> None:
        self._fault, self._limit = fault, limit
        part = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        parts: dict[str, Any] = {"level": spaces.Box(-9, 9, (1,), np.float32), "flow": part}
        self.observation_space = spaces.Dict(parts)
        self.action_space = spaces.Box(0.0, 10.0, (1, 1), np.float64)
        if fault == "discrete":
            self.action_space = spaces.Discrete(3)
        if fault == "text":
            self.observation_space = spaces.Dict({"level": part, "name": spaces.Text(3)})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._level, self._steps = 0.5 + 0.01 * float(self.np_random.uniform()), 0
        return self._seen(5.0), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action.shape == (1, 1)
        assert action.dtype == np.float64
        self._level, self._steps = self._level + (float(action[0, 0]) - 5) / 10, self._steps + 1
        if self._fault == "raises" and self._steps == 3:
            raise RuntimeError("the pump\nis broken. Sorry.")
        if self._fault == "nan" and self._steps == 3:
            self._level = np.nan
        trips = np.array([0.0, 2.0 * (self._level > 0.8)])
        info: dict[str, Any] = {"plant": {"trips": trips}} if self._fault != "no key" else {"other": 1}
        if self._fault == "cost":
            info["cost"] = float(self._level > 0.7)
        return self._seen(float(action[0, 0])), 1.0, self._level > 2, self._steps >= self._limit, info

    def _seen(self, valve: float) -> dict[str, Any]:
        return {"level": np.array([self._level], np.float32), "flow": np.array([valve, -valve])}


class Chooser(Plant):
    """One of several actions."""

    def __init__(self) -> None:
        super().__init__(fault="discrete")


class Nested(Plant):
    """Its observation is a Dict with a Tuple in it, and a part that is called as the reward."""

    def __init__(self) -> None:
        super().__init__()
        wide = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        one = spaces.Box(-9, 9, (1,), np.float32)
        self.observation_space = spaces.Dict([("level", one), ("pumps", spaces.Tuple([one, wide])), ("reward", one)])

    def _seen(self, valve: float) -> dict[str, Any]:
        level, bonus = np.array([self._level], np.float32), np.array([-1.0], np.float32)
        return {"level": level, "pumps": (np.ones(1, np.float32), np.array([2.0, 3.0])), "reward": bonus}


def fill(observation: Any) -> list[float]:
    """Open the valve."""
    assert observation.shape == (3,)
    return [9.0]


def wobble(observation: Any, random: np.random.Generator) -> float:
    """Anything."""
    return float(random.uniform(0, 10))


class Ramp:
    """Opens the valve step by step, from 4 on in each episode."""

    def __init__(self) -> None:
        self.valve = 3.0

    def __call__(self, observation: Any) -> np.ndarray:
        self.valve += 1.0
        return np.array([self.valve])


def wrong(observation: Any) -> str:
    """No action."""
    return "open"


NOTHING = 3
