"""Cost limits: the episode's sum and what it means for a discounted critic."""


def discounted_cost_limit(cost_limit: float, *, discount: float, horizon: int) -> float:
    """kappa (1 - gamma^H) / ((1 - gamma) H): the discounted sum of an episode that spends its limit evenly.

    `cost_limit` is the undiscounted sum over an episode of `horizon` steps; with discount 1 it is returned as it is.
    """
    if discount >= 1.0:
        return cost_limit
    return cost_limit * (1.0 - discount**horizon) / ((1.0 - discount) * horizon)
