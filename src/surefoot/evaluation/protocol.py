"""Evaluation protocols of the field: cost limits, and an episode's normalized return and cost.

strict (FISOR): one small cost limit a task, 10 for navigation and velocity tasks, 5 for the others. dsrl (Liu et al.,
2024, arXiv 2306.09303): the benchmark's three limits, with results averaged over them. A policy that takes a budget is
given each limit, in episodes of its own; episodes of other policies are scored against each limit.
"""

from typing import Literal

from surefoot.errors import ConfigError, option
from surefoot.protocols import PlansUnderBudget, TrainedForLimit
from surefoot.tasks import Task

ProtocolName = Literal["strict", "dsrl"]
_OWN_TASKS = (1.0, 2.0, 4.0)
"""Limits of the dsrl protocol in a task file's limit: DSRL's are 10, 20 and 40, or 20, 40 and 80."""


def cost_limits(task: Task, protocol: ProtocolName) -> tuple[float, ...]:
    """Cost limits of a protocol on a task.

    Args:
        task: The task.
        protocol: strict or dsrl.

    Returns:
        Limits on the undiscounted cost of an episode.

    Raises:
        ConfigError: The task has no limit in this protocol.
    """
    limits = (task.cost_limit,) if protocol == "strict" else task.dsrl_cost_limits
    if protocol == "dsrl" and task.file is not None and task.cost_limit > 0:
        limits = tuple(times * task.cost_limit for times in _OWN_TASKS)
    if not limits:
        name = option("protocol")
        raise ConfigError(f"{name} {protocol}: task {task.name} is not in it; use {name} strict.")
    return limits


def normalised_return(value: float, task: Task) -> float:
    """Normalized return (R - R_min) / (R_max - R_min).

    Args:
        value: Undiscounted return R.
        task: Task with its reference returns, which become 0 and 1.

    Returns:
        The normalized return.
    """
    return (value - task.return_min) / (task.return_max - task.return_min)


def normalised_cost(value: float, limit: float) -> float:
    """Normalized cost (C + e) / (kappa + e), e = 1 only if kappa = 0.

    Args:
        value: Undiscounted cost C of an episode.
        limit: kappa.

    Returns:
        The normalized cost; at most 1 is safe.
    """
    extra = 1.0 if limit == 0 else 0.0
    return (value + extra) / (limit + extra)


def limit_use(algorithm: object) -> str:
    """How an algorithm uses a limit on an episode's cost, in words for tables."""
    if isinstance(algorithm, PlansUnderBudget):
        return "given at run time"
    if isinstance(algorithm, TrainedForLimit) and algorithm.trained_limit is not None:
        return f"trained for one limit ({algorithm.trained_limit:g})"
    return "trained for none"
