"""A simulator in NumPy with the interface of `surefoot.envs.vector.VectorEnv`, and a plain loop over one episode.

The state is a number that starts at (seed % 5) / 10 and moves by the action's first number; an observation is the
state and the share of the episode that is over. Reward: the state entered; cost 1 above 1.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from surefoot.envs.vector import Step, WorkerDeath
from surefoot.tasks import CostLimit, Environment, Reference, Task
from surefoot.types import Policy

TASK = Task(
    "Fake", 2, 1, 6, return_min=0.0, return_max=10.0, constraints=(CostLimit(2.0),),
    environment=Environment(Reference("fake_vector:FakeSimulator"), "simulator"), dsrl_cost_limits=(1.0, 2.0, 4.0),
)  # fmt: skip


class Fixed(NamedTuple):
    """An algorithm that is its policy."""

    fixed: Policy

    def policy(self, state: Any) -> Policy:
        return self.fixed


class FakeSimulator:
    """One lane; a Gymnasium environment that draws its state as a grey picture."""

    metadata = {"render_fps": 10.0}  # noqa: RUF012

    def reset(self, *, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        # Episodes last 4 to 6 steps; those of even seeds terminate, the others are truncated.
        self.seed, self.length, self.steps = seed, 4 + seed % 3, 0
        self.state = (seed % 5) / 10
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.state += float(np.clip(action[0], -1, 1))
        self.steps += 1
        over = self.steps == self.length
        ends = over and self.seed % 2 == 0, over and self.seed % 2 == 1
        return self._observation(), self.state, *ends, {"cost": float(self.state > 1)}

    def render(self) -> np.ndarray:
        return np.full((60, 80, 3), 100 + self.steps, np.uint8)

    def close(self) -> None:
        self.closed = True

    def _observation(self) -> np.ndarray:
        return np.array([self.state, self.steps / self.length], np.float32)


class FakeVector:
    """Lanes of it. `deaths_at` are numbers of steps (1 is the first) at which every lane's episode begins again."""

    def __init__(self, num_envs: int, *, deaths_at: Sequence[int] = ()) -> None:
        self.num_envs = num_envs
        self.deaths: list[WorkerDeath] = []
        self.lanes = [FakeSimulator() for _ in range(num_envs)]
        self._deaths_at = set(deaths_at)
        self._steps = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.lanes = []

    def reset(self, seeds: np.ndarray) -> np.ndarray:
        self._seeds = np.array(seeds)
        return np.stack([self._begin(lane, seed) for lane, seed in enumerate(seeds)])

    def step(self, actions: np.ndarray, next_seeds: np.ndarray) -> Step:
        self._steps += 1
        assert actions.shape == (self.num_envs, 1)
        zeros, falses = np.zeros(self.num_envs), np.zeros(self.num_envs, bool)
        step = Step(
            np.zeros((self.num_envs, 2), np.float32), zeros, zeros.copy(), falses, falses.copy(),
            np.zeros((self.num_envs, 2), np.float32), falses.copy(),
        )  # fmt: skip
        for lane, simulator in enumerate(self.lanes):
            if self._seeds[lane] < 0:
                continue
            if self._steps in self._deaths_at:
                step.restarted[lane] = True
                step.reward[lane] = step.cost[lane] = 1e6  # what is to be thrown away
                step.observation[lane] = step.start_observation[lane] = self._begin(lane, self._seeds[lane])
                continue
            (
                step.observation[lane], step.reward[lane], step.terminated[lane], step.truncated[lane], info,
            ) = simulator.step(actions[lane])  # fmt: skip
            step.cost[lane] = info["cost"]
            step.start_observation[lane] = step.observation[lane]
            if step.terminated[lane] or step.truncated[lane]:
                self._seeds[lane] = next_seeds[lane]
                step.start_observation[lane] = self._begin(lane, next_seeds[lane])
        if self._steps in self._deaths_at:
            self.deaths.append(WorkerDeath("Fake", tuple(self._seeds.tolist()), "killed by signal 9"))
        return step

    def _begin(self, lane: int, seed: int) -> np.ndarray:
        return np.zeros(2, np.float32) if seed < 0 else self.lanes[lane].reset(seed=int(seed))[0]
