"""Budgets given at run time: the remaining budget, ratios of a task's maximum, and the conversion from sums to
discounted sums of costs.

A budget is a sum of costs over a whole episode. With costs c and the discount d of whoever plans, what is left before
step t is b_t = (b_0 - sum_{i<t} d^i c_i) / d^t, so that b_{t+1} = (b_t - c_t) / d: in the units of an expected cost
from here to the episode's end (Lin et al., ICML 2023, section 4). d = 1 are plain costs; infinity is no limit.
"""

import math
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from surefoot.constraints.limits import discounted_cost_limit
from surefoot.errors import ConfigError, option
from surefoot.tasks import Task

BudgetConversion = Literal["table", "even", "discounted"]
"""Conversion of a sum of costs to a discounted sum, for planners that discount. `table`: by the factor measured for the
task (even where there is none). `even`: as if the episode spent evenly over its horizon. `discounted`: ratios of the
table's discounted maximum."""

TABLE_DISCOUNT = 0.99
"""The discount for which the tasks' conversion factors were measured."""

Costs = Float[Array, " n"] | Float[np.ndarray, " n"]


class BudgetState(NamedTuple):
    """Cost spent so far in n episodes."""

    spent: Costs
    """sum_{i<t} d^i c_i."""
    weight: Costs
    """d^t."""


def begin_budget(count: int) -> BudgetState:
    """Cost spent before the first step of `count` episodes: none."""
    return BudgetState(jnp.zeros(count), jnp.ones(count))


def remaining_budget(state: BudgetState, total: Costs) -> Costs:
    """Remaining budget b_t = (b_0 - sum_{i<t} d^i c_i) / d^t of each episode (Lin et al., ICML 2023, section 4).

    Args:
        state: Cost spent so far in n episodes.
        total: b_0 [n], or a total that the user changed during the episode: earlier costs count against it; inf: no
            limit.

    Returns:
        Remaining budgets [n], inf where the total is, below 0 where more was spent.
    """
    return (total - state.spent) / state.weight


def pay(state: BudgetState, cost: Costs, *, discount: float) -> BudgetState:
    """Account for the cost of one step.

    Args:
        state: Cost spent before the step.
        cost: Cost of the step [n].
        discount: d per environment step, in (0, 1].

    Returns:
        Cost spent after the step.
    """
    return BudgetState(state.spent + state.weight * cost, state.weight * discount)


def cost_of_ratio(ratio: float, task: Task) -> float:
    """Undiscounted cost of an episode that a ratio of the task's maximum budget allows.

    Args:
        ratio: Share of the maximum, at least 0; inf: no limit.
        task: Task with its table of budgets.

    Returns:
        Cost allowed over an episode.

    Raises:
        ConfigError: The task has no maximum, or the product is too large.
    """
    if task.budget is None:
        raise ConfigError(
            f"{option('budget')}: task {task.name} has no maximum budget that a ratio could refer to; "
            f"give the cost of an episode with {option('cost_limit')}."
        )
    cost = ratio * task.budget.maximum
    if math.isinf(cost) and not math.isinf(ratio):
        raise ConfigError(
            f"{option('budget')}: expected a ratio of the task's maximum (inf for no limit), found {ratio:g}."
        )
    return cost


def planner_budget(
    cost: float, task: Task, *, discount: float, conversion: BudgetConversion = "table", ratio: float | None = None
) -> float:
    """Budget b_0 in the units of a planner with discount d, from the undiscounted cost of an episode.

    With d = 1 or no limit, b_0 is `cost` itself. Otherwise `conversion` decides:

    - `table`: `cost` times the task's measured share of discounted in undiscounted costs, which holds for d = 0.99;
      `even` for other discounts and for tasks without one.
    - `even`: `cost` (1 - d^H) / ((1 - d) H), costs spread evenly over the horizon of H steps.
    - `discounted`: a share of the table's discounted maximum.

    Args:
        cost: Undiscounted cost allowed over an episode; inf: no limit.
        task: Task with its horizon and its table of budgets.
        discount: d per environment step, in (0, 1].
        conversion: How costs become discounted ones.
        ratio: Share of the maximum for `discounted`; None: that of `cost`.

    Returns:
        b_0.

    Raises:
        ConfigError: `discounted` was asked for and the task has no discounted maximum.
    """
    if discount >= 1.0 or math.isinf(cost):
        return cost
    if conversion == "discounted":
        if task.budget is None or task.budget.maximum_discounted is None:
            raise ConfigError(
                f"{option('budget_conversion')} discounted: task {task.name} has no discounted maximum budget."
            )
        share = cost / task.budget.maximum if ratio is None else ratio
        return share * task.budget.maximum_discounted
    measured = None if task.budget is None else task.budget.conversion
    if conversion == "table" and measured is not None and math.isclose(discount, TABLE_DISCOUNT):
        return cost * measured
    return discounted_cost_limit(cost, discount=discount, horizon=task.horizon)


def check_budgets(values: object, *, name: str) -> np.ndarray:
    """Budgets at the start of episodes, checked.

    Args:
        values: Numbers of any shape; inf: no limit.
        name: What error messages call them.

    Returns:
        float64 array of the shape of `values`.

    Raises:
        ConfigError: A budget is missing, not a number, NaN or negative.
    """
    array = check_remaining(values, name=name)
    if (array < 0).any():
        raise ConfigError(f"{name}: expected at least 0 (inf for no limit), found {array[array < 0].flat[0]:g}.")
    return array


def check_remaining(values: object, *, name: str) -> np.ndarray:
    """Remaining budgets, checked; they are negative once a budget was exceeded.

    Args:
        values: Numbers of any shape; inf: no limit.
        name: What error messages call them.

    Returns:
        float64 array of the shape of `values`.

    Raises:
        ConfigError: A budget is missing, not a number or NaN.
    """
    if values is None:
        raise ConfigError(f"{name}: expected the cost that is allowed (inf for no limit), found none.")
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}: expected a number (inf for no limit), found {values!r}.") from error
    if np.isnan(array).any():
        raise ConfigError(f"{name}: expected a number (inf for no limit), found NaN.")
    return array
