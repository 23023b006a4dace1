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
    },
    # The paper's sizes and its setting for deterministic dynamics.
    "paper": {"temperature": 8.0},
    # The paper's for random dynamics.
    "stochastic": {"form": "stochastic"},
}
"""Preset -> fields to change."""
