"""Returns of imagined trajectories: lambda-returns, weights of imagined steps, and their scale over training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def lambda_returns(
    reward: Float[Array, "h n"],
    value: Float[Array, "states n"],
    discount: Float[Array, "h n"],
    *,
    mixing: float,
) -> Float[Array, "states n"]:
    """G_t = r_{t+1} + d_{t+1} [(1 - lambda) V_{t+1} + lambda G_{t+1}] and G_H = V_H, for t = 0, ..., H (TD(lambda),
    Sutton; DreamerV3, equation 7).

    Row t of `reward` and `discount` (gamma times the probability of going on) is what arriving in state t + 1 brings;
    `value` [H + 1, n] is that of every state.
    """

    def step(later: Float[Array, " n"], inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        reward, next_value, discount = inputs
        now = reward + discount * ((1.0 - mixing) * next_value + mixing * later)
        return now, now

    _, returns = jax.lax.scan(step, value[-1], (reward, value[1:], discount), reverse=True)
    return jnp.concatenate([returns, value[-1:]])


def step_weights(discount: Float[Array, "h n"], going_on: Float[Array, " n"]) -> Float[Array, "states n"]:
    """How much each imagined state counts: gamma to the number of steps times the probability of getting there.

    `going_on` is 1 - terminated of the states started from, `discount` is gamma times the probability of going on of
    every later one. No gradient goes through.
    """
    return jax.lax.stop_gradient(jnp.cumprod(jnp.concatenate([going_on[None], discount]), 0))


class Spread(NamedTuple):
    """A moving average of the range that returns lie in: float32 scalars."""

    low: Float[Array, ""]
    """Of the 5th percentile."""
    high: Float[Array, ""]
    """Of the 95th percentile."""


def init_spread() -> Spread:
    """Before any return was seen."""
    return Spread(jnp.zeros(()), jnp.zeros(()))


def update_spread(spread: Spread, values: Float[Array, "*n"], *, rate: float) -> Spread:
    """The share `rate` of the new percentiles enters."""
    low, high = jnp.percentile(jax.lax.stop_gradient(values), jnp.array([5.0, 95.0]))
    return Spread(spread.low + rate * (low - spread.low), spread.high + rate * (high - spread.high))


def scale_of(spread: Spread) -> Float[Array, ""]:
    """What advantages are divided by: the range, at least 1, so that small returns are not blown up
    (DreamerV3, equation 11)."""
    return jnp.maximum(1.0, spread.high - spread.low)
