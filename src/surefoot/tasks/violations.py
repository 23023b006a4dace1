"""Cost of a step and constraint signal h, from the values of all constraints of a task file."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from surefoot.tasks.task_file import ConstraintTable

VIOLATION = 1.0
"""Value of h for a step with a cost that no signal shows as a violation: the usual size of a signal."""


class Violations(NamedTuple):
    """Costs and signals of n steps over all constraints."""

    costs: Float[np.ndarray, " n"]
    """Sum of all costs; at least 1 where a signal is above 0."""
    h: Float[np.ndarray, " n"] | None
    """Largest signal, and at least `VIOLATION` where there is a cost; None without signals."""
    signal: Float[np.ndarray, " n"] | None
    """Largest signal; None without signals."""


def violations(values: Float[np.ndarray, "n c"], constraints: Sequence[ConstraintTable]) -> Violations:
    """Costs and signals of steps.

    Args:
        values: Value of each constraint [n, c]; signals relative to their scales, > 0 for a violation.
        constraints: Tables of the constraints, c in all.

    Returns:
        Costs, h and the largest signal, each [n].
    """
    signals = [number for number, one in enumerate(constraints) if one.kind == "signal"]
    added = [number for number, one in enumerate(constraints) if one.kind == "cost"]
    costs = values[:, added].sum(1)
    if not signals:
        return Violations(costs, None, None)
    worst = values[:, signals].max(1)
    h = np.where((costs > 0) & (worst <= 0), VIOLATION, worst)
    return Violations(np.maximum(costs, (worst > 0).astype(np.float64)), h, worst)
