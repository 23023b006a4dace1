"""FOSP's losses in the order of an update: the actor's, then those of Q, V and p (arXiv 2407.04942).

`reference_code` has what the authors' code does otherwise.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from surefoot.algorithms.fosp import reference_code
from surefoot.algorithms.fosp.config import FOSPConfig, Reachability, Weighting
from surefoot.algorithms.fosp.state import Critics, FOSPState, Slow, ValueNetworks
from surefoot.algorithms.imagination import (
    Choose,
    Earned,
    ImaginedRollout,
    Steps,
    asymmetric_loss,
    imagine_rollout,
    masked_mean,
    pair,
    scale_of,
)
from surefoot.constraints import augmented_penalty
from surefoot.nn import GaussianActor, NormedMLP
from surefoot.nn.two_hot import two_hot_loss, two_hot_mean
from surefoot.types import Metrics
from surefoot.values import estimation_target, expectile_loss, reachability_target, reward_target
from surefoot.world_model import Latent

HJ_VIOLATION, HJ_SAFE = 1.0, -0.3
"""h where a step costs something, and elsewhere."""
HJ_SHARPNESS = 10.0
"""By how much V_h is multiplied before it becomes a probability."""


def infeasibility(
    reach: NormedMLP, features: Float[Array, "*b features"], action: Float[Array, "*b act"], *, form: Reachability
) -> Float[Array, "*b"]:
    """p in [0, 1], [*b]: the probability that a violation cannot be avoided. Only the reference code's form reads the
    action."""
    if form == "released":
        return reference_code.infeasibility(reach, features, action)
    value = reach(features)[..., 0]
    return jax.nn.sigmoid(value if form == "ref" else HJ_SHARPNESS * value)


# --- the actor ---


def actor_loss(
    actor: GaussianActor,
    state: FOSPState,
    steps: Steps,
    start: Latent,
    going_on: Float[Array, " n"],
    key: Key[Array, ""],
    *,
    config: FOSPConfig,
) -> tuple[Float[Array, ""], tuple[ImaginedRollout | None, Float[Array, ""], Metrics]]:
    """Loss of the actor: weighted cloning (awr) or -worth of imagined actions (backprop), with the augmented Lagrangian
    of the imagined cost and an entropy bonus.

    Args:
        actor: The actor, whose gradient is taken.
        state: Training state.
        steps: Steps of the data in latent space.
        start: States to imagine from, [n, ...].
        going_on: 0 where such a state is terminal, else 1, [n].
        key: Random key of the rollout.
        config: FOSP's hyper-parameters.

    Returns:
        (loss, (imagined rollout, excess g of the constraint, metrics)). The rollout is None where neither actor nor
        critics need one. Metrics: `actor/loss`, `actor/entropy` in nats, with the constraint also `actor/excess` and
        `actor/multiplier`.
    """
    extraction, imagination, weight_of_entropy = config.extraction, config.imagination, config.acting.entropy
    through_model = extraction.actor_mode == "backprop" or extraction.constrain
    if not through_model and not config.critics.imagined_branch:
        loss, metrics = weighted_cloning(actor, state, steps, config=config)
        entropy = masked_mean(actor(steps.features).entropy(), steps.mask)
        metrics = {**metrics, "actor/loss": loss, "actor/entropy": entropy}
        return loss - weight_of_entropy * entropy, (None, jnp.zeros(()), metrics)

    def act(features: Array, step_key: Key[Array, ""]) -> Float[Array, "n act"]:
        return actor(jax.lax.stop_gradient(features)).sample(step_key)

    rollout = imagine_rollout(
        state.model, start, going_on, act if through_model else _without_gradient(act), key,
        horizon=imagination.horizon, discount=imagination.discount, config=config.world_model,
    )  # fmt: skip
    features, action, weight = rollout.features[:-1], rollout.action, rollout.weight[:-1]
    p = jax.lax.stop_gradient(infeasibility(state.critics.reach, features, action, form=config.reach.reachability))
    entropy = masked_mean(actor(jax.lax.stop_gradient(features)).entropy(), weight)
    if extraction.actor_mode == "awr":
        loss, metrics = weighted_cloning(actor, state, steps, config=config)
    elif config.critics.reference_code:
        loss, metrics = masked_mean(-reference_code.action_worth(state, features, action), weight), {}
    else:
        worth = action_worth(state, features, action, p, weighting=extraction.weighting)
        loss, metrics = masked_mean(-worth, weight), {}
    excess = jnp.zeros(())
    if extraction.constrain:
        cost_returns = rollout.returns(rollout.cost, state.critics.v_cost, mixing=imagination.mixing)[:-1]
        excess = config.cost.excess((1.0 - p) * cost_returns)
        loss = loss + augmented_penalty(state.lagrangian, excess)
        metrics = {**metrics, "actor/excess": excess, "actor/multiplier": state.lagrangian.multiplier}
    metrics = {**metrics, "actor/loss": loss, "actor/entropy": entropy}
    return loss - weight_of_entropy * entropy, (rollout, excess, metrics)


def action_worth(
    state: FOSPState, features: Array, action: Array, p: Array, *, weighting: Weighting
) -> Float[Array, "h n"]:
    """Worth [H, n] of imagined actions: (1 - p) Q_r / S - p Q_c / S_c; Q_r / S where `weighting` is reward."""
    inputs, critics = pair(features, action), state.critics
    reward = two_hot_mean(critics.q_reward(inputs)) / scale_of(state.reward_spread)
    if weighting == "reward":
        return reward
    return (1.0 - p) * reward - p * two_hot_mean(critics.q_cost(inputs)) / scale_of(state.cost_spread)


def weighted_cloning(
    actor: GaussianActor, state: FOSPState, steps: Steps, *, config: FOSPConfig
) -> tuple[Float[Array, ""], Metrics]:
    """Loss of the actor on the data's steps, -mean omega log pi(a | z), omega by `action_weights`.

    Args:
        actor: The trained actor.
        state: Critics and spreads.
        steps: Steps of the data, [b, ...].
        config: Its weighting and temperatures.

    Returns:
        `(loss, metrics)`: mean omega as `actor/weight`.
    """
    inputs, slow, critics = pair(steps.features, steps.action), state.slow, state.critics
    q_reward, q_cost = two_hot_mean(slow.q_reward(inputs)), two_hot_mean(slow.q_cost(inputs))
    v_reward, v_cost = two_hot_mean(critics.v_reward(steps.features)), two_hot_mean(critics.v_cost(steps.features))
    omega = action_weights(
        (q_reward - v_reward) / scale_of(state.reward_spread),
        (v_cost - q_cost) / scale_of(state.cost_spread),
        q_cost,
        infeasibility(critics.reach, steps.features, steps.action, form=config.reach.reachability),
        weighting=config.extraction.weighting,
        reward_temperature=config.extraction.reward_temperature,
        cost_temperature=config.extraction.cost_temperature,
        cost_slack=config.extraction.cost_slack,
    )
    omega = jax.lax.stop_gradient(omega)
    likelihood = actor(steps.features).log_probability(steps.action)
    return -masked_mean(omega * likelihood, steps.mask), {"actor/weight": masked_mean(omega, steps.mask)}


def action_weights(
    reward_advantage: Float[Array, "*b"],
    cost_advantage: Float[Array, "*b"],
    q_cost: Float[Array, "*b"],
    p: Float[Array, "*b"],
    *,
    weighting: Weighting,
    reward_temperature: float,
    cost_temperature: float,
    cost_slack: float,
) -> Float[Array, "*b"]:
    """p min(exp(b_c A^c), 150) + (1 - p) 1[Q^c <= slack] min(exp(b_r A^r), 100), with scaled A^r = Q - V, A^c = V - Q.

    Where violations can be avoided, the best of the actions that cost nothing count; elsewhere those that cost least.

    Args:
        reward_advantage: A^r, scaled, [*b].
        cost_advantage: A^c, scaled, [*b]; > 0 costs less than V.
        q_cost: Q^c, [*b].
        p: Probability that a violation cannot be avoided, [*b].
        weighting: feasibility (above); reward: the greedy factor alone; cloning: 1.
        reward_temperature: b_r.
        cost_temperature: b_c.
        cost_slack: Largest Q^c of an action that costs nothing.

    Returns:
        Weights, [*b].
    """
    greedy = jnp.minimum(jnp.exp(reward_temperature * reward_advantage), 100.0)
    if weighting == "cloning":
        return jnp.ones_like(p)
    if weighting == "reward":
        return greedy
    careful = jnp.minimum(jnp.exp(cost_temperature * cost_advantage), 150.0)
    return p * careful + (1.0 - p) * (q_cost <= cost_slack) * greedy


# --- the critics ---


def critics_loss(
    critics: Critics, slow: Slow, steps: Steps, rollout: ImaginedRollout | None, *, config: FOSPConfig
) -> tuple[Float[Array, ""], tuple[Metrics, Array, Array]]:
    """Sum of the losses of Q and V of reward and cost, and of p; each moves its own networks only.

    Args:
        critics: The critics, whose gradient is taken.
        slow: Their slow copies.
        steps: Steps of the data in latent space.
        rollout: Imagined rollout, or None.
        config: FOSP's hyper-parameters.

    Returns:
        (loss, (metrics, Q_r, Q_c)); Q of imagined steps, or of the data's without a rollout. Metrics: losses, mean Q
        and mean p under `critic/`.
    """
    of_reward = ValueNetworks(critics.q_reward, critics.v_reward, slow.q_reward)
    of_cost = ValueNetworks(critics.q_cost, critics.v_cost, slow.q_cost)
    upper, lower = partial(value_loss, lower=False), partial(value_loss, lower=True)
    if config.critics.reference_code:
        upper = lower = reference_code.value_loss
    expectile, cost_expectile = config.critics.expectile, config.critics.cost_expectile
    reward, q_reward = upper(of_reward, lambda part: part.reward, steps, rollout, expectile=expectile, config=config)
    cost, q_cost = lower(of_cost, lambda part: part.cost, steps, rollout, expectile=cost_expectile, config=config)
    reach, p = reach_loss(critics.reach, slow.reach, steps, rollout, config=config)
    metrics = {
        "critic/reward_loss": reward,
        "critic/cost_loss": cost,
        "critic/reach_loss": reach,
        "critic/q_reward": q_reward.mean(),
        "critic/q_cost": q_cost.mean(),
        "critic/p": p,
    }
    return reward + cost + reach, (metrics, q_reward, q_cost)


def value_loss(
    networks: ValueNetworks,
    earned: Earned,
    steps: Steps,
    rollout: ImaginedRollout | None,
    *,
    expectile: float,
    lower: bool,
    config: FOSPConfig,
) -> tuple[Float[Array, ""], Float[Array, "*b"]]:
    """Loss of Q and V of reward or of cost.

    Q regresses on r + gamma V(z') in the data, on imagined lambda-returns, and on its slow copy. V regresses on an
    expectile of the slow Q.

    Args:
        networks: Q, V and the slow copy of Q.
        earned: Picks rewards or costs of steps.
        steps: Steps of the data in latent space.
        rollout: Imagined rollout, or None.
        expectile: Weight of the heavier side of V's regression.
        lower: Take the lower expectile (costs).
        config: FOSP's hyper-parameters.

    Returns:
        (loss, Q of imagined steps [H, n], or of the data's [n]).
    """
    (q, v, slow), stop = networks, jax.lax.stop_gradient
    loss, seen = jnp.zeros(()), jnp.zeros(0)
    imagines = rollout is not None and config.critics.imagined_branch
    if config.critics.data_branch:
        inputs = pair(steps.features, steps.action)
        next_value = stop(two_hot_mean(v(steps.next_features)))
        target = reward_target(earned(steps), next_value, steps.continues, discount=config.imagination.discount)
        logits, slow_q = q(inputs), stop(two_hot_mean(slow(inputs)))
        loss += masked_mean(two_hot_loss(logits, target), steps.mask)
        v_terms = asymmetric_loss(v(steps.features), slow_q, expectile=expectile, lower=lower)
        loss += masked_mean(v_terms, steps.mask)
        seen = stop(two_hot_mean(logits))
        if not imagines:  # else the imagined states hold Q near its copy
            loss += masked_mean(two_hot_loss(logits, slow_q), steps.mask)
    if rollout is not None and imagines:
        inputs, weight = stop(pair(rollout.features[:-1], rollout.action)), rollout.weight[:-1]
        returns = stop(rollout.returns(earned(rollout), v, mixing=config.imagination.mixing)[:-1])
        logits, slow_q = q(inputs), stop(two_hot_mean(slow(inputs)))
        loss += masked_mean(two_hot_loss(logits, returns) + two_hot_loss(logits, slow_q), weight)
        seen = stop(two_hot_mean(logits))
        v_logits = v(stop(rollout.features[:-1]))
        loss += masked_mean(asymmetric_loss(v_logits, slow_q, expectile=expectile, lower=lower), weight)
    return loss, seen


def reach_loss(
    reach: NormedMLP, slow: NormedMLP, steps: Steps, rollout: ImaginedRollout | None, *, config: FOSPConfig
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Loss of the reachability critic, and mean p on the data. Without imagined steps it learns from the data alone."""
    discount = config.reach.reach_discount
    if config.reach.reachability == "released":
        assert rollout is not None  # the configuration asks for one
        return reference_code.reach_loss(reach, slow, rollout, discount=discount)

    def terms(here: Array, following: Array, cost: Array, going_on: Array) -> tuple[Array, Array]:
        """Loss of each state, and its p."""
        if config.reach.reachability == "ref":
            return estimation_terms(reach(here)[..., 0], slow(following)[..., 0], cost, going_on, discount=discount)
        expectile, next_value = config.reach.reach_expectile, slow(following)[..., 0]
        return hj_terms(reach(here)[..., 0], next_value, cost, going_on, discount=discount, expectile=expectile)

    # Of a terminal state, and of one that violates, the answer is known though no step follows.
    known = jnp.clip(steps.mask + (1.0 - steps.continues_here) + (steps.cost_here > 0), 0.0, 1.0)
    on_data, p = terms(steps.features, steps.next_features, steps.cost_here, steps.continues_here)
    loss = masked_mean(on_data, known)
    if rollout is not None and config.critics.imagined_branch:
        cost = jax.lax.stop_gradient(rollout.cost)
        here, going_on = rollout.features[1:-1], rollout.discount[:-1] / config.imagination.discount
        imagined, _ = terms(here, rollout.features[2:], (cost[:-1] > 0.5) * 1.0, going_on)
        loss = loss + masked_mean(imagined, rollout.weight[1:-1])
    return loss, masked_mean(p, steps.mask)


def estimation_terms(
    logits: Array, next_logits: Array, cost: Array, going_on: Array, *, discount: float
) -> tuple[Array, Array]:
    """Binary cross-entropy of p with the target max(1[c > 0], gamma m p(z')). Returns (terms of the loss, p), each
    [*b]."""
    target = estimation_target(cost, jax.nn.sigmoid(next_logits), going_on, discount=discount)
    return optax.sigmoid_binary_cross_entropy(logits, jax.lax.stop_gradient(target)), jax.nn.sigmoid(logits)


def hj_terms(
    value: Array, next_value: Array, cost: Array, going_on: Array, *, discount: float, expectile: float
) -> tuple[Array, Array]:
    """Lower expectile regression of V_h on (1 - gamma) h + gamma max(h, V_h(z')), for the least bad of the data's
    actions.

    h is `HJ_VIOLATION` where the cost of being in z is above 0, else `HJ_SAFE`. Returns (terms of the loss, p), each
    [*b].
    """
    h = jnp.where(cost > 0, HJ_VIOLATION, HJ_SAFE)
    target = reachability_target(h, next_value, going_on, discount=discount)
    _, terms = expectile_loss(jax.lax.stop_gradient(target) - value, expectile=expectile, lower=True)
    return terms, jax.nn.sigmoid(HJ_SHARPNESS * value)


def _without_gradient(choose: Choose) -> Choose:
    return lambda features, key: jax.lax.stop_gradient(choose(features, key))
