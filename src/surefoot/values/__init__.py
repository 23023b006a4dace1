"""Value functions: expectile regression, bootstrapped targets, value-and-critic pairs."""

from surefoot.values.expectile import expectile_loss
from surefoot.values.pair import ValuePair, init_pair, step_critic, step_value
from surefoot.values.targets import reachability_target, reward_target

__all__ = [
    "ValuePair",
    "expectile_loss",
    "init_pair",
    "reachability_target",
    "reward_target",
    "step_critic",
    "step_value",
]
