"""Environments of one task side by side, behind one protocol: pure JAX, simulators, and worker processes."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from surefoot.envs.workers.local import IDLE, Step

__all__ = ["IDLE", "Step", "VectorEnv", "WorkerDeath"]


class WorkerDeath(NamedTuple):
    """What is known of a worker process that died."""

    task: str
    seeds: tuple[int, ...]
    """Of the episodes that it ran; each begins again."""
    how: str
    """Its signal or exit code, and its last words."""

    @property
    def sentence(self) -> str:
        """What a user is told."""
        seeds = ", ".join(map(str, self.seeds))
        return f"a process that simulates {self.task} died ({self.how}); its episodes begin again, seeds {seeds}."


class VectorEnv(Protocol):
    """Environments of one task. An episode is a function of its seed and of its actions, wherever it runs."""

    @property
    def num_envs(self) -> int: ...
    @property
    def deaths(self) -> Sequence[WorkerDeath]:
        """The workers that died so far."""
        ...

    def reset(self, seeds: Int[np.ndarray, " n"], /) -> Float[np.ndarray, "n obs"]:
        """Begin the episode of each seed (`IDLE`: none). First observations, flat; float32, uint8 for images."""
        ...

    def step(self, actions: Float[np.ndarray, "n act"], next_seeds: Int[np.ndarray, " n"], /) -> Step:
        """One step of every environment; where an episode ends, that of its next seed begins, or none."""
        ...
