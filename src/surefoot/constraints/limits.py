"""Cost limits on the sum over an episode, and the equivalent limit of a discounted critic."""

from dataclasses import dataclass
from typing import Annotated, Literal

from surefoot.errors import ConfigError, option
from surefoot.ranges import COUNT, Range, Ranged

LimitForm = Literal["finite", "infinite"]
"""Form of a discounted limit. finite: of an episode of the horizon. infinite: of a process that never ends."""


def discounted_cost_limit(cost_limit: float, *, discount: float, horizon: int, form: LimitForm = "finite") -> float:
    """Limit of a discounted critic that is equivalent to an episode's cost limit spent evenly.

    `finite` is kappa (1 - gamma^H) / ((1 - gamma) H), the discounted sum over the episode's own steps. `infinite` is
    kappa / ((1 - gamma) H), of a process that never ends, which a critic predicts that bootstraps across timeouts.

    Args:
        cost_limit: kappa, the undiscounted cost allowed over an episode.
        discount: gamma of the critic, in [0, 1]; with 1 the limit is kappa itself.
        horizon: H, environment steps of an episode.
        form: `finite` or `infinite`.

    Returns:
        Allowed discounted sum of costs.
    """
    if discount >= 1.0:
        return cost_limit
    share = 1.0 - discount**horizon if form == "finite" else 1.0
    return cost_limit * share / ((1.0 - discount) * horizon)


@dataclass(frozen=True)
class LimitConfig(Ranged):
    """The limit on an episode's cost that a policy is trained for."""

    cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """Allowed sum of costs over an episode. None: the task's in the strict protocol, where it has one."""
    horizon: Annotated[int, Range(COUNT)] = 1000
    """Longest episode that the limit is spread over, in environment steps; training sets the task's."""
    limit_form: LimitForm = "infinite"
    """Meaning of the limit for a discounted critic. infinite: kappa / ((1 - gamma) H). finite: kappa (1 - gamma^H) /
    ((1 - gamma) H)."""

    def discounted(self, discount: float) -> float:
        """Allowed discounted sum of costs for a critic with this discount. Raises `ConfigError` without a limit."""
        limit = self.require()
        return discounted_cost_limit(limit, discount=discount, horizon=self.horizon, form=self.limit_form)

    def require(self) -> float:
        """Allowed undiscounted sum of costs over an episode. Raises `ConfigError` without a limit."""
        if self.cost_limit is None:
            raise ConfigError(
                f"{option('cost_limit')}: expected the cost that an episode may have, found none; a preset takes the "
                f"task's limit, where it has one."
            )
        return self.cost_limit
