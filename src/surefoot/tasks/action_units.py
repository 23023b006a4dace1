"""Conversion between policy actions in [-1, 1] and plant actions in the units of a task file."""

from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float

from surefoot.tasks.task_file import ActionTable, TaskFile


class ActionUnits(NamedTuple):
    """Bounds and rates of the actions of a task file."""

    low: Float[np.ndarray, " act"]
    """Becomes -1."""
    high: Float[np.ndarray, " act"]
    """Becomes 1."""
    rate_limit: Float[np.ndarray, " act"]
    """Largest change from one step to the next; inf: none."""

    @classmethod
    def of(cls, table: ActionTable) -> Self:
        """The units of the `[action]` table."""
        width = len(table.columns)
        return cls(
            np.array(table.low or [-1.0] * width, np.float64),
            np.array(table.high or [1.0] * width, np.float64),
            np.array(table.rate_limit or [np.inf] * width, np.float64),
        )

    @classmethod
    def with_rates(cls, file: TaskFile | None) -> Self | None:
        """The units of a task file that limits how much an action changes in a step; None of another."""
        return None if file is None or not file.action.rate_limit else cls.of(file.action)

    def physical(self, actions: Float[np.ndarray, "*n act"]) -> Float[np.ndarray, "*n act"]:
        """Actions of [-1, 1] in the plant's units."""
        return self.low + (np.clip(np.asarray(actions, np.float64), -1, 1) + 1) * 0.5 * (self.high - self.low)

    def normalized(self, actions: Float[np.ndarray, "*n act"]) -> Float[np.ndarray, "*n act"]:
        """Actions of the plant in [-1, 1]."""
        return 2 * (actions - self.low) / (self.high - self.low) - 1

    def limited(
        self, actions: Float[np.ndarray, "*n act"], before: Float[np.ndarray, "*n act"] | None
    ) -> Float[np.ndarray, "*n act"]:
        """Plant actions clipped to the bounds and, from the actions `before`, to the rate limits."""
        actions = np.clip(actions, self.low, self.high)
        return actions if before is None else np.clip(actions, before - self.rate_limit, before + self.rate_limit)

    def applied_after(
        self, chosen: Float[np.ndarray, "*n act"], before: Float[np.ndarray, "*n act"]
    ) -> Float[np.ndarray, "*n act"]:
        """What is applied of the `chosen` actions after those `before`; all in [-1, 1]."""
        limited = self.limited(self.physical(chosen), self.physical(before))
        return self.normalized(limited).astype(np.float32)


class AppliedActions:
    """What n environments side by side apply of the actions that are chosen for them, under rate limits."""

    def __init__(self, units: ActionUnits, count: int) -> None:
        self._units = units
        self._before = np.zeros((count, len(units.low)))
        """In the plant's units."""
        self.normalized = np.zeros((count, len(units.low)), np.float32)
        """Of the last step, in [-1, 1]; zeros before any."""

    def take(self, chosen: Float[np.ndarray, "n act"], first: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "n act"]:
        """The applied actions, in [-1, 1], for those `chosen` in [-1, 1]; `first`: where an episode begins, whose first
        action has none before it."""
        free = self._units.physical(chosen)
        self._before = self._units.limited(free, np.where(first[:, None], free, self._before))
        self.normalized = self._units.normalized(self._before).astype(np.float32)
        return self.normalized
