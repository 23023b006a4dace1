"""Value functions: expectile regression, bootstrapped targets, value-and-critic pairs."""

from surefoot.values.pair import (
    ValuePair,
    estimation_target,
    expectile_loss,
    init_pair,
    reachability_target,
    reward_target,
    step_critic,
    step_value,
)

__all__ = [
    "ValuePair",
    "estimation_target",
    "expectile_loss",
    "init_pair",
    "reachability_target",
    "reward_target",
    "step_critic",
    "step_value",
]
