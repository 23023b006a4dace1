"""Parts of actor-critic methods on logged data: squashed actors, ensembles of critics over states and actions, a
variational autoencoder of actions, and a network with its optimizer and moving average.

Everything starts as PyTorch's linear layers do, as in the methods' public code (OSRL, 03a4586).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from surefoot.kernels.matmul import matmul
from surefoot.nn.gaussian import Gaussian
from surefoot.nn.networks import MLP, Dense, move_towards
from surefoot.ranges import Range, Ranged

LOG_STD_BOUNDS = (-20.0, 2.0)
"""Of a squashed actor."""
LATENT_LOG_STD_BOUNDS = (-4.0, 15.0)
"""Of an autoencoder's latent numbers."""
LATENT_BOUND = 0.5
"""Latent numbers that are drawn to act with are clipped here."""
Reduction = Literal["min", "mean", "max"]
_REDUCTIONS = {"min": jnp.min, "mean": jnp.mean, "max": jnp.max}


# --- layers ---


def uniform_layers(
    key: Key[Array, ""], sizes: Sequence[tuple[int, int]], *, members: tuple[int, ...] = ()
) -> tuple[Dense, ...]:
    """Layers of the given (in, out) sizes, kernels and biases uniform on +-1/sqrt(in), cut from one random draw."""
    shapes = [shape for size in sizes for shape in ((*members, *size), (*members, size[1]))]
    bounds = [1.0 / math.sqrt(size[0]) for size in sizes for _ in range(2)]
    counts = [math.prod(shape) for shape in shapes]
    parts = jnp.split(jax.random.uniform(key, (sum(counts),), minval=-1.0, maxval=1.0), np.cumsum(counts)[:-1])
    arrays = [bound * part.reshape(shape) for bound, part, shape in zip(bounds, parts, shapes, strict=True)]
    return tuple(Dense(kernel, bias) for kernel, bias in zip(arrays[::2], arrays[1::2], strict=True))


def first_layer(
    layer: Dense, observation: Float[Array, "b obs"], action: Float[Array, "*n b act"]
) -> Float[Array, "*members rows out"]:
    """W [s, a] + b for several actions of each state, as rows *n b; the states' part is computed once."""
    if action.ndim == observation.ndim:
        return layer(jnp.concatenate([observation, action], -1))
    split, members = observation.shape[-1], layer.kernel.shape[:-2]
    of_states = Dense(layer.kernel[..., :split, :], layer.bias)(observation)
    rows = jnp.broadcast_to(
        action.reshape(-1, action.shape[-1]), (*members, math.prod(action.shape[:-1]), action.shape[-1])
    )
    of_actions = matmul(rows, layer.kernel[..., split:, :])
    size = of_actions.shape[-1]
    summed = of_actions.reshape(*members, -1, observation.shape[0], size) + of_states[..., None, :, :]
    return summed.reshape(*members, -1, size)


# --- critics ---


def create_critics(key: Key[Array, ""], size_in: int, hidden: Sequence[int], *, members: int) -> MLP:
    """An ensemble of networks from (s, a) to one number, ReLU between the layers."""
    return MLP(uniform_layers(key, list(itertools.pairwise([size_in, *hidden, 1])), members=(members,)))


def critic_values(
    critic: MLP, observation: Float[Array, "b obs"], action: Float[Array, "*n b act"]
) -> Float[Array, "members *n b"]:
    """Q(s, a) of every member, for one or several actions of each state."""
    x = first_layer(critic.layers[0], observation, action)
    for layer in critic.layers[1:]:
        x = layer(jax.nn.relu(x))
    return x[..., 0].reshape(x.shape[0], *action.shape[:-1])


def reduced(q: Float[Array, "members *n b"], how: Reduction) -> Float[Array, "*n b"]:
    """One value of an ensemble's."""
    return _REDUCTIONS[how](q, axis=0)


def in_groups(q: Float[Array, "members *n b"], how: Reduction, *, groups: int = 2) -> Float[Array, "groups *n b"]:
    """One value of each group of consecutive members."""
    return _REDUCTIONS[how](q.reshape(groups, -1, *q.shape[1:]), axis=1)


def regression_loss(
    critic: MLP, observation: Float[Array, "b obs"], action: Float[Array, "b act"], target: Float[Array, " b"]
) -> Float[Array, ""]:
    """Sum over members of the batch's mean of (Q - target)^2."""
    return ((critic_values(critic, observation, action) - target[None]) ** 2).mean(-1).sum()


# --- actors ---


class SquashedGaussianActor(eqx.Module):
    """Normal distributions before tanh: a = tanh(mean + std eps)."""

    trunk: tuple[Dense, ...]
    mean: Dense
    log_std: Dense

    @staticmethod
    def create(key: Key[Array, ""], size_in: int, hidden: Sequence[int], action_dim: int) -> "SquashedGaussianActor":
        """A trunk with hidden layers of these sizes, and a head each for mean and log deviation."""
        sizes = [*itertools.pairwise([size_in, *hidden]), *[(hidden[-1], action_dim)] * 2]
        *trunk, mean, log_std = uniform_layers(key, sizes)
        return SquashedGaussianActor(tuple(trunk), mean, log_std)

    def __call__(self, observation: Float[Array, "*b obs"]) -> Gaussian:
        """The distribution of the action before tanh."""
        x = observation
        for layer in self.trunk:
            x = jax.nn.relu(layer(x))
        return Gaussian(self.mean(x), jnp.exp(jnp.clip(self.log_std(x), *LOG_STD_BOUNDS)))


def drawn(before: Gaussian, noise: Float[Array, "*n b act"]) -> Float[Array, "*n b act"]:
    """One or several draws [*n, b, act] from distributions [b, act], of standard normal numbers; before tanh."""
    axes = tuple(range(noise.ndim - before.mean.ndim))
    return jnp.expand_dims(before.mean, axes) + jnp.expand_dims(before.deviation, axes) * noise


class DeterministicActor(eqx.Module):
    """Dense layers with one activation between them and tanh at the end."""

    layers: tuple[Dense, ...]
    activation: Literal["relu", "tanh"] = eqx.field(static=True)

    @staticmethod
    def create(
        key: Key[Array, ""],
        size_in: int,
        hidden: Sequence[int],
        action_dim: int,
        *,
        activation: Literal["relu", "tanh"] = "relu",
    ) -> "DeterministicActor":
        """A network with hidden layers of these sizes, whose outputs are squashed into [-1, 1]."""
        return DeterministicActor(
            uniform_layers(key, list(itertools.pairwise([size_in, *hidden, action_dim]))), activation
        )

    def __call__(self, *inputs: Float[Array, "..."]) -> Float[Array, "*b act"]:
        """An action of inputs [b, in]; of (s, a) with one or several actions [*n, b, act] of each state, as many."""
        x = self.layers[0](inputs[0]) if len(inputs) == 1 else first_layer(self.layers[0], *inputs)
        activation = jax.nn.relu if self.activation == "relu" else jnp.tanh
        for layer in self.layers[1:]:
            x = layer(activation(x))
        return jnp.tanh(x).reshape(*inputs[-1].shape[:-1], x.shape[-1])


# --- the autoencoder ---


@dataclass(frozen=True)
class VAEConfig(Ranged, part="vae"):
    """Sizes and learning of the autoencoder of actions."""

    hidden: Annotated[int, Range("[1, 65536]")] = 400
    """Units of its two hidden layers on each side."""
    latent_per_action: Annotated[int, Range("[1, 1024]")] = 2
    """Latent numbers for each number of an action."""
    divergence_weight: Annotated[float, Range("[0, inf)")] = 0.5
    """Weight of the divergence from a standard normal distribution (beta)."""
    learning_rate: Annotated[float, Range("(0, inf)")] = 1e-3
    """Of Adam."""


class ActionVAE(eqx.Module):
    """Encodes an action, given the state, in normally distributed numbers, and decodes it."""

    encoder: tuple[Dense, Dense]
    mean: Dense
    log_std: Dense
    decoder: tuple[Dense, Dense, Dense]

    @staticmethod
    def create(key: Key[Array, ""], observation_dim: int, action_dim: int, config: VAEConfig) -> "ActionVAE":
        """Encoder and decoder of the configuration's sizes."""
        width, latent = config.hidden, config.latent_per_action * action_dim
        encoder = [(observation_dim + action_dim, width), (width, width), (width, latent), (width, latent)]
        decoder = [(observation_dim + latent, width), (width, width), (width, action_dim)]
        layers = uniform_layers(key, encoder + decoder)
        return ActionVAE((layers[0], layers[1]), layers[2], layers[3], (layers[4], layers[5], layers[6]))

    @property
    def latent_dim(self) -> int:
        """Latent numbers of an action."""
        return self.mean.bias.shape[-1]

    def encode(self, observation: Float[Array, "b obs"], action: Float[Array, "*n b act"]) -> Gaussian:
        """The distribution of the latent numbers [*n, b, latent]."""
        x = jax.nn.relu(first_layer(self.encoder[0], observation, action))
        x = jax.nn.relu(self.encoder[1](x))
        std = jnp.exp(jnp.clip(self.log_std(x), *LATENT_LOG_STD_BOUNDS))
        shape = (*action.shape[:-1], self.latent_dim)
        return Gaussian(self.mean(x).reshape(shape), std.reshape(shape))

    def decode_raw(
        self, observation: Float[Array, "b obs"], latent: Float[Array, "*n b latent"]
    ) -> Float[Array, "*n b act"]:
        """Actions before tanh."""
        x = jax.nn.relu(first_layer(self.decoder[0], observation, latent))
        x = self.decoder[2](jax.nn.relu(self.decoder[1](x)))
        return x.reshape(*latent.shape[:-1], x.shape[-1])

    def decode(
        self, observation: Float[Array, "b obs"], latent: Float[Array, "*n b latent"]
    ) -> Float[Array, "*n b act"]:
        """Actions in [-1, 1]."""
        return jnp.tanh(self.decode_raw(observation, latent))


def latent_divergence(latent: Gaussian) -> Float[Array, "*b"]:
    """KL from a standard normal distribution, in nats, the mean over the latent numbers."""
    variance = jnp.square(latent.deviation)
    return -0.5 * (1.0 + jnp.log(variance) - jnp.square(latent.mean) - variance).mean(-1)


def vae_loss(
    vae: ActionVAE,
    observation: Float[Array, "b obs"],
    action: Float[Array, "b act"],
    noise: Float[Array, "b latent"],
    *,
    divergence_weight: float,
) -> Float[Array, ""]:
    """Mean squared error of the decoded action plus the weighted divergence, both means over all numbers."""
    latent = vae.encode(observation, action)
    decoded = vae.decode(observation, drawn(latent, noise))
    return jnp.mean((decoded - action) ** 2) + divergence_weight * latent_divergence(latent).mean()


def clipped_latent(noise: Float[Array, "*b latent"]) -> Float[Array, "*b latent"]:
    """Latent numbers to act with, near the middle of what was encoded."""
    return jnp.clip(noise, -LATENT_BOUND, LATENT_BOUND)


def mean_discrepancy(
    x: Float[Array, "m b act"],
    y: Float[Array, "n b act"],
    *,
    kernel: Literal["gaussian", "laplacian"] = "gaussian",
    sigma: float = 50.0,
) -> Float[Array, " b"]:
    """Maximum mean discrepancy of two sets of samples of each row (Kumar et al., 2019, arXiv 1906.00949).

    k = exp(-|x - y|^2 / (2 sigma)), or of the sum of absolute differences; a sample's similarity to itself counts.
    """

    def similarity(first: Float[Array, "m b act"], second: Float[Array, "n b act"]) -> Float[Array, " b"]:
        difference = first[:, None] - second[None]
        size = jnp.square(difference) if kernel == "gaussian" else jnp.abs(difference)
        return jnp.exp(-size.sum(-1) / (2.0 * sigma)).mean((0, 1))

    return jnp.sqrt(similarity(x, x) + similarity(y, y) - 2.0 * similarity(x, y) + 1e-6)


# --- a network and what belongs to it ---


class Trained(NamedTuple):
    """A network, its moving average (None where it has none) and its optimizer's state."""

    network: Any
    target: Any
    optimizer: optax.OptState


def start_training(network: Any, learning_rate: float, *, with_target: bool = True) -> Trained:
    """Before the first update; the target has buffers of its own, so that the state can be donated."""
    target = jax.tree.map(jnp.copy, network) if with_target else None
    return Trained(network, target, optax.adam(learning_rate).init(network))


def descend(trained: Trained, loss: Callable[[Any], Any], *, learning_rate: float) -> tuple[Trained, Any]:
    """One step of Adam down `loss(network) -> (loss, metrics)`; the target stays. Returns the loss's pair as well."""
    found, gradient = jax.value_and_grad(loss, has_aux=True)(trained.network)
    change, optimizer = optax.adam(learning_rate).update(gradient, trained.optimizer)
    return Trained(optax.apply_updates(trained.network, change), trained.target, optimizer), found


def follow(trained: Trained, *, rate: float) -> Trained:
    """The target one step towards the network."""
    return trained._replace(target=move_towards(trained.target, trained.network, rate=rate))
