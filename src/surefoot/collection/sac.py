"""Soft actor-critic: the online learner whose replay buffer becomes the "medium-replay" data of TREBI's tasks.

Haarnoja et al., 2018, arXiv 1812.05905: two critics (equation 5 with the smaller of two targets), a squashed Gaussian
policy (equation 9) and a learned temperature (equation 18). Defaults are those of Stable-Baselines3, with the learning
rate of TREBI's recipe. Costs are no part of it.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from surefoot.nn import MLP, Dense, apply_gradient, init_optimizer
from surefoot.nn.networks import dense_layers, move_towards
from surefoot.ranges import Range, Ranged
from surefoot.types import Metrics

_LOG_DEVIATION = (-20.0, 2.0)
"""Bounds of the log of the policy's standard deviation before squashing."""


@dataclass(frozen=True)
class SAC(Ranged):
    """Hyper-parameters of soft actor-critic. Hashable, so a static argument of `jit`."""

    hidden: Annotated[tuple[int, ...], Range("[1, 65536]")] = (256, 256)
    """Widths of the hidden layers of policy and critics."""
    learning_rate: Annotated[float, Range("(0, inf)")] = 1e-3
    """Of Adam, for policy, critics and temperature."""
    discount: Annotated[float, Range("[0, 1)")] = 0.99
    """Per environment step."""
    target_rate: Annotated[float, Range("(0, 1]")] = 0.005
    """Share of the critics that their targets take over in an update."""
    batch_size: Annotated[int, Range("[1, 2^24]")] = 256
    """Transitions per update."""


class Actor(eqx.Module):
    """A diagonal Gaussian that tanh squashes into [-1, 1]; mean and log deviation from one perceptron with ReLU."""

    layers: tuple[Dense, ...]

    def __call__(self, x: Float[Array, "*b obs"]) -> tuple[Float[Array, "*b act"], Float[Array, "*b act"]]:
        """(mean, log of the standard deviation) before squashing."""
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        mean, log_deviation = jnp.split(self.layers[-1](x), 2, axis=-1)
        return mean, jnp.clip(log_deviation, *_LOG_DEVIATION)


class Optimizers(NamedTuple):
    """States of the three optimizers."""

    actor: optax.OptState
    critics: optax.OptState
    log_temperature: optax.OptState


class SACState(NamedTuple):
    """Training state of the learner: a tree of arrays, and so a checkpoint."""

    actor: Actor
    critics: MLP
    """An ensemble of two."""
    targets: MLP
    log_temperature: Float[Array, ""]
    optimizers: Optimizers


class Batch(NamedTuple):
    """Transitions; `terminated` is 0 or 1, and 0 where the horizon ended the episode."""

    observation: Float[Array, "B obs"]
    action: Float[Array, "B act"]
    reward: Float[Array, " B"]
    next_observation: Float[Array, "B obs"]
    terminated: Float[Array, " B"]


def init(config: SAC, observation_dim: int, action_dim: int, key: Key[Array, ""]) -> SACState:
    """Fresh networks and optimizers, with a temperature of 1.

    Args:
        config: Hyper-parameters.
        observation_dim: Numbers of an observation.
        action_dim: Numbers of an action.
        key: Random key of the parameters.

    Returns:
        The state before the first update.
    """
    k_actor, k_critics = jax.random.split(key)
    sizes = [observation_dim, *config.hidden, 2 * action_dim]
    actor = Actor(dense_layers(k_actor, list(itertools.pairwise(sizes))))
    critics = MLP.create(k_critics, observation_dim + action_dim, config.hidden, members=(2,))
    log_temperature = jnp.zeros(())
    optimizer = optax.adam(config.learning_rate)
    optimizers = Optimizers(*(init_optimizer(optimizer, part) for part in (actor, critics, log_temperature)))
    # A copy: what shares memory with its target could not be donated.
    return SACState(actor, critics, jax.tree.map(jnp.copy, critics), log_temperature, optimizers)


def sample_action(
    actor: Actor, observation: Float[Array, "n obs"], key: Key[Array, ""]
) -> tuple[Float[Array, "n act"], Float[Array, " n"]]:
    """Actions drawn from the policy, and their log density (appendix C).

    Args:
        actor: The policy.
        observation: Observations, [n, obs].
        key: Random key.

    Returns:
        (actions [n, act] in [-1, 1], log densities [n] in nats).
    """
    mean, log_deviation = actor(observation)
    noise = jax.random.normal(key, mean.shape)
    raw = mean + jnp.exp(log_deviation) * noise
    log_density = -0.5 * noise**2 - log_deviation - 0.5 * np.log(2.0 * np.pi)
    # log(1 - tanh(x)^2), written so that large x do not become log 0.
    squeeze = 2.0 * (np.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))
    return jnp.tanh(raw), (log_density - squeeze).sum(-1)


def act(state: SACState, observation: Float[Array, "n obs"], key: Key[Array, ""]) -> Float[Array, "n act"]:
    """Draw actions from the policy.

    Args:
        state: The learner.
        observation: Observations, [n, obs].
        key: Key of the draws.

    Returns:
        Actions in [-1, 1], [n, act].
    """
    return sample_action(state.actor, observation, key)[0]


def critic_loss(critics: MLP, batch: Batch, target: Float[Array, " B"]) -> tuple[Float[Array, ""], Metrics]:
    """Half the squared error of both critics, added (equation 5).

    Args:
        critics: Two critics.
        batch: B transitions.
        target: Soft Bellman targets, [B].

    Returns:
        `(loss, metrics)`: `critic/loss`, and mean value `critic/value`.
    """
    values = critics(jnp.concatenate([batch.observation, batch.action], -1))
    loss = 0.5 * ((values - target[None]) ** 2).mean(-1).sum()
    return loss, {"critic/loss": loss, "critic/value": values.mean()}


def actor_loss(
    actor: Actor, critics: MLP, batch: Batch, temperature: Float[Array, ""], key: Key[Array, ""]
) -> tuple[Float[Array, ""], tuple[Float[Array, ""], Metrics]]:
    """Temperature times log density minus the smaller value (equation 9).

    Args:
        actor: The policy.
        critics: Two critics.
        batch: B transitions.
        temperature: Weight of the entropy, a scalar.
        key: Random key of the actions.

    Returns:
        `(loss, (mean log density, metrics))`: `actor/loss`, and `actor/entropy` in nats.
    """
    action, log_density = sample_action(actor, batch.observation, key)
    values = critics(jnp.concatenate([batch.observation, action], -1)).min(0)
    loss = (temperature * log_density - values).mean()
    return loss, (log_density.mean(), {"actor/loss": loss, "actor/entropy": -log_density.mean()})


def update(config: SAC, state: SACState, batch: Batch, key: Key[Array, ""]) -> tuple[SACState, Metrics]:
    """One step of critics, policy and temperature, then of the targets; all read the temperature from before.

    Args:
        config: Hyper-parameters.
        state: Training state.
        batch: B transitions.
        key: Random key of the actions.

    Returns:
        (state, metrics) under `critic/` and `actor/`, and `temperature`.
    """
    k_target, k_actor = jax.random.split(key)
    optimizer = optax.adam(config.learning_rate)
    temperature = jnp.exp(state.log_temperature)

    next_action, next_density = sample_action(state.actor, batch.next_observation, k_target)
    next_values = state.targets(jnp.concatenate([batch.next_observation, next_action], -1)).min(0)
    soft_value = next_values - temperature * next_density
    target = batch.reward + config.discount * (1.0 - batch.terminated) * soft_value
    critic_gradient: Callable[..., tuple[MLP, Metrics]] = jax.grad(critic_loss, has_aux=True)
    gradient, critic_metrics = critic_gradient(state.critics, batch, target)
    critics, critics_opt = apply_gradient(optimizer, gradient, state.optimizers.critics, state.critics)

    actor_gradient: Callable[..., tuple[Actor, tuple[Array, Metrics]]] = jax.grad(actor_loss, has_aux=True)
    gradient, (log_density, actor_metrics) = actor_gradient(state.actor, critics, batch, temperature, k_actor)
    actor, actor_opt = apply_gradient(optimizer, gradient, state.optimizers.actor, state.actor)

    # Down the gradient of -log(temperature) (log density + target entropy), with a target of -dim(A) nats: the log in
    # place of the temperature itself of equation 18, as implementations have it.
    wanted = -float(batch.action.shape[-1])
    log_temperature, temperature_opt = apply_gradient(
        optimizer, -(log_density + wanted), state.optimizers.log_temperature, state.log_temperature
    )
    targets = move_towards(state.targets, critics, rate=config.target_rate)
    optimizers = Optimizers(actor_opt, critics_opt, temperature_opt)
    metrics = {**critic_metrics, **actor_metrics, "temperature": temperature}
    return SACState(actor, critics, targets, log_temperature, optimizers), metrics
