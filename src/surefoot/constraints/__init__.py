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
from surefoot.constraints.limits import LimitConfig, LimitForm, discounted_cost_limit
from surefoot.constraints.multipliers import (
    ErrorPIDState,
    ExponentialConfig,
    PIDGains,
    PIDState,
    error_pid_init,
    error_pid_update,
    exponential_update,
    pid_init,
    pid_update,
)

__all__ = [
    "AugmentedConfig",
    "AugmentedState",
    "EpisodePIDConfig",
    "EpisodePIDState",
    "ErrorPIDState",
    "ExponentialConfig",
    "LimitConfig",
    "LimitForm",
    "PIDGains",
    "PIDState",
    "augmented_init",
    "augmented_penalty",
    "augmented_update",
    "discounted_cost_limit",
    "episode_pid_init",
    "episode_pid_update",
    "error_pid_init",
    "error_pid_update",
    "exponential_update",
    "pid_init",
    "pid_update",
]
