"""Parts of BCRL: scales of the data, a batch as the networks are given it, networks of costs and of actions."""

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
    """Above which budgets are not told apart: no episode of the data costs more, discounted or not."""
    reward: Float[Array, ""]
    """Standard deviation of the rewards, which are divided by it."""


class Head(NamedTuple):
    """A deterministic policy."""

    layers: tuple[Dense, ...]

    def __call__(self, x: Float[Array, "n in"]) -> Float[Array, "n act"]:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return jnp.tanh(self.layers[-1](x))


class Scaled(NamedTuple):
    """A batch as the networks are given it."""

    observation: Float[Array, "b obs"]
    action: Float[Array, "b act"]
    next_observation: Float[Array, "b obs"]
    reward: Float[Array, " b"]
    cost: Float[Array, " b"]
    continues: Float[Array, " b"]

    @staticmethod
    def of(batch: Transition, statistics: BudgetStatistics) -> "Scaled":
        seen = [normalized(rows, statistics) for rows in (batch.observation, batch.next_observation)]
        reward = batch.reward / statistics.reward
        return Scaled(seen[0], batch.action, seen[1], reward, batch.cost, 1.0 - batch.terminated)


def normalized(observation: Float[Array, "n obs"], statistics: BudgetStatistics) -> Float[Array, "n obs"]:
    """Mean 0 and standard deviation 1 over the data."""
    return (observation - statistics.mean[None]) / statistics.std[None]


def joined(*parts: Float[Array, "n ..."]) -> Float[Array, "n in"]:
    """Inputs of a network."""
    return jnp.concatenate([part[:, None] if part.ndim == 1 else part for part in parts], -1)


def cost_value(network: MLP, observation: Float[Array, "n obs"]) -> Float[Array, " n"]:
    """V_c >= 0."""
    return jnp.abs(network(observation))


def cost_critic(network: MLP, observation: Float[Array, "n obs"], action: Float[Array, "n act"]) -> Float[Array, " n"]:
    """The larger Q_c >= 0."""
    return jnp.abs(network(joined(observation, action))).max(0)
