"""Imagined rollouts of a world model: returns, weights, losses of two-hot critics, and a policy that keeps a belief.

FOSP and SafeDreamer share them. `Steps` are the data's steps in latent space.
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
"""From (features, a key) to actions."""
ChooseWithMemory = Callable[[Any, Latent, Key[Array, ""]], tuple[Any, Float[Array, "n act"]]]
"""From (memory, states, a key) to (memory, actions)."""


def pair(features: Float[Array, "*b features"], action: Float[Array, "*b act"]) -> Float[Array, "*b in"]:
    """Inputs [z, a] of a Q-network, [*b, features + act]."""
    return jnp.concatenate([features, action], -1)


class Steps(NamedTuple):
    """Steps of the data between latent states: n = B (T - 1) transitions, gradients stopped."""

    features: Float[Array, "n features"]
    action: Float[Array, "n act"]
    next_features: Float[Array, "n features"]
    reward: Float[Array, " n"]
    """Reward of the step."""
    cost: Float[Array, " n"]
    """Cost of the step."""
    cost_here: Float[Array, " n"]
    """Cost of being in the state that the step leaves."""
    continues: Float[Array, " n"]
    """0 where the state entered is terminal."""
    continues_here: Float[Array, " n"]
    """0 where the state left is terminal, so that there was no step."""
    mask: Float[Array, " n"]
    """1 where there was a step: the next frame belongs to the same episode."""


def steps_of(features: Float[Array, "b t features"], frames: Frames) -> Steps:
    """Steps between neighboring frames of B windows of T; reward and cost of frame t + 1 belong to step t."""

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
    """Posterior states [B, T, ...] of windows, float32, without a gradient (`world_model.observe`).

    Only `encoded_at_once` frames' activations are in memory together; None: all.
    """
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
    """Lambda-returns G_t = r_{t+1} + d_{t+1} [(1 - lambda) V_{t+1} + lambda G_{t+1}], G_H = V_H (DreamerV3, equation
    7).

    Args:
        reward: Reward or cost of entering state t + 1, [H, n].
        value: V of every state, [H + 1, n].
        discount: d_{t+1}: gamma times the probability that the episode goes on, [H, n].
        mixing: lambda in (0, 1).

    Returns:
        G_0, ..., G_H, [H + 1, n].
    """

    def step(later: Float[Array, " n"], inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        reward, next_value, discount = inputs
        now = reward + discount * ((1.0 - mixing) * next_value + mixing * later)
        return now, now

    _, returns = jax.lax.scan(step, value[-1], (reward, value[1:], discount), reverse=True)
    return jnp.concatenate([returns, value[-1:]])


def step_weights(discount: Float[Array, "h n"], going_on: Float[Array, " n"]) -> Float[Array, "states n"]:
    """Weight of each imagined state: gamma^t times the probability of reaching it, without a gradient.

    Args:
        discount: gamma times the probability that the episode goes on after each step, [H, n].
        going_on: 0 where the first state is terminal, else 1, [n].

    Returns:
        Weights, [H + 1, n].
    """
    return jax.lax.stop_gradient(jnp.cumprod(jnp.concatenate([going_on[None], discount]), 0))


class Spread(NamedTuple):
    """Moving average of the range of returns; float32 scalars."""

    low: Float[Array, ""]
    """Average of the 5th percentile."""
    high: Float[Array, ""]
    """Average of the 95th percentile."""


def init_spread() -> Spread:
    """Spread before the first return: 0 to 0."""
    return Spread(jnp.zeros(()), jnp.zeros(()))


def update_spread(spread: Spread, values: Float[Array, "*n"], *, rate: float) -> Spread:
    """Move a spread towards the percentiles of new returns [*n], of which the share `rate` in (0, 1] enters."""
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
    """Two-hot form of `expectile_loss` (FOSP, arXiv 2407.04942): cross-entropy with asymmetric weights.

    Args:
        logits: Two-hot logits of the prediction, [*b, bins].
        target: Targets, [*b].
        expectile: Weight where the target lies above the prediction; 1 - `expectile` elsewhere. Near 1 the prediction
            is a soft maximum of the targets.
        lower: Swap the weights: a soft minimum.

    Returns:
        Terms of the loss, [*b].
    """
    above = target > jax.lax.stop_gradient(two_hot_mean(logits))
    heavy = ~above if lower else above
    return jnp.where(heavy, expectile, 1.0 - expectile) * two_hot_loss(logits, target)


def masked_mean(values: Float[Array, "*b"], mask: Float[Array, "*b"]) -> Float[Array, ""]:
    """Mean of values [*b] where the mask is 1; 0 where it is 0 everywhere."""
    return (values * mask).sum() / jnp.maximum(mask.sum(), 1.0)


# --- imagined rollouts ---


class ImaginedRollout(NamedTuple):
    """Imagined trajectories of H steps from n states."""

    features: Float[Array, "states n features"]
    """Features of H + 1 states."""
    action: Float[Array, "h n act"]
    reward: Float[Array, "h n"]
    """Predicted reward of each step."""
    cost: Float[Array, "h n"]
    """Predicted cost of each step."""
    discount: Float[Array, "h n"]
    """gamma times the probability that the episode goes on from the state entered."""
    weight: Float[Array, "states n"]
    """Weight of each state in a mean."""

    def returns(self, reward: Float[Array, "h n"], value: NormedMLP, *, mixing: float) -> Float[Array, "states n"]:
        """Lambda-returns [H + 1, n] of rewards or costs [H, n], with the two-hot critic `value` of states at the
        end."""
        return lambda_returns(reward, two_hot_mean(value(self.features)), self.discount, mixing=mixing)


Earned = Callable[[Steps | ImaginedRollout], Array]
"""Picks the rewards or the costs of steps."""


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
    """Imagine H steps from given states, with actions chosen on the way.

    Gradients go through dynamics and actions, as far as `choose` lets them; the model's parameters are fixed.

    Args:
        model: World model.
        start: States to start from, [n, ...].
        going_on: 0 where such a state is terminal, else 1, [n].
        choose: (features [n, features], key) -> actions [n, act].
        key: Random key.
        horizon: Steps H.
        discount: gamma, per decision.
        config: Precision of the model.

    Returns:
        The rollout.
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
    """Imagine H steps of given actions [H, n, act] from non-terminal states; arguments as of `imagine_rollout`."""
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
    """The last action."""
    is_first: Bool[Array, " n"]
    """Whether no observation was seen yet."""
    memory: Any
    """Memory of the way to choose actions, [n, ...]; None where it has none."""


def recurrent_policy(
    model: WorldModel,
    choose: ChooseWithMemory,
    memory: Callable[[int], Any],
    *,
    config: WorldModelConfig,
    scales: ObservationScales | None = None,
) -> Policy:
    """Policy that keeps a belief by the world model and chooses actions from it.

    Args:
        model: World model.
        choose: (memory, latent states, key) -> (memory, actions [n, act]).
        memory: Memory of `choose` before the first step of n episodes.
        config: Precision of the model.
        scales: Scales of the observations; None where they are not scaled.

    Returns:
        The policy; its actions are clipped to [-1, 1].
    """
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
    """A memoryless `choose(features, key)` in the form that `recurrent_policy` takes."""
    return lambda memory, latent, key: (memory, choose(latent.features.astype(jnp.float32), key))
