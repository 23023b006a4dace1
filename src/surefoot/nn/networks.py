"""Networks of values and of the diffusion policy, optimizer steps and moving averages; a member axis comes first."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from surefoot.kernels.activations import mish
from surefoot.kernels.dropout import dropped
from surefoot.kernels.layer_norm import layer_norm
from surefoot.kernels.matmul import matmul
from surefoot.ranges import Range, Ranged


class Initializer(NamedTuple):
    """Distribution of a kernel: `scale(in, out)` times unit numbers from `draw(key, count)`."""

    draw: Callable[[Key[Array, ""], int], Float[Array, " count"]]
    scale: Callable[[int, int], float]


GLOROT_UNIFORM = Initializer(
    draw=lambda key, count: jax.random.uniform(key, (count,), minval=-1.0, maxval=1.0),
    scale=lambda size_in, size_out: (6.0 / (size_in + size_out)) ** 0.5,
)
"""Uniform on +-sqrt(6 / (in + out))."""

_CUT_DEVIATION = 0.87962566103423978  # standard deviation of the standard normal distribution, cut at two of them

LECUN_NORMAL = Initializer(
    draw=lambda key, count: jax.random.truncated_normal(key, -2.0, 2.0, (count,)),
    scale=lambda size_in, size_out: (1.0 / size_in) ** 0.5 / _CUT_DEVIATION,
)
"""Normal with variance 1 / in, cut at two standard deviations and rescaled to keep that variance."""

FAN_AVERAGE = Initializer(
    draw=LECUN_NORMAL.draw, scale=lambda size_in, size_out: (2.0 / (size_in + size_out)) ** 0.5 / _CUT_DEVIATION
)
"""Normal with variance 2 / (in + out), cut at two standard deviations and rescaled to keep that variance."""


class Dense(eqx.Module):
    """Affine map x W + b, kernel [*members, in, out], bias [*members, out]."""

    kernel: Float[Array, "*members in out"]
    bias: Float[Array, "*members out"]

    def __call__(self, x: Float[Array, "*b in"]) -> Float[Array, "*b out"]:
        """Map [*members, B, in] or [B, in] to [*members, B, out]; without members, any leading axes of x are kept."""
        members = self.kernel.shape[:-2]
        if not members:
            y = matmul(x, self.kernel)
            return y + jnp.broadcast_to(self.bias, y.shape)
        x = jnp.broadcast_to(x, (*members, *x.shape[-2:]))
        return matmul(x, self.kernel) + self.bias[..., None, :]


def dense_layers(
    key: Key[Array, ""],
    sizes: Sequence[tuple[int, int]],
    *,
    members: tuple[int, ...] = (),
    initializer: Initializer = GLOROT_UNIFORM,
) -> tuple[Dense, ...]:
    """Dense layers with random kernels and zero biases.

    Args:
        key: Random key.
        sizes: (in, out) of each layer.
        members: Leading member axes of every layer.
        initializer: Distribution of the kernels.

    Returns:
        The layers in the order of `sizes`.
    """
    shapes = [(*members, *size) for size in sizes]
    counts = [math.prod(shape) for shape in shapes]
    flat = jnp.split(initializer.draw(key, sum(counts)), np.cumsum(counts)[:-1])  # one draw: each compiles for a second
    kernels = [
        values.reshape(shape) * initializer.scale(*shape[-2:]) for values, shape in zip(flat, shapes, strict=True)
    ]
    return tuple(Dense(kernel, jnp.zeros(kernel.shape[:-2] + kernel.shape[-1:])) for kernel in kernels)


class MLP(eqx.Module):
    """Dense layers with ReLU between them and one number out: [B], or [*members, B] of an ensemble."""

    layers: tuple[Dense, ...]

    @staticmethod
    def create(key: Key[Array, ""], size_in: int, hidden: Sequence[int], *, members: tuple[int, ...] = ()) -> "MLP":
        """Network with Glorot-uniform kernels and zero biases (as in FISOR's code, arXiv 2401.10700).

        Args:
            key: Random key.
            size_in: Numbers of an input.
            hidden: Units of each hidden layer.
            members: Leading member axes; empty for a single network.

        Returns:
            The network.
        """
        sizes = [size_in, *hidden, 1]
        return MLP(dense_layers(key, list(itertools.pairwise(sizes)), members=members))

    def __call__(self, x: Float[Array, "*b in"]) -> Float[Array, "*b"]:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)[..., 0]


@dataclass(frozen=True)
class DenoiserConfig(Ranged, part="network"):
    """Sizes of the noise predictor."""

    width: Annotated[int, Range("[1, 65536]")] = 256
    """Units of the residual stream."""
    blocks: Annotated[int, Range("[1, 1024]")] = 3
    """Residual blocks."""
    expansion: Annotated[int, Range("[1, 1024]")] = 4
    """Hidden units of a block per unit of the stream."""
    dropout: Annotated[float, Range("[0, 1)")] = 0.1
    """Share of a block's inputs set to zero in training."""
    frequencies: Annotated[int, Range("[1, 65536]")] = 32
    """Learned Fourier frequencies of the diffusion time."""
    time_width: Annotated[int, Range("[1, 65536]")] = 128
    """Units of the two layers that embed the time."""


class LayerNorm(eqx.Module):
    """Layer normalization: the last axis with mean 0 and variance 1, then scaled and shifted."""

    scale: Float[Array, " n"]
    bias: Float[Array, " n"]
    epsilon: float = eqx.field(static=True, default=1e-6)  # added to the variance

    def __call__(self, x: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
        rows: Any = layer_norm(x.reshape(-1, x.shape[-1]), self.scale, self.bias, self.epsilon)
        return rows.reshape(x.shape)


class Block(eqx.Module):
    """Residual block x + Dense(Mish(Dense(LayerNorm(dropout(x)))))."""

    norm: LayerNorm
    expand: Dense
    contract: Dense

    def __call__(
        self, x: Float[Array, "*b n"], *, dropout: float = 0.0, key: Key[Array, ""] | None = None
    ) -> Float[Array, "*b n"]:
        hidden = x if key is None or dropout == 0 else dropped(x, dropout, key)
        return x + self.contract(mish(self.expand(self.norm(hidden))))


class Denoiser(eqx.Module):
    """Noise predictor eps(a_t, t, s) of a noisy action a_t at diffusion time t, given the observation s."""

    frequencies: Float[Array, "freq 1"]
    time_layers: tuple[Dense, Dense]
    entry: Dense  # takes concat(noisy action, observation, time features)
    blocks: tuple[Block, ...]
    exit: Dense
    action_dim: int = eqx.field(static=True)
    observation_dim: int = eqx.field(static=True)

    @staticmethod
    def create(key: Key[Array, ""], observation_dim: int, action_dim: int, config: DenoiserConfig) -> "Denoiser":
        """Glorot-uniform first, last and time layers; LeCun-normal blocks; frequencies with deviation 0.2.

        Args:
            key: Random key.
            observation_dim: Numbers of an observation.
            action_dim: Numbers of an action.
            config: Sizes of the network.

        Returns:
            The network.
        """
        k_freq, k_uniform, k_blocks = jax.random.split(key, 3)
        width, wide = config.width, config.width * config.expansion
        features = 2 * config.frequencies
        time0, time1, entry, exit_ = dense_layers(
            k_uniform,
            [
                (features, config.time_width),
                (config.time_width, config.time_width),
                (action_dim + observation_dim + config.time_width, width),
                (width, action_dim),
            ],
        )
        inner = dense_layers(k_blocks, [(width, wide), (wide, width)] * config.blocks, initializer=LECUN_NORMAL)
        return Denoiser(
            frequencies=0.2 * jax.random.normal(k_freq, (config.frequencies, 1)),
            time_layers=(time0, time1),
            entry=entry,
            blocks=tuple(
                Block(LayerNorm(jnp.ones(width), jnp.zeros(width)), expand, contract)
                for expand, contract in zip(inner[::2], inner[1::2], strict=True)
            ),
            exit=exit_,
            action_dim=action_dim,
            observation_dim=observation_dim,
        )

    def embed_time(self, t: Float[Array, " b"]) -> Float[Array, "b width"]:
        """Share of the diffusion time t [b] in the first layer: Fourier features, two layers, their part of the entry
        kernel."""
        angles = 2.0 * jnp.pi * t[:, None] * self.frequencies[:, 0][None]
        features = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
        features = self.time_layers[1](mish(self.time_layers[0](features)))
        return features @ self.entry.kernel[self.action_dim + self.observation_dim :] + self.entry.bias[None]

    def embed_observation(self, observation: Float[Array, "b obs"]) -> Float[Array, "b width"]:
        """Share of the observation [b, obs] in the first layer."""
        return observation @ self.entry.kernel[self.action_dim : self.action_dim + self.observation_dim]

    def predict(
        self,
        noisy_action: Float[Array, "b act"],
        condition: Float[Array, "b width"],
        *,
        dropout: float = 0.0,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b act"]:
        """Predict the noise from a noisy action and embeddings computed before.

        Args:
            noisy_action: Noisy actions [b, act].
            condition: Sum of `embed_observation` and `embed_time` [b, width].
            dropout: Share of a block's inputs set to 0.
            key: Random key of the dropout; None: no dropout.

        Returns:
            Predicted noise [b, act].
        """
        x = noisy_action @ self.entry.kernel[: self.action_dim] + condition
        keys = [None] * len(self.blocks) if key is None else list(jax.random.split(key, len(self.blocks)))
        for block, block_key in zip(self.blocks, keys, strict=True):
            x = block(x, dropout=dropout, key=block_key)
        return self.exit(mish(x))

    def __call__(
        self,
        noisy_action: Float[Array, "b act"],
        observation: Float[Array, "b obs"],
        t: Float[Array, " b"],
        *,
        dropout: float = 0.0,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b act"]:
        """Predict the noise in noisy actions.

        Args:
            noisy_action: Noisy actions [b, act].
            observation: Observations [b, obs].
            t: Diffusion times [b], an integer step or continuous time.
            dropout: Share of a block's inputs set to 0.
            key: Random key of the dropout; None: no dropout.

        Returns:
            Predicted noise [b, act].
        """
        condition = self.embed_observation(observation) + self.embed_time(t.astype(jnp.float32))
        return self.predict(noisy_action, condition, dropout=dropout, key=key)


Tree = TypeVar("Tree")
Group = TypeVar("Group", bound=tuple[Any, ...])


def init_optimizer(optimizer: optax.GradientTransformation, parameters: Any) -> optax.OptState:
    """Initial state of an optimizer.

    Args:
        parameters: Network or other tree of arrays.

    Returns:
        Optimizer state.
    """
    return optimizer.init(parameters)


def apply_gradient(
    optimizer: optax.GradientTransformation, gradient: Any, state: optax.OptState, parameters: Tree
) -> tuple[Tree, optax.OptState]:
    """One optimizer step.

    Args:
        gradient: Gradient of a loss, a tree like `parameters`.
        state: State of the optimizer.
        parameters: Network or other tree of arrays.

    Returns:
        (new parameters, new state).
    """
    anything: Any = parameters
    change, state = optimizer.update(gradient, state, anything)
    moved: Any = optax.apply_updates(anything, change)
    return moved, state


def clip_each(gradient: Group, limit: float) -> Group:
    """Clip the norm of every gradient in a tuple by itself.

    Args:
        gradient: Tuple of trees of arrays.
        limit: Largest norm of each tree.

    Returns:
        Tuple of clipped gradients.
    """
    clip = optax.clip_by_global_norm(limit)
    structure: Any = jax.tree.structure(gradient, is_leaf=lambda node: node is not gradient)
    return jax.tree.unflatten(structure, [clip.update(one, clip.init(one))[0] for one in gradient])


def move_towards(target: Tree, online: Tree, *, rate: float | Float[Array, ""]) -> Tree:
    """Moving average (1 - rate) target + rate online, leaf by leaf.

    Args:
        target: Averaged parameters.
        online: Parameters of equal structure.
        rate: Share of `online`, in [0, 1].

    Returns:
        New averaged parameters.
    """
    return jax.tree.map(lambda slow, fast: slow + rate * (fast - slow), target, online)


def member(stacked: Any, place: int) -> Any:
    """One entry along the leading axis of every leaf, such as one seed's state among stacked states.

    Args:
        stacked: Tree of arrays with a common leading axis.
        place: Index along that axis.

    Returns:
        Tree of arrays without that axis.
    """
    return jax.tree.map(lambda leaf: leaf[place], stacked)
