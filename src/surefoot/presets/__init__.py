"""Presets: named changes to an algorithm's defaults, each with its source. The command line wins over them."""

from typing import Any

from surefoot.algorithms import ALGORITHMS, algorithm_class
from surefoot.errors import check_name
from surefoot.presets.bc import BC_PRESETS
from surefoot.presets.costs import COSTS_PRESETS
from surefoot.presets.fisor import FISOR_PRESETS
from surefoot.presets.fosp import FOSP_PRESETS, PIXELS_PRESETS, SAFEDREAMER_PRESETS, for_larger, for_vectors
from surefoot.presets.trebi import TREBI_PRESETS, TREBI_TASK_PRESETS
from surefoot.presets.vision import VISION_PRESETS
from surefoot.tasks import Task

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "bc": BC_PRESETS,
    "fisor": FISOR_PRESETS,
    "fosp": FOSP_PRESETS,
    "safedreamer": SAFEDREAMER_PRESETS,
    "trebi": TREBI_PRESETS,
}
"""Algorithm -> preset -> fields to change."""

DEFAULT_PRESET = "small"
"""Minutes on two CPU cores."""


def presets_of(algorithm: str, task: Task) -> dict[str, dict[str, Any]]:
    """The presets of an algorithm on a task by name; tasks whose data know costs alone have some of their own, and so
    have TREBI's. World models read vectors where the task has no images, and have a size of their own for a simulator's
    cameras. One of another package has its own defaults alone."""
    if algorithm not in ALGORITHMS:
        return {DEFAULT_PRESET: {}}
    if algorithm in ("fosp", "safedreamer") and task.image_shape is None:
        return {name: for_vectors(changes) for name, changes in PRESETS[algorithm].items()}
    if task.vision is not None:
        return PRESETS[algorithm] | VISION_PRESETS.get(algorithm, {})
    if algorithm in PIXELS_PRESETS and task.image_shape is not None and task.name.startswith("PointRobotPixels"):
        own = PIXELS_PRESETS[algorithm]
        size = task.image_shape[0]
        return PRESETS[algorithm] | {name: for_larger(changes, size=size) for name, changes in own.items()}
    if algorithm == "trebi":
        return PRESETS[algorithm] | TREBI_TASK_PRESETS.get(task.name, {})
    return PRESETS[algorithm] | ({} if task.has_signal else COSTS_PRESETS.get(algorithm, {}))


def build(algorithm: str, task: Task, *, preset: str = DEFAULT_PRESET) -> Any:
    """The algorithm with a preset's hyper-parameters; what the task alone decides is taken from the task.

    Raises UnknownNameError, listing the near names, for an algorithm or preset that does not exist.
    """
    kind = algorithm_class(algorithm)
    presets = presets_of(algorithm, task)
    changes = dict(presets[check_name(f"preset of {algorithm}", preset, presets)])
    if algorithm == "fisor":
        changes = {"horizon": task.horizon, "cost_limit": task.cost_limit} | changes
        if not task.deterministic:  # what was driven once may go otherwise the next time
            changes |= {"trajectory_bound": False, "value_bound": False}
    return kind(**changes)
