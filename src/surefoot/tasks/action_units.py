"""Conversion between policy actions in [-1, 1] and plant actions in the units of a task file."""

from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float

from surefoot.tasks.task_file import ActionTable, TaskFile


class ActionUnits(NamedTuple):
    """Bounds and rates of the actions of a task file."""

    low: Float[np.ndarray, " act"]
    """Plant action that -1 stands for."""
    high: Float[np.ndarray, " act"]
    """Plant action that 1 stands for."""
    rate_limit: Float[np.ndarray, " act"]
    """Largest change from one step to the next; inf: none."""

    @classmethod
    def of(cls, table: ActionTable) -> Self:
        """Units of the `[action]` table."""
        width = len(table.columns)
        return cls(
            np.array(table.low or [-1.0] * width, np.float64),
            np.array(table.high or [1.0] * width, np.float64),
            np.array(table.rate_limit or [np.inf] * width, np.float64),
        )

    @classmethod
    def with_rates(cls, file: TaskFile | None) -> Self | None:
        """Units of a task file with rate limits of actions; None of another."""
        return None if file is None or not file.action.rate_limit else cls.of(file.action)

    def physical(self, actions: Float[np.ndarray, "*n act"]) -> Float[np.ndarray, "*n act"]:
        """Plant actions, in the plant's units, of actions in [-1, 1]."""
        return self.low + (np.clip(np.asarray(actions, np.float64), -1, 1) + 1) * 0.5 * (self.high - self.low)

    def normalized(self, actions: Float[np.ndarray, "*n act"]) -> Float[np.ndarray, "*n act"]:
        """Actions in [-1, 1] of plant actions."""
        return 2 * (actions - self.low) / (self.high - self.low) - 1

    def limited(
        self, actions: Float[np.ndarray, "*n act"], before: Float[np.ndarray, "*n act"] | None
    ) -> Float[np.ndarray, "*n act"]:
        """Plant actions within the bounds and the rate limits.

        Args:
            actions: Plant actions [*n, act].
            before: Plant actions of the previous step [*n, act]; None: no rate limit applies.

        Returns:
            Plant actions [*n, act].
        """
        actions = np.clip(actions, self.low, self.high)
        return actions if before is None else np.clip(actions, before - self.rate_limit, before + self.rate_limit)

    def applied_after(
        self, chosen: Float[np.ndarray, "*n act"], before: Float[np.ndarray, "*n act"]
    ) -> Float[np.ndarray, "*n act"]:
        """Actions that the plant applies under its rate limits.

        Args:
            chosen: Actions in [-1, 1], [*n, act].
            before: Applied actions of the previous step in [-1, 1], [*n, act].

        Returns:
            Applied actions in [-1, 1], [*n, act], float32.
        """
        limited = self.limited(self.physical(chosen), self.physical(before))
        return self.normalized(limited).astype(np.float32)

    def bounds_after(
        self, before: Float[np.ndarray, "*n act"], first: Bool[np.ndarray, "*n"]
    ) -> tuple[Float[np.ndarray, "*n act"], Float[np.ndarray, "*n act"]]:
        """Smallest and largest actions that the plant applies as they are.

        Args:
            before: Plant actions of the previous step [*n, act].
            first: Whether an episode begins [*n]; its first action is not rate-limited.

        Returns:
            (low, high), actions in [-1, 1], each [*n, act], float32.
        """
        free = np.asarray(first)[..., None]
        low = np.where(free, self.low, np.maximum(self.low, before - self.rate_limit))
        high = np.where(free, self.high, np.minimum(self.high, before + self.rate_limit))
        return self.normalized(low).astype(np.float32), self.normalized(high).astype(np.float32)


class AppliedActions:
    """Applied actions of n environments under rate limits, updated step by step."""

    def __init__(self, units: ActionUnits, count: int) -> None:
        self._units = units
        self.physical = np.zeros((count, len(units.low)))
        """Actions of the last step in the plant's units, float64; zeros before any."""
        self.normalized = np.zeros((count, len(units.low)), np.float32)
        """Of the last step, in [-1, 1]; zeros before any."""

    def take(self, chosen: Float[np.ndarray, "n act"], first: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "n act"]:
        """Apply the chosen actions of a step.

        Args:
            chosen: Actions in [-1, 1], [n, act].
            first: Whether an episode begins [n]; its first action is not rate-limited.

        Returns:
            Applied actions in [-1, 1], [n, act], float32.
        """
        free = self._units.physical(chosen)
        self.physical = self._units.limited(free, np.where(first[:, None], free, self.physical))
        self.normalized = self._units.normalized(self.physical).astype(np.float32)
        return self.normalized

    def bounds(self, first: Bool[np.ndarray, " n"]) -> tuple[Float[np.ndarray, "n act"], Float[np.ndarray, "n act"]]:
        """Smallest and largest next actions that are applied as they are, as of `ActionUnits.bounds_after`."""
        return self._units.bounds_after(self.physical, first)
