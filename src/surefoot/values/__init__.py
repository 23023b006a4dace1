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
from surefoot.values.returns import Spread, init_spread, lambda_returns, scale_of, step_weights, update_spread
from surefoot.values.two_hot import asymmetric_loss, masked_mean

__all__ = [
    "Spread",
    "ValuePair",
    "asymmetric_loss",
    "estimation_target",
    "expectile_loss",
    "init_pair",
    "init_spread",
    "lambda_returns",
    "masked_mean",
    "reachability_target",
    "reward_target",
    "scale_of",
    "step_critic",
    "step_value",
    "step_weights",
    "update_spread",
]
