"""Presets of COptiDICE: one of each name for all tasks."""

from typing import Any

COPTIDICE_PRESETS: dict[str, dict[str, Any]] = {
    # Minutes on two CPU cores for three seeds.
    "small": {"updates": 20_000, "batch_size": 256, "hidden": (128, 128), "learning_rate": 3e-4},
    # OSRL's sizes with what the paper means: the class's own defaults.
    "paper": {},
    # What OSRL's code does (03a4586).
    "legacy": {
        "squash": "executed",
        "limit_per": "episode",
        "limit_form": "finite",
        "first_states": "share",
        "timeouts_terminal": True,
    },
}
"""Preset -> fields to change."""
