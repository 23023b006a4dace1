"""Cost limits on the sum over an episode, and the equivalent limit of a discounted critic."""

from dataclasses import dataclass
from typing import Annotated, Literal

from surefoot.errors import ConfigError, option
from surefoot.ranges import COUNT, Range, Ranged

LimitForm = Literal["finite", "infinite"]
"""finite: of an episode of the horizon. infinite: of a process that never ends."""


def discounted_cost_limit(cost_limit: float, *, discount: float, horizon: int, form: LimitForm = "finite") -> float:
    """The discounted sum of an episode that spends its limit evenly.

    `cost_limit` is the undiscounted sum over an episode of `horizon` steps; with discount 1 it is returned as it is.

    finite: kappa (1 - gamma^H) / ((1 - gamma) H), of the episode's own steps. infinite: kappa / ((1 - gamma) H), as
    if the episode went on so for ever, which is what a critic says that bootstraps across timeouts.
    """
    if discount >= 1.0:
        return cost_limit
    share = 1.0 - discount**horizon if form == "finite" else 1.0
    return cost_limit * share / ((1.0 - discount) * horizon)


@dataclass(frozen=True)
class LimitConfig(Ranged):
    """The limit on an episode's cost that a policy is trained for."""

    cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """Allowed sum of costs over an episode; the task's in the strict protocol, where it has one."""
    horizon: Annotated[int, Range(COUNT)] = 1000
    """Longest episode that the limit is spread over, in environment steps; the task's."""
    limit_form: LimitForm = "infinite"
    """What the limit means for a discounted critic. infinite: kappa / ((1 - gamma) H). finite: the same times
    1 - gamma^H."""

    def discounted(self, discount: float) -> float:
        """The limit of a critic with this discount. Raises `ConfigError` where there is none."""
        limit = self.require()
        return discounted_cost_limit(limit, discount=discount, horizon=self.horizon, form=self.limit_form)

    def require(self) -> float:
        """The limit. Raises `ConfigError` where there is none."""
        if self.cost_limit is None:
            raise ConfigError(
                f"{option('cost_limit')}: expected the cost that an episode may have, found none; the task has no "
                f"limit on costs."
            )
        return self.cost_limit
