"""FISOR's values from returns along the logged trajectories instead of one-step backups; beyond the paper.

returns_along    G_h = (1 - gamma) h + gamma max(h, (1 - lambda) V_h(s') + lambda G_h')      worst h to come
                 G_r = r + gamma m [(1 - lambda) V_r(s') + lambda G_r'], and G_c of violating steps alike
step_values      V_h, V_c lower and V_r an upper expectile of G given s
step_critics     Q_h, Q_c, Q_r the mean of G given (s, a), once the values are finished
return_weights   inside the region exp(alpha_r A_r) of what stays inside, outside exp(-alpha_h A_c), with A = G - V

A single action hardly changes what comes, so that differences between actions drown in the errors of a chain of
backups. The advantage of a trajectory's own way on is that of all its actions together.
"""

from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from surefoot.algorithms.fisor_values import ValueSettings, value_optimizer
from surefoot.algorithms.fisor_weights import mean_and_spread
from surefoot.nn import MLP
from surefoot.ranges import COUNT, Range, check_fields
from surefoot.types import BEFORE, Metrics, Transition
from surefoot.values import ValuePair, step_critic, step_value

Discount = float | Float[Array, ""]
STRETCH = 1024
"""Rows of the data after which a return is cut and V(s') stands for the rest: a return forgets within some hundred
steps, and stretches are computed side by side."""


@dataclass(frozen=True)
class ReturnsConfig:
    """How values learn from returns along logged trajectories."""

    refresh_interval: Annotated[int, Range(COUNT)] = field(default=500, metadata={BEFORE: 500})
    """Updates between two computations of the returns of all rows, from a copy of the values that is frozen meanwhile.
    How often values are bootstrapped says how far they look: value_updates / refresh_interval times."""
    mixing: Annotated[float, Range("[0, 1]")] = field(default=0.95, metadata={BEFORE: 0.95})
    """lambda: 0 bootstraps after every step, 1 at the end of the episode only."""
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


class Frozen(NamedTuple):
    """Copies of V_h, V_c and V_r from which returns are bootstrapped; None for what is not learned."""

    constraint: MLP
    recovery: MLP | None
    reward: MLP | None
    updates: Int[Array, ""]
    """Of the values so far; 0 before the first, when returns are bootstrapped from a safe state without violations."""


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


def freeze(pairs: Pairs) -> Frozen:
    """The values as they are, in buffers of their own."""

    def copied(pair: ValuePair) -> MLP:
        return jax.tree.map(jnp.copy, pair.value)

    return Frozen(
        copied(pairs.constraint),
        None if pairs.recovery is None else copied(pairs.recovery),
        None if pairs.reward is None else copied(pairs.reward),
        jnp.copy(pairs.constraint.updates),
    )


def values_of(values: Frozen, observation: Float[Array, "b obs"]) -> Triple:
    """V_h, V_c (at least 0) and V_r; 0 where they are not learned."""
    zeros = jnp.zeros(observation.shape[0])
    return Triple(
        values.constraint(observation).max(0),
        zeros if values.recovery is None else jnp.maximum(values.recovery(observation).max(0), 0.0),
        zeros if values.reward is None else values.reward(observation),
    )


def bootstrapped(values: Frozen, found: Triple, *, first_reward: Float[Array, ""]) -> Triple:
    """What returns are bootstrapped from: `found`, or before the first update h = -1, no violation, `first_reward`."""
    first = Triple(jnp.asarray(-1.0), jnp.asarray(0.0), first_reward)
    return jax.tree.map(lambda one, other: jnp.where(values.updates > 0, one, other), found, first)


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
    pairs: Pairs, rows: Transition, targets: Triple, *, config: ValueSettings, returns: ReturnsConfig
) -> tuple[Pairs, Metrics]:
    """One step of V_h, V_c and V_r on the returns of a batch."""
    optimizer = value_optimizer(config, config.value_updates)
    metrics: Metrics = {}

    def stepped(pair: ValuePair, target: Array, expectile: float, prefix: str) -> ValuePair:
        pair, found = step_value(
            pair,
            rows.observation,
            target,
            expectile=expectile,
            lower=prefix != "reward",
            optimizer=optimizer,
            prefix=prefix,
        )
        metrics.update(found)
        return pair._replace(updates=pair.updates + 1)

    constraint = stepped(pairs.constraint, targets.h, config.constraint_expectile, "constraint")
    recovery, reward = pairs.recovery, pairs.reward
    if recovery is not None:
        recovery = stepped(recovery, targets.cost, returns.cost_expectile, "recovery")
    if reward is not None:
        reward = stepped(reward, targets.reward, config.expectile, "reward")
    return Pairs(constraint, recovery, reward), metrics


def step_critics(pairs: Pairs, rows: Transition, targets: Triple, *, config: ValueSettings) -> tuple[Pairs, Metrics]:
    """One step of Q_h, Q_c and Q_r on the returns of a batch."""
    optimizer = value_optimizer(config, config.critic_updates)
    inputs = jnp.concatenate([rows.observation, rows.action], -1)
    metrics: Metrics = {}

    def stepped(pair: ValuePair | None, target: Array, prefix: str) -> ValuePair | None:
        if pair is None:
            return None
        pair, found = step_critic(
            pair, inputs, target, target_rate=config.target_rate, optimizer=optimizer, prefix=prefix
        )
        metrics.update(found)
        return pair

    constraint = stepped(pairs.constraint, targets.h, "constraint")
    assert constraint is not None
    recovery, reward = (
        stepped(pairs.recovery, targets.cost, "recovery"),
        stepped(pairs.reward, targets.reward, "reward"),
    )
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
    reward_mean, reward_spread = mean_and_spread(returns.reward - values.reward, stays)
    earns = jnp.exp(reward_temperature * (returns.reward - values.reward - reward_mean) / reward_spread)
    relief = values.cost - returns.cost if by_cost else values.h - returns.h
    _, relief_spread = mean_and_spread(relief, ~inside)
    escapes = jnp.exp(constraint_temperature * relief / relief_spread)
    return jnp.where(inside, stays * jnp.minimum(earns, largest), jnp.minimum(escapes, largest))
