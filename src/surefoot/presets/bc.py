"""Presets of behaviour cloning."""

from typing import Any

from surefoot.presets.fisor import SMALL_POLICY

BC_PRESETS: dict[str, dict[str, Any]] = {
    "small": {"policy_updates": 5_000, "policy_batch_size": 256, "diffusion": SMALL_POLICY},
    # The policy's share of FISOR's paper settings, for comparison at the same sizes.
    "paper": {"policy_updates": 200_000, "policy_batch_size": 512},
    # OSRL's deterministic actor, its sizes and rates (03a4586).
    "legacy": {"policy_network": "deterministic", "policy_updates": 100_000, "policy_batch_size": 512},
}

MULTI_TASK_PRESETS: dict[str, dict[str, Any]] = {
    # A cost of 50 is told as 1: limits of all suites are of that order.
    "small": BC_PRESETS["small"] | {"cost_unit": 50.0},
    "paper": BC_PRESETS["paper"] | {"cost_unit": 50.0},
    "legacy": BC_PRESETS["legacy"],
}
