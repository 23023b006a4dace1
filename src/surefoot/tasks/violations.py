"""The cost of a step and h, from the values of all constraints of a task file: in data files and in environments."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from surefoot.tasks.task_file import ConstraintTable

VIOLATION = 1.0
"""h of a step with a cost that no signal calls a violation: the usual size of a signal."""


class Violations(NamedTuple):
    """Costs and signals of n steps, all constraints together."""

    costs: Float[np.ndarray, " n"]
    """The sum of all costs; 1 at least where a signal is above 0."""
    h: Float[np.ndarray, " n"] | None
    """The worst of all signals, and `VIOLATION` at least where something costs; None without signals."""
    signal: Float[np.ndarray, " n"] | None
    """The worst of all signals alone."""


def violations(values: Float[np.ndarray, "n c"], constraints: Sequence[ConstraintTable]) -> Violations:
    """Costs and signals of steps from the values of all constraints: signals relative to their scales, > 0 for a
    violation."""
    signals = [number for number, one in enumerate(constraints) if one.kind == "signal"]
    added = [number for number, one in enumerate(constraints) if one.kind == "cost"]
    costs = values[:, added].sum(1)
    if not signals:
        return Violations(costs, None, None)
    worst = values[:, signals].max(1)
    h = np.where((costs > 0) & (worst <= 0), VIOLATION, worst)
    return Violations(np.maximum(costs, (worst > 0).astype(np.float64)), h, worst)
