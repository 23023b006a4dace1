"""Constraints of a task: a sum of costs within a limit, a signal h <= 0, or a budget given at run time."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from surefoot.ranges import Range, Ranged


@dataclass(frozen=True)
class CostLimit(Ranged):
    """The costs of an episode sum to at most `limit`."""

    limit: Annotated[float, Range("[0, inf)")] = 0.0
    """Largest safe sum over an episode, in the task's units of cost; strict protocol (FISOR's)."""
    name: str = "cost"
    column: str = "costs"
    """Key of the costs in the data, one a step, each at least 0."""
    unit: str = ""
    kind: Literal["cost"] = "cost"


@dataclass(frozen=True)
class Signal(Ranged):
    """A continuous signal h is at most 0 in every state."""

    name: str = "h"
    column: str = "constraints"
    """Key of h in the data, one number a state entered; > 0 is a violation."""
    unit: str = ""
    """Of h, as "m"."""
    scale: Annotated[float | None, Range("(0, inf)")] = None
    """Size of h that counts as large, in its unit; None: taken from the data."""
    kind: Literal["signal"] = "signal"


@dataclass(frozen=True)
class RunTimeBudget(Ranged):
    """A limit on the sum of costs that is given at run time, often as a ratio of `maximum`."""

    maximum: Annotated[float, Range("(0, inf)")]
    """Sum of costs over an episode that a ratio of 1 means."""
    maximum_discounted: Annotated[float | None, Range("(0, inf)")] = None
    """The sum at discount 0.99 that a ratio of 1 means."""
    conversion: Annotated[float | None, Range("(0, inf)")] = None
    """Discounted sum over undiscounted sum, at discount 0.99; None where it was not measured."""
    name: str = "budget"
    column: str = "costs"
    """Key of the costs in the data, one a step, each at least 0."""
    unit: str = ""
    kind: Literal["budget"] = "budget"

    @property
    def limit(self) -> float:
        """The limit of a ratio of 0.5, a substitute where a fixed limit is asked for."""
        return 0.5 * self.maximum


Constraint: TypeAlias = CostLimit | Signal | RunTimeBudget
"""What must hold in a task."""
