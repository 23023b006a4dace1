"""Limits on costs, and multipliers that enforce them."""

from surefoot.constraints.augmented import (
    AugmentedConfig,
    AugmentedState,
    augmented_init,
    augmented_penalty,
    augmented_update,
)
from surefoot.constraints.episode_pid import (
    EpisodePIDConfig,
    EpisodePIDState,
    episode_pid_init,
    episode_pid_update,
)
from surefoot.constraints.limits import discounted_cost_limit
from surefoot.constraints.pid import PIDGains, PIDState, pid_init, pid_update

__all__ = [
    "AugmentedConfig",
    "AugmentedState",
    "EpisodePIDConfig",
    "EpisodePIDState",
    "PIDGains",
    "PIDState",
    "augmented_init",
    "augmented_penalty",
    "augmented_update",
    "discounted_cost_limit",
    "episode_pid_init",
    "episode_pid_update",
    "pid_init",
    "pid_update",
]
