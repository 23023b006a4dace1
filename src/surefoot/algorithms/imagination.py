"""What the algorithms on a world model share: dreams, steps of the data in latent space, a policy that remembers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from surefoot import world_model
from surefoot.data.frames import Frames
from surefoot.nn import NormedMLP
from surefoot.nn.two_hot import two_hot_mean
from surefoot.types import Policy, PolicyInputs
from surefoot.values import lambda_returns, step_weights
from surefoot.world_model import Imagined, Latent, WorldModel, WorldModelConfig

Choose = Callable[[Float[Array, "n features"], Key[Array, ""]], Float[Array, "n act"]]
"""(features, a key) -> actions."""
ChooseWithMemory = Callable[[Any, Latent, Key[Array, ""]], tuple[Any, Float[Array, "n act"]]]
"""(memory, states, a key) -> (memory, actions)."""


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
    """The states [B, T, ...] that a window was in, float32, without a gradient; see `world_model.observe`."""
    precise = world_model.in_precision(model, config)
    seen = world_model.observe(precise, frames, key, encoded_at_once=encoded_at_once)
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf.astype(jnp.float32)), seen.latent)


class Dream(NamedTuple):
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


def dream(
    model: WorldModel,
    start: Latent,
    going_on: Float[Array, " n"],
    choose: Choose,
    key: Key[Array, ""],
    *,
    horizon: int,
    discount: float,
    config: WorldModelConfig,
) -> Dream:
    """Imagine from the states `start` [N, ...], of which `going_on` [N] are not terminal.

    Gradients go through dynamics and actions, as far as `choose` lets them. The model's parameters are taken as fixed.
    """
    model, start = _ready(model, start, config)
    imagined = world_model.imagine(
        model, start, lambda features, one: choose(features.astype(jnp.float32), one), key, horizon=horizon
    )
    return _judged(model, imagined, going_on, discount)


def dream_of(
    model: WorldModel,
    start: Latent,
    action: Float[Array, "h n act"],
    key: Key[Array, ""],
    *,
    discount: float,
    config: WorldModelConfig,
) -> Dream:
    """The same under actions that were chosen before, from states of which none is terminal."""
    model, start = _ready(model, start, config)
    imagined = world_model.imagine_actions(model, start, action, key)
    return _judged(model, imagined, jnp.ones(action.shape[1]), discount)


def _ready(model: WorldModel, start: Latent, config: WorldModelConfig) -> tuple[WorldModel, Latent]:
    """Both in the numbers that dreams are computed in, the parameters taken as fixed."""
    model = world_model.in_precision(jax.lax.stop_gradient(model), config)
    return model, jax.tree.map(lambda leaf: leaf.astype(model.rssm.first.dtype), start)


def _judged(model: WorldModel, imagined: Imagined, going_on: Float[Array, " n"], discount: float) -> Dream:
    """What the model thinks of imagined states."""
    features = imagined.latent.features
    entered = features[1:]
    discounts = discount * model.predict_continue(entered)
    return Dream(
        features=features.astype(jnp.float32),
        action=imagined.action,
        reward=model.predict_reward(entered),
        cost=model.predict_cost(entered),
        discount=discounts,
        weight=step_weights(discounts, going_on),
    )


class Carry(NamedTuple):
    """What a policy on a world model remembers of n episodes."""

    latent: Latent
    action: Float[Array, "n act"]
    """The one that led here."""
    is_first: Bool[Array, " n"]
    """Whether nothing was seen yet."""
    memory: Any
    """What its way to choose actions remembers, [n, ...]; None where that is nothing."""


def recurrent_policy(
    model: WorldModel, choose: ChooseWithMemory, memory: Callable[[int], Any], *, config: WorldModelConfig
) -> Policy:
    """The policy that keeps a belief by the world model and acts by `choose(memory, latent, key)`, whose memory before
    the first step of n episodes is `memory(n)`."""
    model = world_model.in_precision(model, config)

    def initial(count: int) -> Carry:
        action_dim = model.rssm.action_kernel.shape[0]
        latent, action = world_model.initial(model, count), jnp.zeros((count, action_dim))
        return Carry(latent, action, jnp.ones(count, bool), memory(count))

    def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Carry, Float[Array, "n act"]]:
        k_observe, k_choose = jax.random.split(key)
        latent = world_model.observe_step(
            model, carry.latent, carry.action, inputs.observation, carry.is_first, k_observe
        )
        kept, action = choose(carry.memory, latent, k_choose)
        action = jnp.clip(action, -1.0, 1.0)
        return Carry(latent, action, jnp.zeros_like(carry.is_first), kept), action

    return Policy(initial, act)


def without_memory(choose: Choose) -> ChooseWithMemory:
    """`choose(features, key)` as `recurrent_policy` takes it, with a memory of None."""
    return lambda memory, latent, key: (memory, choose(latent.features.astype(jnp.float32), key))
