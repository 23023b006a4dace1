"""World model: encodes observations, predicts the consequences of actions, and their rewards, costs and continuation.

`initial / observe / imagine / loss` (Hafner et al., DreamerV3, 2023, arXiv 2301.04104; with a head for the cost as in
SafeDreamer, ICLR 2024, arXiv 2307.07176). All functions are pure and independent of any algorithm.
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
    """Encoder, recurrent state-space model, decoder and heads."""

    encoder: Encoder
    rssm: RSSM
    decoder: Decoder
    reward: NormedMLP
    cost: NormedMLP
    going_on: NormedMLP
    """Logit of the probability that the episode does not terminate on arriving in a state."""

    def predict_reward(self, features: Float[Array, "*b features"]) -> Float[Array, "*b"]:
        """Predicted reward [*b] on arriving in a state with these features."""
        return two_hot_mean(self.reward(features))

    def predict_cost(self, features: Float[Array, "*b features"]) -> Float[Array, "*b"]:
        """Predicted cost [*b] on arriving in a state with these features."""
        return two_hot_mean(self.cost(features))

    def predict_continue(self, features: Float[Array, "*b features"]) -> Float[Array, "*b"]:
        """Predicted probability [*b] that the episode does not terminate in a state with these features."""
        return jax.nn.sigmoid(self.going_on(features)[..., 0].astype(jnp.float32))


def make_world_model(
    key: Key[Array, ""], config: WorldModelConfig, *, shape: Sequence[int], action_dim: int
) -> WorldModel:
    """World model with random parameters.

    The reward's head starts at 0; the cost's does not.

    Args:
        key: Random key.
        config: Sizes.
        shape: Shape of an observation: [height, width, channels] of images, [obs] of vectors.
        action_dim: Numbers of an action.

    Returns:
        The model.

    Raises:
        ConfigError: The encoder does not fit the shape.
    """
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
    """Latent states before the first observation.

    Args:
        model: World model.
        count: Number of states n.

    Returns:
        States, arrays [n, ...].
    """
    return model.rssm.initial(count)


def observe(model: WorldModel, frames: Frames, key: Key[Array, ""], *, encoded_at_once: int | None = None) -> Observed:
    """Posterior states of windows.

    Args:
        model: World model.
        frames: Windows of B rows and T steps.
        key: Random key.
        encoded_at_once: Frames whose activations are in memory together, as of `encode`; None: all.

    Returns:
        Posterior states, posterior and prior, arrays [B, T, ...].
    """
    embedding = encode(model.encoder, frames.observation, at_once=encoded_at_once)
    return model.rssm.observe(embedding, frames.action, frames.is_first, key)


def encode(encoder: Encoder, observation: Array, *, at_once: int | None) -> Float[Array, "b t size"]:
    """Embeddings of the observations in windows.

    Args:
        encoder: Encoder.
        observation: Observations [B, T, ...].
        at_once: Frames whose activations are in memory together, at least those of one window, for callers that need no
            gradient; None: all.

    Returns:
        Embeddings [B, T, size].
    """
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
    """Posterior states after one step of n environments.

    Args:
        model: World model.
        latent: States before the step, arrays [n, ...].
        action: Actions [n, act] that led from `latent` to `observation`.
        observation: Observations [n, ...] after the step.
        is_first: Whether an episode begins with the observation [n]; state and action before it are ignored.
        key: Random key.

    Returns:
        States, arrays [n, ...].
    """
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
    """Imagined rollouts under a policy, by the prior.

    Gradients pass through states and actions. Stop them in `start` and in the input of `act` where they should not.

    Args:
        model: World model.
        start: Initial states, arrays [N, ...].
        act: (features [N, features], key) -> actions [N, act].
        key: Random key.
        horizon: Steps H.

    Returns:
        States [H + 1, N, ...] and actions [H, N, act].
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
    """Imagined rollouts under given actions, by the prior.

    Args:
        model: World model.
        start: Initial states, arrays [N, ...].
        action: Actions [H, N, act].
        key: Random key.

    Returns:
        States [H + 1, N, ...] and the actions.
    """
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
    """Training loss of the model: weighted losses, averaged over all steps (DreamerV3, 2023, equation 5).

    The KL divergence of a step is summed over all variables, and free nats apply to the sum.

    Args:
        model: World model.
        frames: Windows of B rows and T steps.
        key: Random key.
        config: Weights of the losses.

    Returns:
        (loss, (metrics `model/...`, posterior states [B, T, ...])).
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
    """One gradient step on `loss`.

    Args:
        model: World model.
        state: Optimizer state.
        frames: Windows of B rows and T steps.
        key: Random key.
        config: Weights of the losses, and the optimizer.

    Returns:
        (new model, new optimizer state, metrics `model/...`, posterior states [B, T, ...] before the step).
    """
    gradient, (metrics, latent) = jax.grad(loss, has_aux=True)(model, frames, key, config=config)
    model, state = apply_gradient(optimizer(config), gradient, state, model)
    return model, state, metrics, latent


def in_precision(tree: Tree, config: WorldModelConfig) -> Tree:
    """Parameters in the floating-point type of activations.

    Args:
        tree: World model or other tree of arrays.
        config: Its `compute` names the type.

    Returns:
        Tree of equal structure.
    """
    if config.compute == "float32":
        return tree
    kind = jnp.bfloat16

    def cast(leaf: Any) -> Any:
        return leaf.astype(kind) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)
