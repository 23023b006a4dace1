"""The world model: it reads observations, predicts what actions lead to, and says what that is worth and costs.

`initial / observe / imagine / loss` (Hafner et al., DreamerV3, 2023, arXiv 2301.04104; with a head for the cost as in
SafeDreamer, ICLR 2024, arXiv 2307.07176). Everything is array operations and scans; nothing here knows an algorithm.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key

from surefoot.data.frames import Frames
from surefoot.nn.categorical import kl_divergence
from surefoot.nn.networks import apply_gradient
from surefoot.nn.normed import NormedMLP
from surefoot.nn.two_hot import two_hot_loss, two_hot_mean
from surefoot.types import Metrics
from surefoot.world_model.config import WorldModelConfig
from surefoot.world_model.encoders import (
    Decoder,
    Encoder,
    embedding_size,
    make_decoder,
    make_encoder,
    prepare_observation,
)
from surefoot.world_model.latent import Imagined, Latent, Observed
from surefoot.world_model.rssm import RSSM

Tree = TypeVar("Tree")


class WorldModel(eqx.Module):
    """Encoder, recurrent model, decoder and heads."""

    encoder: Encoder
    rssm: RSSM
    decoder: Decoder
    reward: NormedMLP
    cost: NormedMLP
    going_on: NormedMLP
    """Logit of the probability that the episode does not terminate on arriving in a state."""

    def predict_reward(self, features: Float[Array, "*b features"]) -> Float[Array, "*b"]:
        """Reward received on arriving in a state."""
        return two_hot_mean(self.reward(features))

    def predict_cost(self, features: Float[Array, "*b features"]) -> Float[Array, "*b"]:
        """Cost received on arriving in a state."""
        return two_hot_mean(self.cost(features))

    def predict_continue(self, features: Float[Array, "*b features"]) -> Float[Array, "*b"]:
        """Probability that the episode goes on from a state."""
        return jax.nn.sigmoid(self.going_on(features)[..., 0].astype(jnp.float32))


def make_world_model(
    key: Key[Array, ""], config: WorldModelConfig, *, shape: Sequence[int], action_dim: int
) -> WorldModel:
    """A fresh model of observations of `shape`. The reward's head starts at 0, the cost's does not."""
    k_encoder, k_rssm, k_decoder, k_reward, k_cost, k_going_on = jax.random.split(key, 6)
    sizes = (config.features, config.head_hidden)
    return WorldModel(
        encoder=make_encoder(k_encoder, config, shape),
        rssm=RSSM.create(k_rssm, config, embedding=embedding_size(config, shape), action_dim=action_dim),
        decoder=make_decoder(k_decoder, config, shape),
        reward=NormedMLP.create(k_reward, *sizes, config.bins, out_scale=0.0),
        cost=NormedMLP.create(k_cost, *sizes, config.bins),
        going_on=NormedMLP.create(k_going_on, *sizes, 1),
    )


def initial(model: WorldModel, count: int) -> Latent:
    """The states before anything was seen, [count, ...]."""
    return model.rssm.initial(count)


def observe(model: WorldModel, frames: Frames, key: Key[Array, ""], *, encoded_at_once: int | None = None) -> Observed:
    """Posterior states of windows [B, T, ...]; `encoded_at_once` as of `encode`."""
    embedding = encode(model.encoder, frames.observation, at_once=encoded_at_once)
    return model.rssm.observe(embedding, frames.action, frames.is_first, key)


def encode(encoder: Encoder, observation: Array, *, at_once: int | None) -> Float[Array, "b t size"]:
    """Embeddings of windows [B, T, ...]. `at_once`: frames, at least one window's, whose activations are in memory
    together, for what needs no gradient; None: all."""
    rows, length = observation.shape[:2]
    if at_once is not None and rows * length > at_once:
        return jax.lax.map(encoder, observation, batch_size=max(1, at_once // length))
    return encoder(observation.reshape(rows * length, *observation.shape[2:])).reshape(rows, length, -1)


def observe_step(
    model: WorldModel,
    latent: Latent,
    action: Float[Array, "n act"],
    observation: Array,
    is_first: Bool[Array, " n"],
    key: Key[Array, ""],
) -> Latent:
    """The posterior states after one step of n environments: `action` led from `latent` to `observation`."""
    rssm = model.rssm
    first = rssm.initial(is_first.shape[0])
    latent = jax.tree.map(lambda new, old: jnp.where(is_first[:, None], new, old), first, latent)
    h = rssm.advance(latent, rssm.action_part(jnp.where(is_first[:, None], 0.0, action)))
    posterior = rssm.posterior(h, rssm.embedding_part(model.encoder(observation)))
    return rssm.draw(h, posterior, jax.random.gumbel(key, posterior.shape))


def imagine(
    model: WorldModel,
    start: Latent,
    act: Callable[[Float[Array, "n features"], Key[Array, ""]], Float[Array, "n act"]],
    key: Key[Array, ""],
    *,
    horizon: int,
) -> Imagined:
    """`horizon` steps of the prior from the states `start` [N, ...]; `act(features, key)` chooses the actions.

    Gradients go through states and actions; stop them in `start` and in `act`'s input where they should not.
    """
    rssm, count = model.rssm, start.deterministic.shape[0]
    k_act, k_noise = jax.random.split(key)
    gumbel = jax.random.gumbel(k_noise, (horizon, count, rssm.groups, rssm.classes))

    def step(latent: Latent, inputs: tuple[Key[Array, ""], Array]) -> tuple[Latent, tuple[Latent, Array]]:
        step_key, noise = inputs
        action = act(latent.features, step_key)
        entered = rssm.imagine_step(latent, action, noise)
        return entered, (entered, action)

    _, (entered, action) = jax.lax.scan(step, start, (jax.random.split(k_act, horizon), gumbel))
    states = jax.tree.map(lambda one, many: jnp.concatenate([one[None], many]), start, entered)
    return Imagined(states, action)


def imagine_actions(model: WorldModel, start: Latent, action: Float[Array, "h n act"], key: Key[Array, ""]) -> Imagined:
    """The prior's steps from the states `start` [N, ...] under sequences of actions that were chosen before."""
    rssm = model.rssm
    gumbel = jax.random.gumbel(key, (*action.shape[:2], rssm.groups, rssm.classes))

    def step(latent: Latent, inputs: tuple[Array, Array]) -> tuple[Latent, Latent]:
        entered = rssm.imagine_step(latent, *inputs)
        return entered, entered

    _, entered = jax.lax.scan(step, start, (action, gumbel))
    return Imagined(jax.tree.map(lambda one, many: jnp.concatenate([one[None], many]), start, entered), action)


def loss(
    model: WorldModel, frames: Frames, key: Key[Array, ""], *, config: WorldModelConfig
) -> tuple[Float[Array, ""], tuple[Metrics, Latent]]:
    """What the model is trained on: mean over all steps of the weighted losses; also metrics and the posterior states.

    The KL is that summed over all variables of a step; free nats apply to the sum (DreamerV3, equation 5).
    """
    model = in_precision(model, config)
    seen = observe(model, frames, key)
    features = seen.latent.features
    rows, length = frames.is_first.shape
    drawn = model.decoder(features.reshape(rows * length, -1))
    target = prepare_observation(frames.observation).reshape(drawn.shape)
    stop = jax.lax.stop_gradient
    prior_kl = kl_divergence(stop(seen.posterior), seen.prior)
    posterior_kl = kl_divergence(seen.posterior, stop(seen.prior))
    emphasis = jnp.where(frames.cost >= 1.0, config.cost_emphasis, 1.0)
    going_on = model.going_on(features)[..., 0].astype(jnp.float32)
    losses = {
        "observation": jnp.square(drawn - target).reshape(rows, length, -1).sum(-1),
        "reward": two_hot_loss(model.reward(features), frames.reward),
        "cost": emphasis * two_hot_loss(model.cost(features), frames.cost),
        "continue": optax.sigmoid_binary_cross_entropy(going_on, 1.0 - frames.terminated.astype(jnp.float32)),
        "prior": jnp.maximum(config.free_nats, prior_kl),
        "posterior": jnp.maximum(config.free_nats, posterior_kl),
    }
    scales = {
        "observation": config.observation_scale,
        "reward": config.reward_scale,
        "cost": config.cost_scale,
        "continue": config.continue_scale,
        "prior": config.prior_scale,
        "posterior": config.posterior_scale,
    }
    total = sum((scales[name] * values.mean() for name, values in losses.items()), jnp.zeros(()))
    metrics = {f"model/{name}_loss": losses[name].mean() for name in ("observation", "reward", "cost", "continue")}
    return total, ({"model/loss": total, "model/kl": prior_kl.mean(), **metrics}, seen.latent)


def optimizer(config: WorldModelConfig) -> optax.GradientTransformation:
    """Adam on a gradient of bounded norm."""
    return optax.chain(optax.clip_by_global_norm(config.clip), optax.adam(config.learning_rate))


def update(
    model: WorldModel, state: optax.OptState, frames: Frames, key: Key[Array, ""], *, config: WorldModelConfig
) -> tuple[WorldModel, optax.OptState, Metrics, Latent]:
    """One step down `loss`; also the posterior states [B, T, ...] that it went through."""
    gradient, (metrics, latent) = jax.grad(loss, has_aux=True)(model, frames, key, config=config)
    model, state = apply_gradient(optimizer(config), gradient, state, model)
    return model, state, metrics, latent


def in_precision(tree: Tree, config: WorldModelConfig) -> Tree:
    """The parameters in the numbers that activations are computed in."""
    if config.compute == "float32":
        return tree
    kind = jnp.bfloat16

    def cast(leaf: Any) -> Any:
        return leaf.astype(kind) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)
