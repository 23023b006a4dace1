"""Presets: named changes to an algorithm's defaults, each with its source. The command line wins over them."""

from typing import Any

from surefoot.algorithms import ALGORITHMS
from surefoot.errors import check_name
from surefoot.presets.bc import BC_PRESETS
from surefoot.presets.fisor import FISOR_PRESETS
from surefoot.tasks import Task

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "bc": BC_PRESETS,
    "fisor": FISOR_PRESETS,
}
"""Algorithm -> preset -> fields to change."""

DEFAULT_PRESET = "small"
"""Minutes on two CPU cores."""


def build(algorithm: str, task: Task, *, preset: str = DEFAULT_PRESET) -> Any:
    """The algorithm with a preset's hyper-parameters; what the task alone decides is taken from the task.

    Raises UnknownNameError, listing the near names, for an algorithm or preset that does not exist.
    """
    kind = ALGORITHMS[check_name("algorithm", algorithm, ALGORITHMS)]
    presets = PRESETS[algorithm]
    changes = dict(presets[check_name(f"preset of {algorithm}", preset, presets)])
    if algorithm == "fisor":
        changes = {"horizon": task.horizon, "cost_limit": task.cost_limit} | changes
    return kind(**changes)
