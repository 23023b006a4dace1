"""Imagined rollouts of a world model: returns, weights, losses of two-hot critics; a policy that keeps a belief.

FOSP and SafeDreamer share them. Steps of the data in latent space stand beside the imagined ones.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from surefoot import world_model
from surefoot.data.frames import Frames, ObservationScales, scaled
from surefoot.nn import NormedMLP
from surefoot.nn.two_hot import two_hot_loss, two_hot_mean
from surefoot.types import Policy, PolicyInputs
from surefoot.world_model import Imagined, Latent, WorldModel, WorldModelConfig

Choose = Callable[[Float[Array, "n features"], Key[Array, ""]], Float[Array, "n act"]]
"""(features, a key) -> actions."""
ChooseWithMemory = Callable[[Any, Latent, Key[Array, ""]], tuple[Any, Float[Array, "n act"]]]
"""(memory, states, a key) -> (memory, actions)."""


def pair(features: Float[Array, "*b features"], action: Float[Array, "*b act"]) -> Float[Array, "*b in"]:
    """[z, a], which a Q reads."""
    return jnp.concatenate([features, action], -1)


class Steps(NamedTuple):
    """Steps of the data between latent states, transition-indexed: n = B (T - 1) of them, gradients stopped."""

    features: Float[Array, "n features"]
    action: Float[Array, "n act"]
    next_features: Float[Array, "n features"]
    reward: Float[Array, " n"]
    """Of the step."""
    cost: Float[Array, " n"]
    """Of the step."""
    cost_here: Float[Array, " n"]
    """Of being in the state left."""
    continues: Float[Array, " n"]
    """0 where the state entered is terminal."""
    continues_here: Float[Array, " n"]
    """0 where the state left is terminal: then there was no step."""
    mask: Float[Array, " n"]
    """1 where there was a step: the next frame belongs to the same episode."""


def steps_of(features: Float[Array, "b t features"], frames: Frames) -> Steps:
    """The steps between neighbouring frames of windows. Rewards and costs of frame t + 1 are those of step t."""

    def rows(values: Array) -> Array:
        return values.reshape(-1, *values.shape[2:])

    going_on = 1.0 - frames.terminated.astype(jnp.float32)
    return Steps(
        features=rows(features[:, :-1]),
        action=rows(frames.action[:, :-1]),
        next_features=rows(features[:, 1:]),
        reward=rows(frames.reward[:, 1:]),
        cost=rows(frames.cost[:, 1:]),
        cost_here=rows(frames.cost[:, :-1]),
        continues=rows(going_on[:, 1:]),
        continues_here=rows(going_on[:, :-1]),
        mask=rows(1.0 - frames.is_first[:, 1:].astype(jnp.float32)),
    )


def posterior_states(
    model: WorldModel,
    frames: Frames,
    key: Key[Array, ""],
    *,
    config: WorldModelConfig,
    encoded_at_once: int | None = None,
) -> Latent:
    """Posterior states [B, T, ...] of a window, float32, without a gradient; see `world_model.observe`."""
    precise = world_model.in_precision(model, config)
    seen = world_model.observe(precise, frames, key, encoded_at_once=encoded_at_once)
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf.astype(jnp.float32)), seen.latent)


# --- returns of imagined rollouts ---


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
    """Weight of each imagined state: gamma to the number of steps times the probability of getting there.

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
    """Divisor of advantages: the range of returns, at least 1, so that small returns are not blown up (DreamerV3,
    equation 11)."""
    return jnp.maximum(1.0, spread.high - spread.low)


# --- losses of two-hot critics ---


def asymmetric_loss(
    logits: Float[Array, "*b bins"], target: Float[Array, "*b"], *, expectile: float, lower: bool
) -> Float[Array, "*b"]:
    """Cross-entropy with weight `expectile` where the target lies above the prediction and 1 - `expectile` elsewhere;
    with `lower` the weights swap. Near 1 the prediction becomes a soft maximum (minimum) of the targets.

    The two-hot form of `expectile_loss` (FOSP, arXiv 2407.04942).
    """
    above = target > jax.lax.stop_gradient(two_hot_mean(logits))
    heavy = ~above if lower else above
    return jnp.where(heavy, expectile, 1.0 - expectile) * two_hot_loss(logits, target)


def masked_mean(values: Float[Array, "*b"], mask: Float[Array, "*b"]) -> Float[Array, ""]:
    """Mean where the mask is 1; 0 where it is 0 everywhere."""
    return (values * mask).sum() / jnp.maximum(mask.sum(), 1.0)


# --- imagined rollouts ---


class ImaginedRollout(NamedTuple):
    """Imagined trajectories of H steps from N states."""

    features: Float[Array, "states n features"]
    """Of H + 1 states."""
    action: Float[Array, "h n act"]
    reward: Float[Array, "h n"]
    """Of each step."""
    cost: Float[Array, "h n"]
    """Of each step."""
    discount: Float[Array, "h n"]
    """gamma times the probability of going on from the state entered."""
    weight: Float[Array, "states n"]
    """How much each state counts."""

    def returns(self, reward: Float[Array, "h n"], value: NormedMLP, *, mixing: float) -> Float[Array, "states n"]:
        """lambda-returns of `reward` (or of the cost), with the two-hot critic `value` of states at the end."""
        return lambda_returns(reward, two_hot_mean(value(self.features)), self.discount, mixing=mixing)


Earned = Callable[[Steps | ImaginedRollout], Array]
"""The rewards or the costs of steps."""


def imagine_rollout(
    model: WorldModel,
    start: Latent,
    going_on: Float[Array, " n"],
    choose: Choose,
    key: Key[Array, ""],
    *,
    horizon: int,
    discount: float,
    config: WorldModelConfig,
) -> ImaginedRollout:
    """Imagine from the states `start` [N, ...], of which `going_on` [N] are not terminal.

    Gradients go through dynamics and actions, as far as `choose` lets them. The model's parameters are taken as fixed.
    """
    model, start = _in_precision(model, start, config)
    imagined = world_model.imagine(
        model, start, lambda features, one: choose(features.astype(jnp.float32), one), key, horizon=horizon
    )
    return _predicted(model, imagined, going_on, discount)


def imagine_actions(
    model: WorldModel,
    start: Latent,
    action: Float[Array, "h n act"],
    key: Key[Array, ""],
    *,
    discount: float,
    config: WorldModelConfig,
) -> ImaginedRollout:
    """Imagine given actions from the non-terminal states `start` [N, ...]."""
    model, start = _in_precision(model, start, config)
    imagined = world_model.imagine_actions(model, start, action, key)
    return _predicted(model, imagined, jnp.ones(action.shape[1]), discount)


def _in_precision(model: WorldModel, start: Latent, config: WorldModelConfig) -> tuple[WorldModel, Latent]:
    """Model and states in the precision of imagination, the parameters taken as fixed."""
    model = world_model.in_precision(jax.lax.stop_gradient(model), config)
    return model, jax.tree.map(lambda leaf: leaf.astype(model.rssm.first.dtype), start)


def _predicted(model: WorldModel, imagined: Imagined, going_on: Float[Array, " n"], discount: float) -> ImaginedRollout:
    """Rewards, costs and weights that the model predicts of imagined states."""
    features = imagined.latent.features
    entered = features[1:]
    discounts = discount * model.predict_continue(entered)
    return ImaginedRollout(
        features=features.astype(jnp.float32),
        action=imagined.action,
        reward=model.predict_reward(entered),
        cost=model.predict_cost(entered),
        discount=discounts,
        weight=step_weights(discounts, going_on),
    )


# --- acting ---


class Carry(NamedTuple):
    """Memory of a world-model policy in n episodes."""

    latent: Latent
    action: Float[Array, "n act"]
    """The one that led here."""
    is_first: Bool[Array, " n"]
    """Whether nothing was seen yet."""
    memory: Any
    """What its way to choose actions remembers, [n, ...]; None where that is nothing."""


def recurrent_policy(
    model: WorldModel,
    choose: ChooseWithMemory,
    memory: Callable[[int], Any],
    *,
    config: WorldModelConfig,
    scales: ObservationScales | None = None,
) -> Policy:
    """The policy that keeps a belief by the world model and acts by `choose(memory, latent, key)`, whose memory before
    the first step of n episodes is `memory(n)`. `scales`: of observations, where the model sees them scaled."""
    model = world_model.in_precision(model, config)

    def initial(count: int) -> Carry:
        action_dim = model.rssm.action_kernel.shape[0]
        latent, action = world_model.initial(model, count), jnp.zeros((count, action_dim))
        return Carry(latent, action, jnp.ones(count, bool), memory(count))

    def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Carry, Float[Array, "n act"]]:
        k_observe, k_choose = jax.random.split(key)
        observation = scaled(inputs.observation, scales)
        before = carry.action if inputs.applied is None else inputs.applied
        latent = world_model.observe_step(model, carry.latent, before, observation, carry.is_first, k_observe)
        kept, action = choose(carry.memory, latent, k_choose)
        action = jnp.clip(action, -1.0, 1.0)
        return Carry(latent, action, jnp.zeros_like(carry.is_first), kept), action

    return Policy(initial, act)


def without_memory(choose: Choose) -> ChooseWithMemory:
    """`choose(features, key)` as `recurrent_policy` takes it, with a memory of None."""
    return lambda memory, latent, key: (memory, choose(latent.features.astype(jnp.float32), key))
