"""Evaluation protocols of the field: cost limits, and an episode's return and cost as scores.

strict (FISOR): one small cost limit a task, 10 for navigation and velocity tasks, 5 for the others. dsrl (Liu et al.,
2024, arXiv 2306.09303): the benchmark's three limits, results averaged over them. A policy that takes a budget is told
each limit, in episodes of their own; of any other the same episodes are scored against each.
"""

from typing import Literal

from surefoot.errors import ConfigError, option
from surefoot.protocols import PlansUnderBudget, TrainedForLimit
from surefoot.tasks import Task

ProtocolName = Literal["strict", "dsrl"]
_OWN_TASKS = (1.0, 2.0, 4.0)
"""Limits of the dsrl protocol in a task file's limit: DSRL's are 10, 20 and 40, or 20, 40 and 80."""


def cost_limits(task: Task, protocol: ProtocolName) -> tuple[float, ...]:
    """The limits on an episode's cost. Raises `ConfigError` where the task has none in this protocol."""
    limits = (task.cost_limit,) if protocol == "strict" else task.dsrl_cost_limits
    if protocol == "dsrl" and task.file is not None and task.cost_limit > 0:
        limits = tuple(times * task.cost_limit for times in _OWN_TASKS)
    if not limits:
        name = option("protocol")
        raise ConfigError(f"{name} {protocol}: task {task.name} is not in it; use {name} strict.")
    return limits


def normalised_return(value: float, task: Task) -> float:
    """(R - R_min) / (R_max - R_min): 0 and 1 at the task's reference returns."""
    return (value - task.return_min) / (task.return_max - task.return_min)


def normalised_cost(value: float, limit: float) -> float:
    """(C + e) / (kappa + e), e = 1 only if kappa = 0: at most 1 is safe."""
    extra = 1.0 if limit == 0 else 0.0
    return (value + extra) / (limit + extra)


def limit_use(algorithm: object) -> str:
    """What an algorithm does with a limit on an episode's cost, for tables."""
    if isinstance(algorithm, PlansUnderBudget):
        return "given at run time"
    if isinstance(algorithm, TrainedForLimit) and algorithm.trained_limit is not None:
        return f"trained for one limit ({algorithm.trained_limit:g})"
    return "trained for none"
