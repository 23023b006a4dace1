"""Presets of behaviour cloning."""

from typing import Any

from surefoot.presets.fisor import SMALL_POLICY

BC_PRESETS: dict[str, dict[str, Any]] = {
    "small": {"policy_updates": 5_000, "policy_batch_size": 256, "diffusion": SMALL_POLICY},
    # The policy's share of FISOR's paper settings, for comparison at the same sizes.
    "paper": {"policy_updates": 200_000, "policy_batch_size": 512},
}
