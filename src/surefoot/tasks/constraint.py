"""Constraints of a task: a limit on the sum of costs, a signal h <= 0, or a budget given at run time."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from surefoot.ranges import Range, Ranged


@dataclass(frozen=True)
class CostLimit(Ranged):
    """Constraint that the costs of an episode sum to at most `limit`."""

    limit: Annotated[float, Range("[0, inf)")] = 0.0
    """Largest safe undiscounted cost of an episode, in the task's units of cost; FISOR's strict protocol."""
    name: str = "cost"
    """Name in reports."""
    column: str = "costs"
    """Key of the costs in the data, one a step, each at least 0."""
    unit: str = ""
    """Unit of the costs; empty where not known."""
    kind: Literal["cost"] = "cost"


@dataclass(frozen=True)
class Signal(Ranged):
    """Constraint that a continuous signal h is at most 0 in every state."""

    name: str = "h"
    """Name in reports."""
    column: str = "constraints"
    """Key of h in the data, one number a state entered; > 0 is a violation."""
    unit: str = ""
    """Unit of h, such as "m"."""
    scale: Annotated[float | None, Range("(0, inf)")] = None
    """Size of h that counts as large, in its unit; None: measured on the data."""
    kind: Literal["signal"] = "signal"


@dataclass(frozen=True)
class RunTimeBudget(Ranged):
    """Constraint on the sum of costs with a limit given at run time, often as a ratio of `maximum`."""

    maximum: Annotated[float, Range("(0, inf)")]
    """Undiscounted cost of an episode that a ratio of 1 means."""
    maximum_discounted: Annotated[float | None, Range("(0, inf)")] = None
    """Cost of an episode at discount 0.99 that a ratio of 1 means."""
    conversion: Annotated[float | None, Range("(0, inf)")] = None
    """Discounted sum over undiscounted sum of costs, at discount 0.99; None where it was not measured."""
    name: str = "budget"
    """Name in reports."""
    column: str = "costs"
    """Key of the costs in the data, one a step, each at least 0."""
    unit: str = ""
    """Unit of the costs; empty where not known."""
    kind: Literal["budget"] = "budget"

    @property
    def limit(self) -> float:
        """Limit of a ratio of 0.5, for uses that need a fixed limit."""
        return 0.5 * self.maximum


Constraint: TypeAlias = CostLimit | Signal | RunTimeBudget
"""Any constraint of a task."""
