"""FISOR's values from returns along the logged trajectories instead of one-step backups; beyond the paper.

returns_along    G_h = (1 - gamma) h + gamma max(h, (1 - lambda) V_h(s') + lambda G_h')      worst h to come
                 G_r = r + gamma m [(1 - lambda) V_r(s') + lambda G_r'], and G_c of violating steps alike
step_values      V_h, V_c lower and V_r an upper expectile of G given s; Q_h, Q_c, Q_r its mean given (s, a)
return_weights   inside the region exp(alpha_r A_r) of what stays inside, outside exp(-alpha_h A_c), with A = G - V

A single action hardly changes what comes, so that differences between actions drown in the errors of a chain of
backups. The advantage of a trajectory's own way on is that of all its actions together.
"""

from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from surefoot.algorithms.fisor_values import ValueSettings, annealed_discount, value_optimizer
from surefoot.ranges import Range, check_fields
from surefoot.types import BEFORE, Metrics, Transition
from surefoot.values import ValuePair, step_critic, step_value

Discount = float | Float[Array, ""]
STRETCH = 1024
"""Rows of the data after which a return is cut and V(s') stands for the rest, where weights are computed: a return
forgets within some hundred steps, and stretches are computed side by side."""


@dataclass(frozen=True)
class ReturnsConfig:
    """How values learn from returns along logged trajectories."""

    window: Annotated[int, Range("[2, 65536]")] = field(default=32, metadata={BEFORE: 32})
    """Consecutive transitions of which all are learned from in an update; what comes after them is bootstrapped."""
    mixing: Annotated[float, Range("[0, 1]")] = field(default=0.95, metadata={BEFORE: 0.95})
    """lambda: 0 bootstraps after every step, 1 at the end of the window or episode only."""
    cost_expectile: Annotated[float, Range("[0.5, 1)")] = field(default=0.7, metadata={BEFORE: 0.7})
    """Lower expectile of V_c (recovery = cost)."""
    largest_weight: Annotated[float, Range("[1, inf)")] = field(default=20.0, metadata={BEFORE: 20.0})
    """Where weights exp(alpha A) of trajectories end (advantage = return)."""

    def __post_init__(self) -> None:
        check_fields(self, part="returns")


class Signals(NamedTuple):
    """What happens at T consecutive steps of n trajectories."""

    h: Float[Array, "n T"]
    violating: Float[Array, "n T"]
    """1 in a step that violates the constraint."""
    reward: Float[Array, "n T"]
    final: Bool[Array, "n T"]
    """Nothing follows."""
    cut: Bool[Array, "n T"]
    """What follows is not in the next column."""


class Triple(NamedTuple):
    """Of h, of violating steps and of rewards, each of one shape."""

    h: Array
    cost: Array
    reward: Array


class Pairs(NamedTuple):
    """Values with their critics; None for what is not learned."""

    constraint: ValuePair
    recovery: ValuePair | None
    reward: ValuePair | None


def side_by_side(values: Float[Array, " N"], width: int) -> Float[Array, "n T"]:
    """Numbers of consecutive rows in lines of `width`, the last one filled up with zeros."""
    lines = -(-values.shape[0] // width)
    return jnp.pad(values, (0, lines * width - values.shape[0])).reshape(lines, width)


def signals_of(rows: Transition, width: int, *, count_state_left: bool, timeouts_terminal: bool) -> Signals:
    """Of consecutive transitions [N], whatever episodes they are of, side by side; a line's end cuts what follows."""
    h = jnp.maximum(rows.constraint, rows.constraint_before) if count_state_left else rows.constraint
    ended = jnp.maximum(rows.terminated, rows.truncated)
    cut = side_by_side(ended.at[-1].set(1.0), width) > 0
    return Signals(
        h=side_by_side(h, width),
        violating=side_by_side((rows.constraint > 0).astype(jnp.float32), width),
        reward=side_by_side(rows.reward, width),
        final=side_by_side(ended if timeouts_terminal else rows.terminated, width) > 0,
        cut=cut.at[:, -1].set(True),
    )


def returns_along(
    signals: Signals, following: Triple, *, mixing: float, discount: float, reachability_discount: Discount
) -> Triple:
    """G of h, of violating steps and of rewards at every step [n, T]; `following` [n, T] is V of the states entered."""

    def step(later: Triple, now: tuple[Signals, Triple]) -> tuple[Triple, Triple]:
        signal, value = now
        ahead = jax.tree.map(lambda v, g: jnp.where(signal.cut, v, (1.0 - mixing) * v + mixing * g), value, later)
        continues = 1.0 - signal.final.astype(jnp.float32)
        worst = (1.0 - reachability_discount) * signal.h + reachability_discount * jnp.maximum(signal.h, ahead.h)
        found = Triple(
            jnp.where(signal.final, signal.h, worst),
            signal.violating + discount * continues * ahead.cost,
            signal.reward + discount * continues * ahead.reward,
        )
        return found, found

    columns = jax.tree.map(lambda values: values.T, (signals, following))
    first = jax.tree.map(lambda values: jnp.zeros_like(values[0]), columns[1])
    _, found = jax.lax.scan(step, first, columns, reverse=True)
    return jax.tree.map(lambda values: values.T, found)


def values_of(pairs: Pairs, observation: Float[Array, "b obs"]) -> Triple:
    """V_h, V_c (at least 0) and V_r; 0 where they are not learned."""
    zeros = jnp.zeros(observation.shape[0])
    return Triple(
        pairs.constraint.value(observation).max(0),
        zeros if pairs.recovery is None else jnp.maximum(pairs.recovery.value(observation).max(0), 0.0),
        zeros if pairs.reward is None else pairs.reward.value(observation),
    )


def relief_of(pair: ValuePair, observation: Float[Array, "b obs"], action: Float[Array, "b act"]) -> Float[Array, " b"]:
    """V_c - Q_c: how many violating steps, discounted, an action avoids."""
    inputs = jnp.concatenate([observation, action], -1)
    return pair.value(observation).max(0) - pair.critic_target(inputs).max(0)


def returns_of(
    rows: Transition, following: Triple, width: int, *, config: ValueSettings, mixing: float, discount: Discount
) -> Triple:
    """G of h, of violating steps and of rewards, each [N], of consecutive transitions in lines of `width`.

    `following` is V of the states entered, `discount` the reachability's.
    """
    states = {"count_state_left": config.count_state_left, "timeouts_terminal": config.timeouts_terminal}
    lines = jax.tree.map(lambda values: side_by_side(values, width), following)
    found = returns_along(
        signals_of(rows, width, **states),
        lines,
        mixing=mixing,
        discount=config.discount,
        reachability_discount=discount,
    )
    return jax.tree.map(lambda values: values.reshape(-1)[: rows.reward.shape[0]], found)


def step_values(
    pairs: Pairs, rows: Transition, *, config: ValueSettings, returns: ReturnsConfig
) -> tuple[Pairs, Metrics]:
    """One step of every value and critic on the returns of windows, whose transitions `rows` are one after another."""
    optimizer = value_optimizer(config, config.value_updates)
    discount = annealed_discount(config, pairs.constraint.updates)
    following = values_of(pairs, rows.next_observation)
    target = returns_of(rows, following, returns.window, config=config, mixing=returns.mixing, discount=discount)
    inputs = jnp.concatenate([rows.observation, rows.action], -1)

    def stepped(pair: ValuePair, target: Array, expectile: float, prefix: str) -> tuple[ValuePair, Metrics]:
        lower = prefix != "reward"
        pair, value_metrics = step_value(
            pair, rows.observation, target, expectile=expectile, lower=lower, optimizer=optimizer, prefix=prefix
        )
        pair, critic_metrics = step_critic(
            pair, inputs, target, target_rate=config.target_rate, optimizer=optimizer, prefix=prefix
        )
        return pair, value_metrics | critic_metrics

    constraint, metrics = stepped(pairs.constraint, target.h, config.constraint_expectile, "constraint")
    recovery, reward = pairs.recovery, pairs.reward
    if recovery is not None:
        recovery, more = stepped(recovery, target.cost, returns.cost_expectile, "recovery")
        metrics |= more
    if reward is not None:
        reward, more = stepped(reward, target.reward, config.expectile, "reward")
        metrics |= more
    return Pairs(constraint, recovery, reward), metrics


def return_weights(
    returns: Triple,
    values: Triple,
    *,
    margin: float | Float[Array, ""],
    reward_temperature: float,
    constraint_temperature: float,
    largest: float,
    by_cost: bool,
) -> Float[Array, " N"]:
    """Weights of transitions by the advantage of the trajectory's own way on.

    Inside the region (V_h <= -margin) 1[G_h <= -margin] exp(alpha_r A_r), A_r = (G_r - V_r - mean) / spread over what
    stays inside; outside exp(alpha_h A_h), A_h = (V_c - G_c) / spread, or with h in place of costs. At most `largest`.
    """
    inside = values.h <= -margin
    stays = inside & (returns.h <= -margin)
    reward_mean, reward_spread = _mean_and_spread(returns.reward - values.reward, stays)
    earns = jnp.exp(reward_temperature * (returns.reward - values.reward - reward_mean) / reward_spread)
    relief = values.cost - returns.cost if by_cost else values.h - returns.h
    _, relief_spread = _mean_and_spread(relief, ~inside)
    escapes = jnp.exp(constraint_temperature * relief / relief_spread)
    return jnp.where(inside, stays * jnp.minimum(earns, largest), jnp.minimum(escapes, largest))


def _mean_and_spread(values: Float[Array, " N"], rows: Bool[Array, " N"]) -> tuple[Array, Array]:
    """Over the marked rows; 0 and 1 where fewer than two are marked."""
    marked = rows.astype(jnp.float32)
    count = jnp.maximum(marked.sum(), 1.0)
    mean = (marked * values).sum() / count
    variance = (marked * (values - mean) ** 2).sum() / count
    some = (marked.sum() > 1) & (variance > 0)
    return jnp.where(some, mean, 0.0), jnp.where(some, jnp.sqrt(variance), 1.0)
