"""Environments of one task side by side behind one protocol: pure JAX, simulators, and worker processes."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from surefoot.envs.workers.local import IDLE, Step

__all__ = ["IDLE", "Step", "VectorEnv", "WorkerDeath"]


class WorkerDeath(NamedTuple):
    """Death of a worker process."""

    task: str
    seeds: tuple[int, ...]
    """Seeds of its episodes, each of which begins again."""
    how: str
    """Its signal or exit code, and its last output."""

    @property
    def sentence(self) -> str:
        """Sentence for users."""
        seeds = ", ".join(map(str, self.seeds))
        return f"a process that simulates {self.task} died ({self.how}); its episodes begin again, seeds {seeds}."


class VectorEnv(Protocol):
    """Environments of one task. An episode is a function of its seed and of its actions, wherever it runs."""

    @property
    def num_envs(self) -> int: ...
    @property
    def deaths(self) -> Sequence[WorkerDeath]:
        """Workers that have died so far."""
        ...

    def reset(self, seeds: Int[np.ndarray, " n"], /) -> Float[np.ndarray, "n obs"]:
        """Begin the episode of each seed.

        Args:
            seeds: Seeds, [n]; `IDLE` begins none.

        Returns:
            First observations, flat, [n, obs]; float32, or uint8 for images.
        """
        ...

    def step(self, actions: Float[np.ndarray, "n act"], next_seeds: Int[np.ndarray, " n"], /) -> Step:
        """One step of every environment; where an episode ends, that of its next seed begins.

        Args:
            actions: Actions in [-1, 1], [n, act].
            next_seeds: Seeds of the episodes that follow, [n]; `IDLE` begins none.

        Returns:
            Results, [n].
        """
        ...
