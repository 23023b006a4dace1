"""Vectorised simulators of NumPy for tests of the collection: a point on a line that pays for going right, too far."""

from types import TracebackType
from typing import Self

import numpy as np

from surefoot.envs.vector import IDLE, Step, WorkerDeath
from surefoot.tasks import CostLimit, Task

LINE = Task("Line", 2, 1, 5, return_min=0.0, return_max=5.0, constraints=(CostLimit(1.0),), cost_return_max=5.0)
"""Observation: place and step / 5. Reward: the action. Cost: 1 beyond place 1. Episodes of 5 steps."""


class LineSimulators:
    """`lanes` of them, as `VectorSimulator`; `seeds` lists every episode begun. At step number `lost` (of all lanes
    together, from 0) the first lane's worker dies; at step `fails` the whole process does."""

    def __init__(self, lanes: int, *, lost: int | None = None, fails: int | None = None) -> None:
        self.lanes, self.lost, self.fails = lanes, lost, fails
        self.num_envs = lanes
        self.deaths: list[WorkerDeath] = []
        self.seeds: list[int] = []
        self.steps_done = 0
        self._start = self._place = np.zeros(lanes)
        self._step = np.zeros(lanes, int)
        self._idle = np.zeros(lanes, bool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def reset(self, seeds: np.ndarray) -> np.ndarray:
        self._start = self._begin(seeds)
        self._place, self._step = self._start.copy(), np.zeros(self.lanes, int)
        self._idle = np.asarray(seeds) == IDLE
        return self._observation()

    def step(self, actions: np.ndarray, next_seeds: np.ndarray) -> Step:
        assert np.abs(actions).max() <= 1.0
        if self.steps_done == self.fails:
            raise RuntimeError("the process was killed")
        reward = actions[:, 0].astype(np.float64)
        self._place, self._step = self._place + reward, self._step + 1
        restarted = np.arange(self.lanes) == (0 if self.steps_done == self.lost else -1)
        self._place = np.where(restarted, self._start, self._place)
        self._step = np.where(restarted, 0, self._step)
        entered, ended = self._observation(), (self._step == LINE.horizon) & ~self._idle
        cost = (self._place > 1.0).astype(float)
        fresh = self._begin(np.asarray(next_seeds)[ended])
        self._start[ended] = self._place[ended] = fresh
        self._step[ended] = 0
        self._idle[ended] = np.asarray(next_seeds)[ended] == IDLE
        self.steps_done += 1
        return Step(entered, reward, cost, np.zeros(self.lanes, bool), ended, self._observation(), restarted)

    def _begin(self, seeds: np.ndarray) -> np.ndarray:
        self.seeds += [seed for seed in seeds.tolist() if seed != IDLE]
        return np.array([np.random.default_rng(seed).uniform(-0.1, 0.1) if seed != IDLE else 0.0 for seed in seeds])

    def _observation(self) -> np.ndarray:
        return np.stack([self._place, self._step / LINE.horizon], 1).astype(np.float32)
