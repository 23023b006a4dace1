"""Parts of actor-critic methods on logged data: actors, critics, an autoencoder of actions, and their training.

Initial parameters are distributed as those of PyTorch's linear layers, as in the methods' public code (OSRL, 03a4586).
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
"""Bounds of the log deviation of a squashed actor."""
LATENT_LOG_STD_BOUNDS = (-4.0, 15.0)
"""Bounds of the log deviation of an autoencoder's latent numbers."""
LATENT_BOUND = 0.5
"""Bound of the latent numbers that are drawn to act with."""
Reduction = Literal["min", "mean", "max"]
_REDUCTIONS = {"min": jnp.min, "mean": jnp.mean, "max": jnp.max}


def uniform_layers(
    key: Key[Array, ""], sizes: Sequence[tuple[int, int]], *, members: tuple[int, ...] = ()
) -> tuple[Dense, ...]:
    """Layers of sizes (in, out), kernels and biases uniform on +-1/sqrt(in), cut from one random draw."""
    shapes = [shape for size in sizes for shape in ((*members, *size), (*members, size[1]))]
    bounds = [1.0 / math.sqrt(size[0]) for size in sizes for _ in range(2)]
    counts = [math.prod(shape) for shape in shapes]
    parts = jnp.split(jax.random.uniform(key, (sum(counts),), minval=-1.0, maxval=1.0), np.cumsum(counts)[:-1])
    arrays = [bound * part.reshape(shape) for bound, part, shape in zip(bounds, parts, shapes, strict=True)]
    return tuple(Dense(kernel, bias) for kernel, bias in zip(arrays[::2], arrays[1::2], strict=True))


def first_layer(
    layer: Dense, observation: Float[Array, "b obs"], action: Float[Array, "*n b act"]
) -> Float[Array, "*members rows out"]:
    """W [s, a] + b, as rows *n b, for one or several actions [*n, b, act] of each state [b, obs]."""
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


def create_critics(key: Key[Array, ""], size_in: int, hidden: Sequence[int], *, members: int) -> MLP:
    """An ensemble of networks from (s, a) to one number, ReLU between the layers."""
    return MLP(uniform_layers(key, list(itertools.pairwise([size_in, *hidden, 1])), members=(members,)))


def critic_values(
    critic: MLP, observation: Float[Array, "b obs"], action: Float[Array, "*n b act"]
) -> Float[Array, "members *n b"]:
    """Q(s, a) of every member [members, *n, b] for one or several actions [*n, b, act] of each state [b, obs]."""
    x = first_layer(critic.layers[0], observation, action)
    for layer in critic.layers[1:]:
        x = layer(jax.nn.relu(x))
    return x[..., 0].reshape(x.shape[0], *action.shape[:-1])


def reduced(q: Float[Array, "members *n b"], how: Reduction) -> Float[Array, "*n b"]:
    """Smallest, mean or largest value [*n, b] of an ensemble [members, *n, b]."""
    return _REDUCTIONS[how](q, axis=0)


def in_groups(q: Float[Array, "members *n b"], how: Reduction, *, groups: int = 2) -> Float[Array, "groups *n b"]:
    """Smallest, mean or largest value of each group of consecutive members: [members, *n, b] to [groups, *n, b]."""
    return _REDUCTIONS[how](q.reshape(groups, -1, *q.shape[1:]), axis=1)


def regression_loss(
    critic: MLP, observation: Float[Array, "b obs"], action: Float[Array, "b act"], target: Float[Array, " b"]
) -> Float[Array, ""]:
    """Sum over members of the batch's mean of (Q(s, a) - target)^2."""
    return ((critic_values(critic, observation, action) - target[None]) ** 2).mean(-1).sum()


# --- actors ---


class SquashedGaussianActor(eqx.Module):
    """Actor a = tanh(mean + std eps)."""

    trunk: tuple[Dense, ...]
    mean: Dense
    log_std: Dense

    @staticmethod
    def create(key: Key[Array, ""], size_in: int, hidden: Sequence[int], action_dim: int) -> "SquashedGaussianActor":
        """Actor with one trunk, and a head each for mean and log deviation.

        Args:
            key: Random key.
            size_in: Numbers of an observation.
            hidden: Units of each layer of the trunk.
            action_dim: Numbers of an action.

        Returns:
            The actor.
        """
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
    """Samples [*n, b, act] of distributions [b, act] from standard normal noise [*n, b, act]; before tanh."""
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
        """Actor of dense layers, whose outputs are squashed into [-1, 1].

        Args:
            key: Random key.
            size_in: Numbers of an input.
            hidden: Units of each hidden layer.
            action_dim: Numbers of an action.
            activation: Function between the layers.

        Returns:
            The actor.
        """
        return DeterministicActor(
            uniform_layers(key, list(itertools.pairwise([size_in, *hidden, action_dim]))), activation
        )

    def __call__(self, *inputs: Float[Array, "..."]) -> Float[Array, "*b act"]:
        """Action [b, act] of inputs [b, in]; of (s, a) with one or several actions [*n, b, act], an action for each."""
        x = self.layers[0](inputs[0]) if len(inputs) == 1 else first_layer(self.layers[0], *inputs)
        activation = jax.nn.relu if self.activation == "relu" else jnp.tanh
        for layer in self.layers[1:]:
            x = layer(activation(x))
        return jnp.tanh(x).reshape(*inputs[-1].shape[:-1], x.shape[-1])


@dataclass(frozen=True)
class VAEConfig(Ranged, part="vae"):
    """Sizes and learning rate of the autoencoder of actions."""

    hidden: Annotated[int, Range("[1, 65536]")] = 400
    """Units of the two hidden layers of encoder and decoder."""
    latent_per_action: Annotated[int, Range("[1, 1024]")] = 2
    """Latent numbers for each number of an action."""
    divergence_weight: Annotated[float, Range("[0, inf)")] = 0.5
    """beta, the weight of the divergence from a standard normal distribution."""
    learning_rate: Annotated[float, Range("(0, inf)")] = 1e-3
    """Learning rate of Adam."""


class ActionVAE(eqx.Module):
    """Variational autoencoder of an action, given the state."""

    encoder: tuple[Dense, Dense]
    mean: Dense
    log_std: Dense
    decoder: tuple[Dense, Dense, Dense]

    @staticmethod
    def create(key: Key[Array, ""], observation_dim: int, action_dim: int, config: VAEConfig) -> "ActionVAE":
        """Encoder and decoder with random parameters.

        Args:
            key: Random key.
            observation_dim: Numbers of an observation.
            action_dim: Numbers of an action.
            config: Sizes.

        Returns:
            The autoencoder.
        """
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
        """Distribution of the latent numbers.

        Args:
            observation: States [b, obs].
            action: One or several actions of each state [*n, b, act].

        Returns:
            Mean and deviation [*n, b, latent].
        """
        x = jax.nn.relu(first_layer(self.encoder[0], observation, action))
        x = jax.nn.relu(self.encoder[1](x))
        std = jnp.exp(jnp.clip(self.log_std(x), *LATENT_LOG_STD_BOUNDS))
        shape = (*action.shape[:-1], self.latent_dim)
        return Gaussian(self.mean(x).reshape(shape), std.reshape(shape))

    def decode_raw(
        self, observation: Float[Array, "b obs"], latent: Float[Array, "*n b latent"]
    ) -> Float[Array, "*n b act"]:
        """Decoded actions before tanh.

        Args:
            observation: States [b, obs].
            latent: Latent numbers [*n, b, latent].

        Returns:
            Numbers [*n, b, act].
        """
        x = jax.nn.relu(first_layer(self.decoder[0], observation, latent))
        x = self.decoder[2](jax.nn.relu(self.decoder[1](x)))
        return x.reshape(*latent.shape[:-1], x.shape[-1])

    def decode(
        self, observation: Float[Array, "b obs"], latent: Float[Array, "*n b latent"]
    ) -> Float[Array, "*n b act"]:
        """Decoded actions.

        Args:
            observation: States [b, obs].
            latent: Latent numbers [*n, b, latent].

        Returns:
            Actions in [-1, 1], [*n, b, act].
        """
        return jnp.tanh(self.decode_raw(observation, latent))


def latent_divergence(latent: Gaussian) -> Float[Array, "*b"]:
    """KL divergence from a standard normal distribution, in nats, averaged over the latent numbers."""
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
    """Latent numbers to act with, clipped to +-`LATENT_BOUND`, near the middle of encoded actions."""
    return jnp.clip(noise, -LATENT_BOUND, LATENT_BOUND)


def mean_discrepancy(
    x: Float[Array, "m b act"],
    y: Float[Array, "n b act"],
    *,
    kernel: Literal["gaussian", "laplacian"] = "gaussian",
    sigma: float = 50.0,
) -> Float[Array, " b"]:
    """Maximum mean discrepancy [b] of two sets of samples of each state (Kumar et al., 2019, arXiv 1906.00949).

    The kernel is exp(-|x - y|^2 / (2 sigma)), or that of the sum of absolute differences. A sample's similarity to
    itself counts.
    """

    def similarity(first: Float[Array, "m b act"], second: Float[Array, "n b act"]) -> Float[Array, " b"]:
        difference = first[:, None] - second[None]
        size = jnp.square(difference) if kernel == "gaussian" else jnp.abs(difference)
        return jnp.exp(-size.sum(-1) / (2.0 * sigma)).mean((0, 1))

    return jnp.sqrt(similarity(x, x) + similarity(y, y) - 2.0 * similarity(x, y) + 1e-6)


class Trained(NamedTuple):
    """A network, its moving average (None: it has none) and its optimizer's state."""

    network: Any
    target: Any
    optimizer: optax.OptState


def start_training(network: Any, learning_rate: float, *, with_target: bool = True) -> Trained:
    """Network with Adam's initial state. Its target has buffers of its own, so that the state can be donated."""
    target = jax.tree.map(jnp.copy, network) if with_target else None
    return Trained(network, target, optax.adam(learning_rate).init(network))


def descend(trained: Trained, loss: Callable[[Any], Any], *, learning_rate: float) -> tuple[Trained, Any]:
    """One step of Adam down `loss(network) -> (loss, metrics)`; the target stays.

    Returns:
        (trained, (loss, metrics)).
    """
    found, gradient = jax.value_and_grad(loss, has_aux=True)(trained.network)
    change, optimizer = optax.adam(learning_rate).update(gradient, trained.optimizer)
    return Trained(optax.apply_updates(trained.network, change), trained.target, optimizer), found


def follow(trained: Trained, *, rate: float) -> Trained:
    """One step of the target towards the network: (1 - rate) target + rate network."""
    return trained._replace(target=move_towards(trained.target, trained.network, rate=rate))
