"""Parts of BCRL: scales of the data, a scaled batch, networks of costs and of actions."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.nn import MLP, Dense
from surefoot.ranges import Range, Ranged
from surefoot.types import Transition


@dataclass(frozen=True)
class BudgetConfig(Ranged):
    """Units and range of budgets."""

    form: Literal["deterministic", "stochastic"] = "deterministic"
    """Networks take the budget, or its slack above the least cost to come where dynamics are random."""
    cost_discount: Annotated[float, Range("(0, 1]")] = 0.99
    """Of costs and of the budget, per environment step; 1: plain costs, for tasks whose costs can end."""
    cost_expectile: Annotated[float, Range("(0, 0.5]")] = 0.2
    """Lower expectile of the least cost (the paper's: 0.4 for few transitions to 0.2 for a million and more)."""
    budget_margin: Annotated[float, Range("[0, inf)")] = 0.0
    """Taken off the budget as it is held against the least cost, in units of the cost."""


class BudgetStatistics(NamedTuple):
    """Statistics of the data that turn budgets into tokens, kept in the state."""

    mean: Float[Array, " obs"]
    std: Float[Array, " obs"]
    largest_budget: Float[Array, ""]
    """Budgets above this are not told apart: no episode of the data costs more, discounted or not."""
    reward: Float[Array, ""]
    """Standard deviation of the rewards, which are divided by it."""


class Head(NamedTuple):
    """A deterministic policy: dense layers, ReLU between them, tanh at the end."""

    layers: tuple[Dense, ...]

    def __call__(self, x: Float[Array, "n in"]) -> Float[Array, "n act"]:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return jnp.tanh(self.layers[-1](x))


class Scaled(NamedTuple):
    """A batch with standardized observations and rewards."""

    observation: Float[Array, "b obs"]
    action: Float[Array, "b act"]
    next_observation: Float[Array, "b obs"]
    reward: Float[Array, " b"]
    cost: Float[Array, " b"]
    continues: Float[Array, " b"]

    @staticmethod
    def of(batch: Transition, statistics: BudgetStatistics) -> "Scaled":
        """Scale a batch by the statistics of the data.

        Args:
            batch: Transitions, [b, ...].
            statistics: Scales of observations and rewards.

        Returns:
            The scaled batch.
        """
        seen = [normalized(rows, statistics) for rows in (batch.observation, batch.next_observation)]
        reward = batch.reward / statistics.reward
        return Scaled(seen[0], batch.action, seen[1], reward, batch.cost, 1.0 - batch.terminated)


def normalized(observation: Float[Array, "n obs"], statistics: BudgetStatistics) -> Float[Array, "n obs"]:
    """Observations with mean 0 and standard deviation 1 over the data.

    Args:
        observation: Raw observations, [n, obs].
        statistics: Statistics of the data.

    Returns:
        Standardized observations, [n, obs].
    """
    return (observation - statistics.mean[None]) / statistics.std[None]


def joined(*parts: Float[Array, "n ..."]) -> Float[Array, "n in"]:
    """Arrays [n] and [n, ...] beside each other, the input of a network [n, in]."""
    return jnp.concatenate([part[:, None] if part.ndim == 1 else part for part in parts], -1)


def cost_value(network: MLP, observation: Float[Array, "n obs"]) -> Float[Array, " n"]:
    """V_c >= 0 of observations.

    Args:
        network: Its absolute output is V_c.
        observation: Standardized observations, [n, obs].

    Returns:
        Least costs to come, [n].
    """
    return jnp.abs(network(observation))


def cost_critic(network: MLP, observation: Float[Array, "n obs"], action: Float[Array, "n act"]) -> Float[Array, " n"]:
    """Q_c >= 0 of actions, the largest of the ensemble.

    Args:
        network: Ensemble; its absolute outputs are Q_c.
        observation: Standardized observations, [n, obs].
        action: Actions in [-1, 1], [n, act].

    Returns:
        Least costs to come after the actions, [n].
    """
    return jnp.abs(network(joined(observation, action))).max(0)
