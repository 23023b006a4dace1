"""The losses of FOSP's critics over dreams and steps of the data (FOSP, arXiv 2407.04942)."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from surefoot.algorithms.imagination import Dream, Steps
from surefoot.nn import NormedMLP
from surefoot.nn.two_hot import two_hot_loss, two_hot_mean
from surefoot.types import Metrics
from surefoot.values import (
    asymmetric_loss,
    estimation_target,
    expectile_loss,
    masked_mean,
    reachability_target,
    reward_target,
)

Reachability = Literal["ref", "hj", "released"]
"""ref: probability of a violation ahead, of states. hj: worst constraint signal to come. released: what the authors'
code does, a critic of states and actions that never sees a cost."""


class Critics(NamedTuple):
    """Q of [z, a] and V of z; two-hot but for `reach`, which is as its form says."""

    q_reward: NormedMLP
    v_reward: NormedMLP
    q_cost: NormedMLP
    v_cost: NormedMLP
    reach: NormedMLP


class Slow(NamedTuple):
    """Slow copies of the critics that have one."""

    q_reward: NormedMLP
    q_cost: NormedMLP
    reach: NormedMLP


class CriticSettings(NamedTuple):
    """What the losses of the critics need to know beside the networks."""

    discount: float
    mixing: float
    """lambda of the returns."""
    expectile: float
    """Of V of the reward, upper."""
    cost_expectile: float
    """Of V of the cost; lower, upper where `released`."""
    reach_discount: float
    reach_expectile: float
    """Lower expectile of the hj form."""
    reachability: Reachability
    data_branch: bool
    dream_branch: bool
    released: bool
    """V on the online Q of the dream alone; the data's Q as the authors' code has it."""


def pair(features: Float[Array, "*b features"], action: Float[Array, "*b act"]) -> Float[Array, "*b in"]:
    """What a Q reads."""
    return jnp.concatenate([features, action], -1)


# --- feasibility -----------------------------------------------------------------------------------------------------

HJ_VIOLATION, HJ_SAFE = 1.0, -0.3
"""h where a step costs something, and elsewhere."""
HJ_SHARPNESS = 10.0
"""By how much V_h is multiplied before it becomes a probability."""


def infeasibility(
    reach: NormedMLP, features: Float[Array, "*b features"], action: Float[Array, "*b act"], *, form: Reachability
) -> Float[Array, "*b"]:
    """p in [0, 1]: 0 where violations can be avoided. Only the released form looks at the action."""
    if form == "released":
        return jnp.clip(two_hot_mean(reach(pair(features, action))), 0.0, 1.0)
    value = reach(features)[..., 0]
    return jax.nn.sigmoid(value if form == "ref" else HJ_SHARPNESS * value)


def reach_loss(
    reach: NormedMLP, slow: NormedMLP, steps: Steps, dream: Dream | None, *, config: CriticSettings
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(loss, mean p on the data) of the reachability critic; without a dream it learns from the data alone."""
    if config.reachability == "released":
        assert dream is not None  # the configuration asks for one
        return _released_reach_loss(reach, slow, dream, config=config)
    form = _estimation_terms if config.reachability == "ref" else _hamilton_jacobi_terms
    # Of a terminal state, and of one that violates, the answer is known though no step follows.
    known = jnp.clip(steps.mask + (1.0 - steps.continues_here) + (steps.cost_here > 0), 0.0, 1.0)
    terms, p = form(reach, slow, steps.features, steps.next_features, steps.cost_here, steps.continues_here, config)
    loss = masked_mean(terms, known)
    if dream is not None and config.dream_branch:
        cost = jax.lax.stop_gradient(dream.cost)
        here, going_on = dream.features[1:-1], dream.discount[:-1] / config.discount
        terms, _ = form(reach, slow, here, dream.features[2:], (cost[:-1] > 0.5) * 1.0, going_on, config)
        loss = loss + masked_mean(terms, dream.weight[1:-1])
    return loss, masked_mean(p, steps.mask)


def _estimation_terms(
    reach: NormedMLP,
    slow: NormedMLP,
    here: Array,
    following: Array,
    cost: Array,
    going_on: Array,
    config: CriticSettings,
) -> tuple[Array, Array]:
    """Binary cross-entropy with max(1[c > 0], gamma p(z'))."""
    target = estimation_target(cost, jax.nn.sigmoid(slow(following)[..., 0]), going_on, discount=config.reach_discount)
    logits = reach(here)[..., 0]
    return optax.sigmoid_binary_cross_entropy(logits, jax.lax.stop_gradient(target)), jax.nn.sigmoid(logits)


def _hamilton_jacobi_terms(
    reach: NormedMLP,
    slow: NormedMLP,
    here: Array,
    following: Array,
    cost: Array,
    going_on: Array,
    config: CriticSettings,
) -> tuple[Array, Array]:
    """Lower expectile of (1 - gamma) h + gamma max(h, V_h(z')): over the data's actions the least bad one."""
    h = jnp.where(cost > 0, HJ_VIOLATION, HJ_SAFE)
    target = reachability_target(h, slow(following)[..., 0], going_on, discount=config.reach_discount)
    value = reach(here)[..., 0]
    difference = jax.lax.stop_gradient(target) - value
    _, terms = expectile_loss(difference, expectile=config.reach_expectile, lower=True)
    return terms, jax.nn.sigmoid(HJ_SHARPNESS * value)


def _released_reach_loss(
    reach: NormedMLP, slow: NormedMLP, dream: Dream, *, config: CriticSettings
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """y_H = b_H, y_t = max(b_t, 0.99 y_{t+1}) with b = 1[p > 0]: costs appear nowhere, and p rises to 1."""
    inputs = pair(dream.features[:-1], dream.action)
    logits = reach(inputs)
    p = two_hot_mean(logits)
    reached = jax.lax.stop_gradient(p > 0).astype(jnp.float32)

    def back(later: Array, now: Array) -> tuple[Array, Array]:
        target = jnp.maximum(now, config.reach_discount * later)
        return target, target

    _, target = jax.lax.scan(back, reached[-1], reached, reverse=True)
    terms = two_hot_loss(logits, target) + two_hot_loss(logits, jax.lax.stop_gradient(two_hot_mean(slow(inputs))))
    return masked_mean(terms, dream.weight[:-1]), p.mean()


# --- values ----------------------------------------------------------------------------------------------------------


def value_loss(
    q: NormedMLP,
    v: NormedMLP,
    slow: NormedMLP,
    earned: Callable[[Steps | Dream], Array],
    steps: Steps,
    dream: Dream | None,
    *,
    expectile: float,
    lower: bool,
    config: CriticSettings,
) -> tuple[Float[Array, ""], Float[Array, "*b"]]:
    """(loss, Q of dream or data) of one pair of Q and V; `earned` picks its reward or cost.

    Q: on r + gamma V(z') in the data, on lambda-returns in the dream, and near its slow copy. V: an expectile of Q.
    """
    stop = jax.lax.stop_gradient
    loss, seen = jnp.zeros(()), jnp.zeros(0)
    if config.data_branch:
        inputs = pair(steps.features, steps.action)
        next_value = stop(two_hot_mean(v(steps.next_features)))
        target = reward_target(earned(steps), next_value, steps.continues, discount=config.discount)
        logits, slow_q = q(inputs), stop(two_hot_mean(slow(inputs)))
        loss += masked_mean(two_hot_loss(logits, target), steps.mask)
        v_terms = asymmetric_loss(v(steps.features), slow_q, expectile=expectile, lower=lower)
        loss += 0.0 if config.released else masked_mean(v_terms, steps.mask)
        seen = stop(two_hot_mean(logits))
        if dream is None or not config.dream_branch:  # else the dream's states hold Q near its copy
            loss += masked_mean(two_hot_loss(logits, slow_q), steps.mask)
    if dream is not None and config.dream_branch:
        inputs, weight = stop(pair(dream.features[:-1], dream.action)), dream.weight[:-1]
        returns = stop(dream.returns(earned(dream), v, mixing=config.mixing)[:-1])
        logits, slow_q = q(inputs), stop(two_hot_mean(slow(inputs)))
        loss += masked_mean(two_hot_loss(logits, returns) + two_hot_loss(logits, slow_q), weight)
        seen = stop(two_hot_mean(logits))
        v_logits = v(stop(dream.features[:-1]))
        v_target = seen if config.released else slow_q
        loss += masked_mean(asymmetric_loss(v_logits, v_target, expectile=expectile, lower=lower), weight)
    return loss, seen


def critics_loss(
    critics: Critics, slow: Slow, steps: Steps, dream: Dream | None, *, config: CriticSettings
) -> tuple[Float[Array, ""], tuple[Metrics, Array, Array]]:
    """The sum of all critics' losses, each of which moves its own networks only; also what Q of reward and of cost were
    in the dream, or on the data where there is none."""
    reward, q_reward = value_loss(
        critics.q_reward, critics.v_reward, slow.q_reward, lambda part: part.reward, steps, dream,
        expectile=config.expectile, lower=config.released, config=config,
    )  # fmt: skip
    cost, q_cost = value_loss(
        critics.q_cost, critics.v_cost, slow.q_cost, lambda part: part.cost, steps, dream,
        expectile=config.cost_expectile, lower=True, config=config,
    )  # fmt: skip
    reach, p = reach_loss(critics.reach, slow.reach, steps, dream, config=config)
    metrics = {
        "critic/reward_loss": reward,
        "critic/cost_loss": cost,
        "critic/reach_loss": reach,
        "critic/q_reward": q_reward.mean(),
        "critic/q_cost": q_cost.mean(),
        "critic/p": p,
    }
    return reward + cost + reach, (metrics, q_reward, q_cost)
