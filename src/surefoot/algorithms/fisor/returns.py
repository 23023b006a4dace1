"""FISOR's values from returns along the logged trajectories instead of one-step backups; beyond the paper.

returns_along    G_h = (1 - gamma) h + gamma max(h, (1 - lambda) V_h(s') + lambda G_h')      worst h to come
                 G_r = r + gamma m [(1 - lambda) V_r(s') + lambda G_r'], and G_c of violating steps alike
step_values      V_h, V_c lower and V_r an upper expectile of G given s
step_critics     Q_h, Q_c, Q_r the mean of G given (s, a), once the values are finished
return_weights   inside the region exp(alpha_r A_r) of what stays inside, outside exp(-alpha_h A_c), with A = G - V;
                 imitation: inside alpha_r of what stays inside, outside 1[A_c < 0] exp(-alpha_h A_c)

A single action hardly changes what comes, so that differences between actions drown in the errors of a chain of
backups. The advantage of a trajectory's own way on is that of all its actions together.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from surefoot.algorithms.fisor.config import FISORConfig, Weighting
from surefoot.algorithms.fisor.scales import Scales, in_blocks, mean_and_spread, scaled_batch
from surefoot.nn import MLP
from surefoot.types import Metrics, Transition
from surefoot.values import ValuePair, reward_target, step_critic, step_value

Discount = float | Float[Array, ""]
STRETCH = 1024
"""Rows of the data after which a return is cut and V(s') stands for the rest: a return forgets within some hundred
steps, and stretches are computed side by side."""


class Signals(NamedTuple):
    """Constraint signals, violations and rewards of T consecutive steps in n lines."""

    h: Float[Array, "n T"]
    violating: Float[Array, "n T"]
    """1 in a step that violates the constraint."""
    reward: Float[Array, "n T"]
    final: Bool[Array, "n T"]
    """Nothing follows."""
    cut: Bool[Array, "n T"]
    """What follows is not in the next column."""


class Triple(NamedTuple):
    """Arrays of one shape for h, for violating steps and for rewards."""

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
    """Consecutive numbers [N] cut into lines [n, T] of `width` T; zeros fill the last line."""
    lines = -(-values.shape[0] // width)
    return jnp.pad(values, (0, lines * width - values.shape[0])).reshape(lines, width)


def signals_of(rows: Transition, width: int, *, config: FISORConfig) -> Signals:
    """Signals [n, T] of consecutive transitions in lines of `width` T; the end of a line truncates its episode."""
    h, ended = config.constraint.signal(rows), jnp.maximum(rows.terminated, rows.truncated)
    cut = side_by_side(ended.at[-1].set(1.0), width) > 0
    return Signals(
        h=side_by_side(h, width),
        violating=side_by_side((rows.constraint > 0).astype(jnp.float32), width),
        reward=side_by_side(rows.reward, width),
        final=side_by_side(ended if config.constraint.timeouts_terminal else rows.terminated, width) > 0,
        cut=cut.at[:, -1].set(True),
    )


def returns_along(
    signals: Signals, following: Triple, *, mixing: float, discount: float, reachability_discount: Discount
) -> Triple:
    """Lambda-returns G of h, of violating steps and of rewards (the equations stand at the top of this module).

    Args:
        signals: Signals of n lines, each [n, T].
        following: V of the states that the steps enter, each [n, T].
        mixing: lambda in [0, 1].
        discount: gamma of violating steps and of rewards.
        reachability_discount: gamma of the Hamilton-Jacobi backup.

    Returns:
        G at every step, each [n, T].
    """

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
    """Copies of the values, in buffers of their own."""

    def copied(pair: ValuePair) -> MLP:
        return jax.tree.map(jnp.copy, pair.value)

    return Frozen(
        copied(pairs.constraint),
        None if pairs.recovery is None else copied(pairs.recovery),
        None if pairs.reward is None else copied(pairs.reward),
        jnp.copy(pairs.constraint.updates),
    )


def values_of(values: Frozen, observation: Float[Array, "b obs"]) -> Triple:
    """V_h, V_c (at least 0) and V_r of observations [b, obs]; 0 for a value that is not learned."""
    zeros = jnp.zeros(observation.shape[0])
    return Triple(
        values.constraint(observation).max(0),
        zeros if values.recovery is None else jnp.maximum(values.recovery(observation).max(0), 0.0),
        zeros if values.reward is None else values.reward(observation),
    )


def bootstrapped(values: Frozen, found: Triple, *, first_reward: Float[Array, ""]) -> Triple:
    """Values that returns bootstrap from: `found`, or before the first update h = -1, V_c = 0 and V_r =
    `first_reward`."""
    first = Triple(jnp.asarray(-1.0), jnp.asarray(0.0), first_reward)
    return jax.tree.map(lambda one, other: jnp.where(values.updates > 0, one, other), found, first)


def relief_of(pair: ValuePair, observation: Float[Array, "b obs"], action: Float[Array, "b act"]) -> Float[Array, " b"]:
    """V_c - Q_c [b]: violating steps, discounted, that an action avoids."""
    inputs = jnp.concatenate([observation, action], -1)
    return pair.value(observation).max(0) - pair.critic_target(inputs).max(0)


def returns_of(rows: Transition, following: Triple, width: int, *, config: FISORConfig, discount: Discount) -> Triple:
    """Lambda-returns of h, of violating steps and of rewards for consecutive transitions.

    Args:
        rows: N transitions in the order of the data.
        following: V of the states that they enter, each [N].
        width: Transitions in a line; returns are cut at its end.
        config: FISOR's hyper-parameters.
        discount: gamma of the Hamilton-Jacobi backup.

    Returns:
        G, each [N].
    """
    lines = jax.tree.map(lambda values: side_by_side(values, width), following)
    found = returns_along(
        signals_of(rows, width, config=config),
        lines,
        mixing=config.by_returns.returns.mixing,
        discount=config.discount,
        reachability_discount=discount,
    )
    return jax.tree.map(lambda values: values.reshape(-1)[: rows.reward.shape[0]], found)


def all_returns(
    data: Transition, frozen: Frozen, scales: Scales | None, *, config: FISORConfig
) -> tuple[Triple, Triple]:
    """Lambda-returns of the whole data, bootstrapped from frozen values.

    Args:
        data: N transitions in the order of the data, unscaled.
        frozen: Values to bootstrap from.
        scales: Scales of the data, or None.
        config: FISOR's hyper-parameters.

    Returns:
        (G, V of the states that the transitions leave), three arrays [N] each.
    """

    def values_at(part: Transition) -> tuple[Triple, Triple]:
        part = scaled_batch(scales, part)
        return values_of(frozen, part.observation), values_of(frozen, part.next_observation)

    rows = scaled_batch(scales, data)
    values, following = in_blocks(values_at, data)
    following = bootstrapped(frozen, following, first_reward=rows.reward.mean() / (1.0 - config.discount))
    discount = config.annealed_discount(frozen.updates)
    return returns_of(rows, following, STRETCH, config=config, discount=discount), values


# --- updates ---


def step_values(pairs: Pairs, rows: Transition, targets: Triple, *, config: FISORConfig) -> tuple[Pairs, Metrics]:
    """One gradient step of V_h, V_c and V_r on the returns of a batch (expectile regression).

    Args:
        pairs: Values with their critics.
        rows: b scaled transitions.
        targets: Returns G of the transitions, each [b].
        config: FISOR's hyper-parameters.

    Returns:
        `(pairs, metrics)`: `NAME/value_loss` and mean `NAME/value` for NAME in constraint, recovery, reward.
    """
    optimizer, metrics = config.value_optimizer(config.by_returns.value_updates), {}

    def stepped(pair: ValuePair | None, target: Array, expectile: float, prefix: str) -> ValuePair | None:
        if pair is None:
            return None
        lower = prefix != "reward"
        pair, found = step_value(
            pair, rows.observation, target, expectile=expectile, lower=lower, optimizer=optimizer, prefix=prefix
        )
        metrics.update(found)
        return pair._replace(updates=pair.updates + 1)

    constraint = stepped(pairs.constraint, targets.h, config.constraint_expectile, "constraint")
    recovery = stepped(pairs.recovery, targets.cost, config.by_returns.returns.cost_expectile, "recovery")
    reward = stepped(pairs.reward, targets.reward, config.expectile, "reward")
    assert constraint is not None
    return Pairs(constraint, recovery, reward), metrics


def step_critics(pairs: Pairs, rows: Transition, targets: Triple, *, config: FISORConfig) -> tuple[Pairs, Metrics]:
    """One gradient step of Q_h, Q_c and Q_r on the returns of a batch (mean squared error); arguments as of
    `step_values`."""
    optimizer, metrics = config.value_optimizer(config.by_returns.critic_updates), {}
    inputs, rate = jnp.concatenate([rows.observation, rows.action], -1), config.values.target_rate

    def stepped(pair: ValuePair | None, target: Array, prefix: str) -> ValuePair | None:
        if pair is None:
            return None
        pair, found = step_critic(pair, inputs, target, target_rate=rate, optimizer=optimizer, prefix=prefix)
        metrics.update(found)
        return pair

    constraint = stepped(pairs.constraint, targets.h, "constraint")
    recovery = stepped(pairs.recovery, targets.cost, "recovery")
    reward = stepped(pairs.reward, targets.reward, "reward")
    assert constraint is not None
    return Pairs(constraint, recovery, reward), metrics


def step_recovery(
    pair: ValuePair, batch: Transition, inputs: Float[Array, "b in"], q: Float[Array, " b"], *, config: FISORConfig
) -> tuple[ValuePair, Metrics]:
    """One step of V_c, then of Q_c on 1[h > 0] + gamma m V_c(s'), discounted violating steps to come.

    Args:
        pair: Recovery values.
        batch: b scaled transitions.
        inputs: (s, a), [b, in].
        q: Largest target Q_c of the transitions, [b].
        config: FISOR's hyper-parameters.

    Returns:
        (pair, metrics), the metrics under `recovery/`.
    """
    optimizer = config.value_optimizer(config.training.constraint_updates)
    pair, value_metrics = step_value(
        pair,
        batch.observation,
        q,
        expectile=config.constraint_expectile,
        lower=True,
        optimizer=optimizer,
        prefix="recovery",
    )
    violating = (batch.constraint > 0).astype(jnp.float32)
    next_value = jnp.maximum(pair.value(batch.next_observation).max(0), 0.0)
    target = reward_target(violating, next_value, config.constraint.continues(batch), discount=config.discount)
    pair, critic_metrics = step_critic(
        pair, inputs, target, target_rate=config.values.target_rate, optimizer=optimizer, prefix="recovery"
    )
    return pair, value_metrics | critic_metrics


def return_weights(
    returns: Triple,
    values: Triple,
    *,
    weighting: Weighting,
    margin: float | Float[Array, ""],
    reward_temperature: float,
    constraint_temperature: float,
    largest: float,
    by_cost: bool,
) -> Float[Array, " N"]:
    """Weights of transitions by the advantage G - V of the logged trajectory itself.

    feasibility: inside the region (V_h <= -margin) 1[G_h <= -margin] exp(alpha_r A_r), A_r = (G_r - V_r - mean) /
    spread over transitions that stay inside; outside exp(alpha_h A_h), A_h = (V_c - G_c) / spread, or with h in place
    of costs. imitation reads no rewards: inside 1[G_h <= -margin] alpha_r, outside 1[A_h > 0] exp(alpha_h A_h).
    behaviour_cloning: 1.

    Args:
        returns: G of the transitions, each [N].
        values: V of the states that they leave, each [N].
        weighting: One of the three rules above.
        margin: Depth inside the region that imitation asks for, in units of V_h.
        reward_temperature: alpha_r.
        constraint_temperature: alpha_h.
        largest: Upper bound of the exponentials.
        by_cost: Take A_h from violating steps (V_c, G_c), not from h.

    Returns:
        Weights >= 0, [N].
    """
    if weighting == "behaviour_cloning":
        return jnp.ones_like(values.h)
    inside = values.h <= -margin
    stays = inside & (returns.h <= -margin)
    relief = values.cost - returns.cost if by_cost else values.h - returns.h
    _, relief_spread = mean_and_spread(relief, ~inside)
    escapes = jnp.minimum(jnp.exp(constraint_temperature * relief / relief_spread), largest)
    if weighting == "imitation":
        return jnp.where(inside, stays * jnp.float32(reward_temperature), (relief > 0) * escapes)
    reward_mean, reward_spread = mean_and_spread(returns.reward - values.reward, stays)
    earns = jnp.exp(reward_temperature * (returns.reward - values.reward - reward_mean) / reward_spread)
    return jnp.where(inside, stays * jnp.minimum(earns, largest), escapes)
