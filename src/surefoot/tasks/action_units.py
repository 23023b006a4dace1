"""Conversion between policy actions in [-1, 1] and plant actions in the units of a task file."""

from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float

from surefoot.tasks.task_file import ActionTable


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
