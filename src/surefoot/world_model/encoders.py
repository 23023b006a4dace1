"""Encoders and decoders of observations: strided convolutions, patches, or dense layers over vectors.

An encoder maps [n, ...] to [n, size]; a decoder maps features [n, features] to a predicted observation. Images are
uint8 outside and lie in [0, 1] in a decoder's output. Vectors are squashed by symlog on both sides.
"""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.errors import ConfigError
from surefoot.kernels.matmul import matmul
from surefoot.nn.networks import FAN_AVERAGE, Dense, dense_layers
from surefoot.nn.normed import LayerNorm, NormedDense, NormedMLP
from surefoot.nn.two_hot import symlog
from surefoot.world_model.config import WorldModelConfig

_KERNEL = 4
"""Side of a convolution's window in pixels; its stride is 2."""
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def prepare_observation(observation: Array) -> Float[Array, "*b"]:
    """Target of a decoder: images in [0, 1], vectors in symlog space."""
    if observation.dtype == jnp.uint8:
        return observation.astype(jnp.float32) / 255.0
    return symlog(observation)


def embedding_size(config: WorldModelConfig, shape: Sequence[int]) -> int:
    """Numbers of an encoder's output.

    Args:
        config: Kind and channels of the encoder.
        shape: Shape of an observation: [height, width, channels] of images, [obs] of vectors.

    Returns:
        Numbers of an embedding.

    Raises:
        ConfigError: The encoder does not fit the shape.
    """
    if config.encoder == "mlp":
        if len(shape) != 1:
            raise ConfigError(f"encoder mlp: expected observations of one axis, found shape {list(shape)}.")
        return config.channels[-1]
    height, width = _smallest(config, shape)
    return height * width * config.channels[-1]


def _smallest(config: WorldModelConfig, shape: Sequence[int]) -> tuple[int, int]:
    """Height and width after all halvings."""
    factor = 2 ** len(config.channels)
    if len(shape) != 3 or shape[0] % factor or shape[1] % factor:
        raise ConfigError(
            f"encoder {config.encoder}: expected images whose sides can be halved {len(config.channels)} times, "
            f"found shape {list(shape)}."
        )
    return shape[0] // factor, shape[1] // factor


# --- one halving or doubling of an image -----------------------------------------------------------------------------


class Convolution(eqx.Module):
    """Convolution of 4 x 4 pixels at stride 2 without bias; transposed, it doubles the sides."""

    kernel: Float[Array, "4 4 in out"]
    transposed: bool = eqx.field(static=True)

    @staticmethod
    def create(key: Key[Array, ""], size_in: int, size_out: int, *, transposed: bool) -> "Convolution":
        """Convolution with a random kernel.

        Args:
            key: Random key.
            size_in: Input channels.
            size_out: Output channels.
            transposed: Whether it doubles the sides instead of halving them.

        Returns:
            The layer.
        """
        area = _KERNEL * _KERNEL
        flat = FAN_AVERAGE.draw(key, area * size_in * size_out) * FAN_AVERAGE.scale(area * size_in, area * size_out)
        return Convolution(flat.reshape(_KERNEL, _KERNEL, size_in, size_out), transposed)

    def __call__(self, x: Float[Array, "n h w in"]) -> Float[Array, "n h2 w2 out"]:
        if self.transposed:
            return jax.lax.conv_transpose(x, self.kernel, (2, 2), "SAME", dimension_numbers=_LAYOUT)
        return jax.lax.conv_general_dilated(x, self.kernel, (2, 2), "SAME", dimension_numbers=_LAYOUT)


class Patch(eqx.Module):
    """Dense layer without bias over each square of 2 x 2 pixels; transposed, each pixel becomes such a square."""

    kernel: Float[Array, "in out"]
    transposed: bool = eqx.field(static=True)

    @staticmethod
    def create(key: Key[Array, ""], size_in: int, size_out: int, *, transposed: bool) -> "Patch":
        """Layer with a random kernel.

        Args:
            key: Random key.
            size_in: Input channels.
            size_out: Output channels.
            transposed: Whether it doubles the sides instead of halving them.

        Returns:
            The layer.
        """
        sizes = (size_in, 4 * size_out) if transposed else (4 * size_in, size_out)
        return Patch(dense_layers(key, [sizes], initializer=FAN_AVERAGE)[0].kernel, transposed)

    def __call__(self, x: Float[Array, "n h w in"]) -> Float[Array, "n h2 w2 out"]:
        count, height, width, channels = x.shape
        if self.transposed:
            y = matmul(x, self.kernel).reshape(count, height, width, 2, 2, -1)
            return y.transpose(0, 1, 3, 2, 4, 5).reshape(count, 2 * height, 2 * width, -1)
        squares = x.reshape(count, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
        return matmul(squares.reshape(count, height // 2, width // 2, 4 * channels), self.kernel)


Resizing = Convolution | Patch


def _resizings(
    key: Key[Array, ""], config: WorldModelConfig, sizes: Sequence[int], *, transposed: bool
) -> tuple[Resizing, ...]:
    keys = jax.random.split(key, len(sizes) - 1)
    kind = Patch if config.encoder == "patch" else Convolution
    pairs = zip(keys, itertools.pairwise(sizes), strict=True)
    return tuple(kind.create(one, size_in, size_out, transposed=transposed) for one, (size_in, size_out) in pairs)


# --- encoders and decoders -------------------------------------------------------------------------------------------


class ImageEncoder(eqx.Module):
    """Encoder of images: layers that halve the sides, each with LN and SiLU."""

    layers: tuple[Resizing, ...]
    norms: tuple[LayerNorm, ...]

    def __call__(self, observation: Array) -> Float[Array, "n size"]:
        x = (prepare_observation(observation) - 0.5).astype(self.layers[0].kernel.dtype)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = jax.nn.silu(norm(layer(x)))
        return x.reshape(x.shape[0], -1)


class ImageDecoder(eqx.Module):
    """Decoder of images: a dense layer to the smallest image, then layers that double the sides, with LN and SiLU
    between."""

    first: Dense
    layers: tuple[Resizing, ...]
    norms: tuple[LayerNorm, ...]
    smallest: tuple[int, int] = eqx.field(static=True)

    def __call__(self, features: Float[Array, "n features"]) -> Float[Array, "n h w c"]:
        x = self.first(features).reshape(features.shape[0], *self.smallest, -1)
        for layer, norm in zip(self.layers[:-1], self.norms, strict=True):
            x = jax.nn.silu(norm(layer(x)))
        return self.layers[-1](x).astype(jnp.float32) + 0.5


class VectorEncoder(eqx.Module):
    """Encoder of vectors: layer-normalized layers on symlog of the vector."""

    layers: tuple[NormedDense, ...]

    def __call__(self, observation: Float[Array, "n obs"]) -> Float[Array, "n size"]:
        x = prepare_observation(observation).astype(self.layers[0].kernel.dtype)
        for layer in self.layers:
            x = layer(x)
        return x


class VectorDecoder(eqx.Module):
    """Decoder of vectors, in symlog space."""

    network: NormedMLP

    def __call__(self, features: Float[Array, "n features"]) -> Float[Array, "n obs"]:
        return self.network(features).astype(jnp.float32)


Encoder = ImageEncoder | VectorEncoder
Decoder = ImageDecoder | VectorDecoder


def make_encoder(key: Key[Array, ""], config: WorldModelConfig, shape: Sequence[int]) -> Encoder:
    """Encoder with random parameters.

    Args:
        key: Random key.
        config: Kind and channels.
        shape: Shape of an observation: [height, width, channels] of images, [obs] of vectors.

    Returns:
        The encoder.

    Raises:
        ConfigError: The kind does not fit the shape.
    """
    embedding_size(config, shape)
    sizes = [shape[-1], *config.channels]
    if config.encoder == "mlp":
        layers = dense_layers(key, list(itertools.pairwise(sizes)), initializer=FAN_AVERAGE)
        return VectorEncoder(tuple(NormedDense.of(layer) for layer in layers))
    return ImageEncoder(
        _resizings(key, config, sizes, transposed=False), tuple(LayerNorm.create(size) for size in config.channels)
    )


def make_decoder(key: Key[Array, ""], config: WorldModelConfig, shape: Sequence[int]) -> Decoder:
    """Decoder with random parameters, the mirror image of the encoder.

    Args:
        key: Random key.
        config: Kind and channels.
        shape: Shape of an observation: [height, width, channels] of images, [obs] of vectors.

    Returns:
        The decoder.
    """
    if config.encoder == "mlp":
        return VectorDecoder(NormedMLP.create(key, config.features, config.channels[::-1], shape[0]))
    k_first, k_layers = jax.random.split(key)
    smallest, upwards = _smallest(config, shape), config.channels[::-1]
    size = (config.features, smallest[0] * smallest[1] * upwards[0])
    return ImageDecoder(
        dense_layers(k_first, [size], initializer=FAN_AVERAGE)[0],
        _resizings(k_layers, config, [*upwards, shape[-1]], transposed=True),
        tuple(LayerNorm.create(size) for size in upwards[1:]),
        smallest,
    )
