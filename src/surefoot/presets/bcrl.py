"""Presets of BCRL: one of each name for all tasks."""

from typing import Any

BCRL_PRESETS: dict[str, dict[str, Any]] = {
    # Minutes on two CPU cores for three seeds.
    "small": {
        "updates": 15_000,
        "batch_size": 256,
        "hidden": (128, 128),
        "learning_rate": 1e-3,
        "target_rate": 0.01,
        "temperature": 3.0,
    },
    # The paper's sizes and its settings for deterministic dynamics: the class's own defaults.
    "paper": {},
    # The paper's for random dynamics.
    "stochastic": {"form": "stochastic", "temperature": 3.0},
}
"""Preset -> fields to change."""
