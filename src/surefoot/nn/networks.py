"""Networks of values and of the diffusion policy, and steps on them: dense layers, multilayer perceptrons (single, or
an ensemble with a leading member axis), the noise predictor, optimizer steps and moving averages."""

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
    """A kernel is `scale(in, out)` times unit numbers from `draw(key, count)`."""

    draw: Callable[[Key[Array, ""], int], Float[Array, " count"]]
    scale: Callable[[int, int], float]


GLOROT_UNIFORM = Initializer(
    draw=lambda key, count: jax.random.uniform(key, (count,), minval=-1.0, maxval=1.0),
    scale=lambda size_in, size_out: (6.0 / (size_in + size_out)) ** 0.5,
)
"""Uniform on +-sqrt(6 / (in + out))."""

_CUT_DEVIATION = 0.87962566103423978
"""Standard deviation of the standard normal cut at two of them."""

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
    """x W + b. Kernel [*members, in, out], bias [*members, out]."""

    kernel: Float[Array, "*members in out"]
    bias: Float[Array, "*members out"]

    def __call__(self, x: Float[Array, "*b in"]) -> Float[Array, "*b out"]:
        """[*members, B, in] or [B, in] -> [*members, B, out]; without members, any leading axes of x."""
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
    """Layers of the given (in, out) sizes, biases zero, all kernels cut from one random draw: each draw costs most of
    a second of compilation on a CPU."""
    shapes = [(*members, *size) for size in sizes]
    counts = [math.prod(shape) for shape in shapes]
    flat = jnp.split(initializer.draw(key, sum(counts)), np.cumsum(counts)[:-1])
    kernels = [
        values.reshape(shape) * initializer.scale(*shape[-2:]) for values, shape in zip(flat, shapes, strict=True)
    ]
    return tuple(Dense(kernel, jnp.zeros(kernel.shape[:-2] + kernel.shape[-1:])) for kernel in kernels)


class MLP(eqx.Module):
    """Dense layers with ReLU between and a single number out; the last axis is dropped.

    With members the output is [*members, B], without it [B].
    """

    layers: tuple[Dense, ...]

    @staticmethod
    def create(key: Key[Array, ""], size_in: int, hidden: Sequence[int], *, members: tuple[int, ...] = ()) -> "MLP":
        """Every kernel Glorot-uniform, every bias zero (as in FISOR's code, arXiv 2401.10700)."""
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
    """Learnable Fourier frequencies of the diffusion time."""
    time_width: Annotated[int, Range("[1, 65536]")] = 128
    """Units of the two layers that embed the time."""


class LayerNorm(eqx.Module):
    """Normalises the last axis to mean 0 and variance 1, then scales and shifts."""

    scale: Float[Array, " n"]
    bias: Float[Array, " n"]
    epsilon: float = eqx.field(static=True, default=1e-6)
    """Added to the variance."""

    def __call__(self, x: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
        rows: Any = layer_norm(x.reshape(-1, x.shape[-1]), self.scale, self.bias, self.epsilon)
        return rows.reshape(x.shape)


class Block(eqx.Module):
    """x + Dense(Mish(Dense(LayerNorm(dropout(x)))))."""

    norm: LayerNorm
    expand: Dense
    contract: Dense

    def __call__(
        self, x: Float[Array, "*b n"], *, dropout: float = 0.0, key: Key[Array, ""] | None = None
    ) -> Float[Array, "*b n"]:
        hidden = x if key is None or dropout == 0 else dropped(x, dropout, key)
        return x + self.contract(mish(self.expand(self.norm(hidden))))


class Denoiser(eqx.Module):
    """Predicts the noise in `noisy_action` at diffusion time t, given the observation."""

    frequencies: Float[Array, "freq 1"]
    time_layers: tuple[Dense, Dense]
    entry: Dense  # takes concat(noisy action, observation, time features)
    blocks: tuple[Block, ...]
    exit: Dense
    action_dim: int = eqx.field(static=True)
    observation_dim: int = eqx.field(static=True)

    @staticmethod
    def create(key: Key[Array, ""], observation_dim: int, action_dim: int, config: DenoiserConfig) -> "Denoiser":
        """Glorot-uniform first, last and time layers; LeCun-normal blocks; frequencies normal with deviation 0.2."""
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
        """What the first layer adds for time t: Fourier features, two layers, their part of the entry kernel."""
        angles = 2.0 * jnp.pi * t[:, None] * self.frequencies[:, 0][None]
        features = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
        features = self.time_layers[1](mish(self.time_layers[0](features)))
        return features @ self.entry.kernel[self.action_dim + self.observation_dim :] + self.entry.bias[None]

    def embed_observation(self, observation: Float[Array, "b obs"]) -> Float[Array, "b width"]:
        """What the first layer adds for the observation."""
        return observation @ self.entry.kernel[self.action_dim : self.action_dim + self.observation_dim]

    def predict(
        self,
        noisy_action: Float[Array, "b act"],
        condition: Float[Array, "b width"],
        *,
        dropout: float = 0.0,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b act"]:
        """The noise, `condition` being the sum of the two embeddings. Dropout only where a key is given."""
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
        """The noise in `noisy_action` [b, act] at times t [b] (the integer step, or continuous time)."""
        condition = self.embed_observation(observation) + self.embed_time(t.astype(jnp.float32))
        return self.predict(noisy_action, condition, dropout=dropout, key=key)


Tree = TypeVar("Tree")
Group = TypeVar("Group", bound=tuple[Any, ...])


def init_optimizer(optimizer: optax.GradientTransformation, parameters: Any) -> optax.OptState:
    """The optimiser's first state for a network."""
    return optimizer.init(parameters)


def apply_gradient(
    optimizer: optax.GradientTransformation, gradient: Any, state: optax.OptState, parameters: Tree
) -> tuple[Tree, optax.OptState]:
    """(new parameters, new state) after one step down the gradient."""
    anything: Any = parameters
    change, state = optimizer.update(gradient, state, anything)
    moved: Any = optax.apply_updates(anything, change)
    return moved, state


def clip_each(gradient: Group, limit: float) -> Group:
    """Every member of a tuple of gradients with a norm of at most `limit` of its own."""

    clip = optax.clip_by_global_norm(limit)
    structure: Any = jax.tree.structure(gradient, is_leaf=lambda node: node is not gradient)
    return jax.tree.unflatten(structure, [clip.update(one, clip.init(one))[0] for one in gradient])


def move_towards(target: Tree, online: Tree, *, rate: float | Float[Array, ""]) -> Tree:
    """(1 - rate) target + rate online, leaf by leaf."""
    return jax.tree.map(lambda slow, fast: slow + rate * (fast - slow), target, online)


def member(stacked: Any, place: int) -> Any:
    """What lies at `place` of the leading axis of every leaf: of states with a seed axis, the state of one seed."""
    return jax.tree.map(lambda leaf: leaf[place], stacked)
