"""Limits on costs, and multipliers that enforce them."""

from surefoot.constraints.augmented import (
    AugmentedConfig,
    AugmentedState,
    augmented_init,
    augmented_penalty,
    augmented_update,
)
from surefoot.constraints.limits import discounted_cost_limit
from surefoot.constraints.pid import PIDGains, PIDState, pid_init, pid_update

__all__ = [
    "AugmentedConfig",
    "AugmentedState",
    "PIDGains",
    "PIDState",
    "augmented_init",
    "augmented_penalty",
    "augmented_update",
    "discounted_cost_limit",
    "pid_init",
    "pid_update",
]
