"""Presets of the baselines: one of each name for all tasks."""

from typing import Any

from surefoot.nn import VAEConfig

_SMALL: dict[str, Any] = {
    "updates": 15_000,
    "batch_size": 128,
    "hidden": (128, 128),
    "target_rate": 0.01,
    "vae": VAEConfig(hidden=128),
}
"""Minutes on two CPU cores for three seeds."""

_REFERENCE_CODE: dict[str, Any] = {
    "cost_reduction": "min",
    "limit_form": "finite",
    "timeouts_terminal": True,
    "reference_code": True,
}
"""What OSRL's code does (03a4586), whatever the method."""

# "paper": the classes' own defaults, OSRL's sizes with what the papers mean.
CPQ_PRESETS: dict[str, dict[str, Any]] = {
    "small": _SMALL | {"actor_learning_rate": 3e-4, "num_actions": 5},
    "paper": {},
    "legacy": _REFERENCE_CODE,
}
BCQ_LAG_PRESETS: dict[str, dict[str, Any]] = {
    "small": _SMALL | {"num_candidates": 5},
    "paper": {},
    "legacy": _REFERENCE_CODE,
}
BEAR_LAG_PRESETS: dict[str, dict[str, Any]] = {
    "small": _SMALL | {"num_candidates": 5, "actor_learning_rate": 3e-4},
    "paper": {},
    "legacy": _REFERENCE_CODE,
}


def standardized(presets: dict[str, dict[str, Any]], **others: Any) -> dict[str, dict[str, Any]]:
    """Presets for data in units that nobody chose: inputs in units of their spread.

    Args:
        presets: Preset -> fields to change; `legacy` stays what it is.
        others: Further fields to change.

    Returns:
        Preset -> fields to change.
    """
    changes = {"standardize": True, **others}
    return {name: given if name == "legacy" else given | changes for name, given in presets.items()}
