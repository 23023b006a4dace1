"""Episodes of a system of one's own, step by step: signals, costs and the learned feasible value."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from surefoot.data.npz_files import Field
from surefoot.nn import member
from surefoot.numerics import pinned
from surefoot.protocols import Acts, HasFeasibleValue
from surefoot.rollouts.host import Moment
from surefoot.tasks import Task

FILE = "along.npz"
EPISODES = 3
"""Number of episodes that are kept, of the first training seed."""
FIELDS = {
    "h": Field("f", ("episodes", "steps")),
    "cost": Field("f", ("episodes", "steps")),
    "feasible_value": Field("f", ("episodes", "steps"), optional=True),
}
"""Arrays of the file, NaN after an episode's end. Step t has the worst signal of the state that it entered (relative to
its scale), its cost, and V_h of the state in which it began."""


class StepRecorder:
    """Keeps the first seed's first episodes, one an environment, and counts steps whose cost in `info` contradicts the
    signals."""

    def __init__(self, task: Task, *, num_envs: int) -> None:
        file = task.file
        self._compares = file is not None and file.environment is not None and bool(file.environment.cost)
        self._compares &= bool(file is not None and file.signals)
        count = min(EPISODES, num_envs)
        self._rows: list[list[tuple[np.ndarray, float, float]]] = [[] for _ in range(count)]
        self._ended = [False] * count
        self.steps = self.differing = 0

    def __call__(self, memory: Any, moment: Moment, running: Bool[np.ndarray, " n"], longest: int) -> None:
        """Record one step of all environments.

        Args:
            memory: Memory of the policy; not read.
            moment: Observations and results of the step.
            running: Environments with an episode, [n].
            longest: Steps of the longest episode so far; not read.
        """
        step = moment.step
        constraint = np.full(len(running), -np.inf) if step.constraint is None else step.constraint
        if self._compares:
            counted = running & ~step.restarted
            self.steps += int(counted.sum())
            self.differing += int((counted & ((step.cost > 0) != (constraint > 0))).sum())
        for place, rows in enumerate(self._rows):
            if self._ended[place] or not running[place]:
                continue
            if step.restarted[place]:
                rows.clear()
                continue
            rows.append((np.array(moment.observation[place]), float(constraint[place]), float(step.cost[place])))
            self._ended[place] = bool(step.terminated[place] | step.truncated[place])

    def remark(self, task: Task) -> str | None:
        """A sentence on costs that contradict the signals; None where none do."""
        if not self.differing or task.file is None or task.file.environment is None:
            return None
        return (
            f"task {task.name}: {task.file.environment.cost} and the signals contradict each other in "
            f"{self.differing:,} of {self.steps:,} steps ({self.differing / self.steps:.2%}): one says that a state "
            f"is a violation, the other not; {task.file.environment.cost} counts"
        )

    @pinned()
    def arrays(self, algorithm: Acts, states: Any) -> dict[str, np.ndarray]:
        """Arrays of `FILE`, with V_h by the first seed.

        Args:
            algorithm: The policy's algorithm.
            states: States with a leading seed axis.

        Returns:
            Arrays by name, [episodes, steps].
        """
        longest = max(map(len, self._rows))
        found = {"h": self._padded(1, longest), "cost": self._padded(2, longest)}
        if isinstance(algorithm, HasFeasibleValue):
            state = member(states, 0)
            values = np.full((len(self._rows), longest), np.nan, np.float32)
            for place, rows in enumerate(self._rows):
                if rows:
                    padded = np.zeros((longest, len(rows[0][0])), np.float32)  # one shape: compiled once
                    padded[: len(rows)] = np.stack([one for one, _, _ in rows])
                    value = np.asarray(algorithm.feasible_value(state, jnp.asarray(padded)))
                    values[place, : len(rows)] = value[: len(rows)]
            found["feasible_value"] = values
        return found

    def _padded(self, column: int, longest: int) -> Float[np.ndarray, "e t"]:
        values = np.full((len(self._rows), longest), np.nan, np.float32)
        for place, rows in enumerate(self._rows):
            values[place, : len(rows)] = [row[column] for row in rows]
        return np.where(np.isinf(values), np.float32(np.nan), values)
