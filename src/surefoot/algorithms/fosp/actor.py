"""FOSP's actor: its two losses, and the choice between two actors (FOSP, arXiv 2407.04942)."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.algorithms.fosp.losses import Critics, Reachability, infeasibility, pair
from surefoot.algorithms.imagination import Choose, Dream, Steps, dream
from surefoot.constraints import augmented_penalty
from surefoot.nn import GaussianActor
from surefoot.nn.two_hot import two_hot_mean
from surefoot.planning import choose_plan
from surefoot.types import Metrics
from surefoot.values import masked_mean, scale_of
from surefoot.world_model import Latent, WorldModelConfig

Weighting = Literal["feasibility", "reward", "cloning"]
"""feasibility: FOSP. reward: advantages of reward alone, blind to cost. cloning: every action alike."""


class ActorSettings(NamedTuple):
    """FOSP's hyper-parameters of these names, which say what they mean."""

    world_model: WorldModelConfig
    horizon: int
    discount: float
    mixing: float
    dream_branch: bool
    reachability: Reachability
    released: bool
    actor_mode: Literal["awr", "backprop"]
    weighting: Weighting
    reward_temperature: float
    cost_temperature: float
    cost_slack: float
    entropy: float
    constrain: bool
    cost_limit: float
    pessimistic: bool


def actor_loss(
    actor: GaussianActor,
    state: Any,
    steps: Steps,
    start: Latent,
    going_on: Float[Array, " n"],
    key: Key[Array, ""],
    *,
    config: ActorSettings,
) -> tuple[Float[Array, ""], tuple[Dream | None, Float[Array, ""], Metrics]]:
    """(loss, (the dream that it was taken on, the constraint's excess g, metrics)), on an `FOSPState`.

    `start` and `going_on` are the states to dream from, and 0 where one is terminal. There is no dream where neither
    the actor nor the critics need one.
    """
    through_model = config.actor_mode == "backprop" or config.constrain
    if not through_model and not config.dream_branch:
        loss, metrics = weighted_cloning(actor, state, steps, config=config)
        entropy = masked_mean(actor(steps.features).entropy(), steps.mask)
        metrics = {**metrics, "actor/loss": loss, "actor/entropy": entropy}
        return loss - config.entropy * entropy, (None, jnp.zeros(()), metrics)

    def act(features: Array, step_key: Key[Array, ""]) -> Float[Array, "n act"]:
        return actor(jax.lax.stop_gradient(features)).sample(step_key)

    dreamt = dream(
        state.model, start, going_on, act if through_model else _without_gradient(act), key,
        horizon=config.horizon, discount=config.discount, config=config.world_model,
    )  # fmt: skip
    features, action, weight = dreamt.features[:-1], dreamt.action, dreamt.weight[:-1]
    p = jax.lax.stop_gradient(infeasibility(state.critics.reach, features, action, form=config.reachability))
    entropy = masked_mean(actor(jax.lax.stop_gradient(features)).entropy(), weight)
    if config.actor_mode == "awr":
        loss, metrics = weighted_cloning(actor, state, steps, config=config)
    else:
        loss, metrics = masked_mean(-_worth(state, features, action, p, config), weight), {}
    excess = jnp.zeros(())
    if config.constrain:
        cost_returns = dreamt.returns(dreamt.cost, state.critics.v_cost, mixing=config.mixing)[:-1]
        feasible_cost = (1.0 - p) * cost_returns
        excess = (feasible_cost.sum(0) if config.pessimistic else feasible_cost.mean(0)).mean() - config.cost_limit
        loss = loss + augmented_penalty(state.lagrangian, excess)
        metrics = {**metrics, "actor/excess": excess, "actor/multiplier": state.lagrangian.multiplier}
    metrics = {**metrics, "actor/loss": loss, "actor/entropy": entropy}
    return loss - config.entropy * entropy, (dreamt, excess, metrics)


def _worth(state: Any, features: Array, action: Array, p: Array, config: ActorSettings) -> Float[Array, "h n"]:
    """What an imagined action is worth: u Q_r / S - (1 - u) Q_c / S_c with u = 1 - p. Released, the scaled advantage of
    the reward alone."""
    inputs, critics = pair(features, action), state.critics
    reward = two_hot_mean(critics.q_reward(inputs)) / scale_of(state.reward_spread)
    if config.released:
        return reward - two_hot_mean(critics.v_reward(features)) / scale_of(state.reward_spread)
    if config.weighting == "reward":
        return reward
    return (1.0 - p) * reward - p * two_hot_mean(critics.q_cost(inputs)) / scale_of(state.cost_spread)


def weighted_cloning(
    actor: GaussianActor, state: Any, steps: Steps, *, config: ActorSettings
) -> tuple[Float[Array, ""], Metrics]:
    """-omega log pi(a | z) over the data's steps, on an `FOSPState`."""
    inputs, slow, critics = pair(steps.features, steps.action), state.slow, state.critics
    q_reward, q_cost = two_hot_mean(slow.q_reward(inputs)), two_hot_mean(slow.q_cost(inputs))
    v_reward, v_cost = two_hot_mean(critics.v_reward(steps.features)), two_hot_mean(critics.v_cost(steps.features))
    omega = action_weights(
        (q_reward - v_reward) / scale_of(state.reward_spread),
        (v_cost - q_cost) / scale_of(state.cost_spread),
        q_cost,
        infeasibility(critics.reach, steps.features, steps.action, form=config.reachability),
        weighting=config.weighting,
        reward_temperature=config.reward_temperature,
        cost_temperature=config.cost_temperature,
        cost_slack=config.cost_slack,
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
    """p min(exp(b_c A^c), 150) + (1 - p) 1[Q^c <= slack] min(exp(b_r A^r), 100): where violations can be avoided the
    best of the actions that cost nothing, elsewhere those that cost least. A^r = Q - V, A^c = V - Q, scaled."""
    greedy = jnp.minimum(jnp.exp(reward_temperature * reward_advantage), 100.0)
    if weighting == "cloning":
        return jnp.ones_like(p)
    if weighting == "reward":
        return greedy
    careful = jnp.minimum(jnp.exp(cost_temperature * cost_advantage), 150.0)
    return p * careful + (1.0 - p) * (q_cost <= cost_slack) * greedy


def best_action(
    slow: Any, features: Float[Array, "n features"], candidates: Float[Array, "c n act"], *, slack: float
) -> Float[Array, "n act"]:
    """Of each environment's candidates the one of the largest Q_r among those of Q_c <= slack; where there is none, the
    one of the smallest Q_c. By the slow critics of an `FOSPState`; beyond the paper."""
    inputs = pair(jnp.broadcast_to(features, (len(candidates), *features.shape)), candidates)
    q_reward, q_cost = two_hot_mean(slow.q_reward(inputs)).T, two_hot_mean(slow.q_cost(inputs)).T
    chosen = choose_plan(q_reward, q_cost, jnp.full(len(features), slack))
    return jnp.take_along_axis(candidates, chosen[None, :, None], axis=0)[0]


def online_probability(
    critics: Critics,
    features: Float[Array, "n features"],
    online: Float[Array, "n act"],
    offline: Float[Array, "n act"],
    *,
    temperature: float,
    cost_weight: float,
) -> Float[Array, " n"]:
    """With which probability each environment takes the online actor's action rather than the offline one's:
    P(i) is proportional to exp(temperature (Q_r - cost_weight Q_c) of action i)."""

    def score(action: Float[Array, "n act"]) -> Float[Array, " n"]:
        inputs = pair(features, action)
        return two_hot_mean(critics.q_reward(inputs)) - cost_weight * two_hot_mean(critics.q_cost(inputs))

    return jax.nn.sigmoid(temperature * (score(online) - score(offline)))


def _without_gradient(choose: Choose) -> Choose:
    return lambda features, key: jax.lax.stop_gradient(choose(features, key))
