"""Presets: named changes to an algorithm's defaults, each with its source. The command line wins over them."""

import operator
from functools import reduce
from typing import Any

from surefoot.algorithms import algorithm_class
from surefoot.errors import check_name
from surefoot.hyperparameters import change
from surefoot.presets.baselines import BCQ_LAG_PRESETS, BEAR_LAG_PRESETS, CPQ_PRESETS, standardized
from surefoot.presets.bc import BC_PRESETS, MULTI_TASK_PRESETS
from surefoot.presets.bcrl import BCRL_PRESETS
from surefoot.presets.cdt import CDT_PRESETS
from surefoot.presets.coptidice import COPTIDICE_PRESETS
from surefoot.presets.costs import COSTS_PRESETS
from surefoot.presets.fisor import FISOR_PRESETS
from surefoot.presets.fosp import FOSP_PRESETS, PIXELS_PRESETS, SAFEDREAMER_PRESETS, for_larger, for_vectors
from surefoot.presets.one_step_flow import ONE_STEP_FLOW_COSTS, ONE_STEP_FLOW_PRESETS
from surefoot.presets.trebi import TREBI_PRESETS, TREBI_TASK_PRESETS
from surefoot.presets.vision import VISION_PRESETS
from surefoot.tasks import Task

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "bc": BC_PRESETS,
    "bc_multi_task": MULTI_TASK_PRESETS,
    "bcq_lag": BCQ_LAG_PRESETS,
    "bear_lag": BEAR_LAG_PRESETS,
    "cpq": CPQ_PRESETS,
    "bcrl": BCRL_PRESETS,
    "cdt": CDT_PRESETS,
    "coptidice": COPTIDICE_PRESETS,
    "fisor": FISOR_PRESETS,
    "fosp": FOSP_PRESETS,
    "one_step_flow": ONE_STEP_FLOW_PRESETS,
    "safedreamer": SAFEDREAMER_PRESETS,
    "trebi": TREBI_PRESETS,
}
"""Algorithm -> preset -> fields to change."""

TRAINED_FOR_A_LIMIT = ("bcq_lag", "bear_lag", "coptidice", "cpq")
"""Baselines that take the task's limit on costs as they are trained."""

DEFAULT_PRESET = "small"
"""Preset that trains in minutes on two CPU cores."""


COSTS, VECTORS, OWN = "costs", "vectors", "own"
"""Rows of tasks whose data have costs but no signal h (`COSTS`), whose observations are vectors (`VECTORS`), and that
come from task files (`OWN`), whose units were not chosen for learning."""

_Presets = dict[str, dict[str, Any]]
TASK_PRESETS: dict[tuple[str, str], _Presets] = {
    **{(algorithm, COSTS): presets for algorithm, presets in COSTS_PRESETS.items()},
    ("one_step_flow", COSTS): ONE_STEP_FLOW_COSTS,
    **{
        (algorithm, VECTORS): {name: for_vectors(changes) for name, changes in PRESETS[algorithm].items()}
        for algorithm in ("fosp", "safedreamer")
    },
    **{(algorithm, OWN): standardized(PRESETS[algorithm]) for algorithm in ("bc", "bc_multi_task", "cdt")},
    **{(algorithm, OWN): standardized(PRESETS[algorithm], reward_scale=1.0) for algorithm in TRAINED_FOR_A_LIMIT},
    **{(algorithm, "cameras"): presets for algorithm, presets in VISION_PRESETS.items()},
    **{(algorithm, "pixels 32"): presets for algorithm, presets in PIXELS_PRESETS.items()},
    **{
        (algorithm, "pixels 64"): {name: for_larger(changes) for name, changes in presets.items()}
        for algorithm, presets in PIXELS_PRESETS.items()
    },
    **{("trebi", task): presets for task, presets in TREBI_TASK_PRESETS.items()},
}
"""(algorithm, row) -> presets that take the place of those of the same names. A task's rows are `COSTS`, `VECTORS` and
`OWN` where they apply, its name, and `Task.presets`; later ones win."""


def presets_of(algorithm: str, task: Task) -> _Presets:
    """Presets of an algorithm on a task.

    Args:
        algorithm: Name of the algorithm; one of another package has its own defaults alone.
        task: Task of the data.

    Returns:
        Name of a preset -> fields to change.
    """
    rows = [] if task.has_signal else [COSTS]
    rows += [VECTORS] if task.image_shape is None else []
    rows += [OWN] if task.file is not None else []
    rows += [task.name] if task.presets is None else [task.name, task.presets]
    changes = (TASK_PRESETS.get((algorithm, row), {}) for row in rows)
    return reduce(operator.or_, changes, PRESETS.get(algorithm, {DEFAULT_PRESET: {}}))


def build(algorithm: str, task: Task, *, preset: str = DEFAULT_PRESET) -> Any:
    """Algorithm with a preset's hyper-parameters and with what the task decides, such as its horizon and limit.

    Args:
        algorithm: Name of the algorithm.
        task: Task of the data.
        preset: Name of the preset.

    Returns:
        The algorithm.

    Raises:
        UnknownNameError: There is no such algorithm or preset; the message lists near names.
    """
    kind = algorithm_class(algorithm)
    presets = presets_of(algorithm, task)
    changes = dict(presets[check_name(f"preset of {algorithm}", preset, presets)])
    if algorithm in ("fisor", "one_step_flow"):
        changes = {"horizon": task.horizon, "cost_limit": task.cost_limit} | changes
        if not task.deterministic:  # what was driven once may go otherwise the next time
            changes |= {"trajectory_bound": False, "value_bound": False}
    elif algorithm in TRAINED_FOR_A_LIMIT:
        changes = {"horizon": task.horizon, "cost_limit": task.known_cost_limit} | changes
    return change(kind(), **changes)
