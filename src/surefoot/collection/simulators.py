"""What a collection asks of simulators that run side by side."""

from typing import Protocol

import numpy as np


class Step(Protocol):
    """One step of n simulators, as `surefoot.envs.vector.VectorStep`."""

    @property
    def observation(self) -> np.ndarray: ...
    @property
    def reward(self) -> np.ndarray: ...
    @property
    def cost(self) -> np.ndarray: ...
    @property
    def terminated(self) -> np.ndarray: ...
    @property
    def truncated(self) -> np.ndarray: ...
    @property
    def start_observation(self) -> np.ndarray: ...
    @property
    def restarted(self) -> np.ndarray: ...


class Simulators(Protocol):
    """n simulators side by side, as `surefoot.envs.vector.VectorSimulator`."""

    def reset(self, seeds: np.ndarray) -> np.ndarray: ...
    def step(self, actions: np.ndarray, next_seeds: np.ndarray) -> Step: ...
