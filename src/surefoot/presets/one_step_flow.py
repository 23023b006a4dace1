"""Presets of the one-step flow policy: FISOR's critics and weights, a student in place of its diffusion policy."""

from typing import Any

from surefoot.algorithms.one_step_flow import StudentConfig
from surefoot.presets.costs import COSTS_PRESETS
from surefoot.presets.fisor import FISOR_PRESETS

_CHOICE: dict[str, Any] = {"extraction": "first_feasible", "num_candidates": 4, "safer_step": 0.0}
_SMALL = StudentConfig(hidden=(128, 128), learning_rate=1e-3)
"""Networks of a size with FISOR's small ones."""


def _with_student(changes: dict[str, Any]) -> dict[str, Any]:
    """FISOR's preset without its diffusion policy."""
    kept = {name: value for name, value in changes.items() if name != "diffusion"}
    return kept | _CHOICE | {"student": _SMALL}


# "paper": SafeFQL's sizes, discount and expectiles, which are the classes' own defaults.
ONE_STEP_FLOW_PRESETS: dict[str, dict[str, Any]] = {
    # The best of few draws and their siblings. Source: measured on PointRobot (docs/exact-set.md).
    "small": _with_student(FISOR_PRESETS["small"]) | {"extraction": "feasible_first", "safer_step": 1.0},
    "paper": {},
}
ONE_STEP_FLOW_COSTS: dict[str, dict[str, Any]] = {
    "small": _with_student(COSTS_PRESETS["fisor"]["small"]),
    "paper": {},
}
"""For tasks whose data know costs alone."""
