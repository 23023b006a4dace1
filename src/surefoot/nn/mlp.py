"""Dense layers and multilayer perceptrons, single or as an ensemble with a leading member axis."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.nn.matmul import matmul


def glorot_uniform(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Uniform on +-sqrt(6 / (in + out)) over the last two axes."""
    bound = (6.0 / (shape[-2] + shape[-1])) ** 0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def lecun_normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Normal with variance 1 / in, cut at two standard deviations and rescaled to keep that variance."""
    cut_standard_deviation = 0.87962566103423978  # of the standard normal cut at +-2
    scale = (1.0 / shape[-2]) ** 0.5 / cut_standard_deviation
    return scale * jax.random.truncated_normal(key, -2.0, 2.0, shape)


class Dense(eqx.Module):
    """x W + b. Kernel [*members, in, out], bias [*members, out]."""

    kernel: Float[Array, "*members in out"]
    bias: Float[Array, "*members out"]

    @staticmethod
    def create(
        key: Key[Array, ""],
        size_in: int,
        size_out: int,
        *,
        members: tuple[int, ...] = (),
        initializer: Callable[[Key[Array, ""], tuple[int, ...]], Array] = glorot_uniform,
    ) -> "Dense":
        """A layer with kernels from `initializer` and zero bias."""
        return Dense(initializer(key, (*members, size_in, size_out)), jnp.zeros((*members, size_out)))

    def __call__(self, x: Float[Array, "*b in"]) -> Float[Array, "*b out"]:
        """[*members, B, in] or [B, in] -> [*members, B, out]; without members, any leading axes of x."""
        members = self.kernel.shape[:-2]
        if not members:
            y = matmul(x, self.kernel)
            return y + jnp.broadcast_to(self.bias, y.shape)
        x = jnp.broadcast_to(x, (*members, *x.shape[-2:]))
        return matmul(x, self.kernel) + self.bias[..., None, :]


class MLP(eqx.Module):
    """Dense layers with ReLU between and a single number out; the last axis is dropped.

    With members the output is [*members, B], without it [B].
    """

    layers: tuple[Dense, ...]

    @staticmethod
    def create(key: Key[Array, ""], size_in: int, hidden: Sequence[int], *, members: tuple[int, ...] = ()) -> "MLP":
        """Every kernel Glorot-uniform, every bias zero (FISOR, section 3 of our specification)."""
        sizes = [size_in, *hidden, 1]
        keys = jax.random.split(key, len(sizes) - 1)
        return MLP(
            tuple(Dense.create(k, a, b, members=members) for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True))
        )

    def __call__(self, x: Float[Array, "*b in"]) -> Float[Array, "*b"]:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)[..., 0]
