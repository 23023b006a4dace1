"""Normalisation and Mish in one kernel, run here one operation after the other."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.kernels.activations import mish
from surefoot.kernels.cuda_norm_mish import Form, fits, norm_mish
from surefoot.kernels.group_norm import group_norm
from surefoot.nn import TemporalConfig, TemporalUNet, temporal

GROUPS, CHANNELS = 8, 32
kernel: Any = norm_mish
FORM = Form(GROUPS, interpret=True)


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def plainly(x: Any, scale: Any, bias: Any) -> jax.Array:
    return mish(group_norm(x, scale, bias, jnp.zeros(GROUPS)))


@pytest.mark.parametrize("length", [1, 2, 8])
def test_the_kernel_and_its_gradient(length: int) -> None:
    arguments = (normal(3, length, CHANNELS), normal(CHANNELS, seed=2), normal(CHANNELS, seed=3))
    weights = normal(3, length, CHANNELS, seed=4)
    total = lambda f: jax.jit(jax.value_and_grad(lambda *given: jnp.sum(weights * f(*given)), (0, 1, 2)))  # noqa: E731
    found = total(lambda *given: kernel(*given, FORM))(*arguments)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(total(plainly)(*arguments)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(jnp.abs(b).max()))


def test_stacked_networks_run_side_by_side() -> None:
    x, scale, bias = normal(2, 3, 4, CHANNELS), normal(2, CHANNELS), normal(2, CHANNELS, seed=1)
    found: Any = jax.jit(jax.vmap(lambda *arrays: kernel(*arrays, FORM)))(x, scale, bias)
    for member in range(2):
        expected = plainly(x[member], scale[member], bias[member])
        np.testing.assert_allclose(found[member], expected, rtol=1e-5, atol=1e-5)


def test_tiles_have_powers_of_two() -> None:
    assert fits(32, 256, 8)
    assert not fits(32, 512, 8), "more than a program holds"
    assert not fits(12, 32, 8)
    assert not fits(8, 24, 8), "three channels a group"


def test_what_is_placed_on_the_cpu_beside_a_gpu_runs_there(monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = TemporalUNet.create(jax.random.key(0), 3, 1, TemporalConfig(8, (1, 2)))
    x, t = normal(2, 8, 4), jnp.array([3.0])
    expected = jax.jit(lambda network: network(x, t))(denoiser)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    traced = jax.make_jaxpr(lambda network: network(x, t))(denoiser)
    assert "norm_mish" in str(traced), "the kernel is there for a GPU"
    found = jax.jit(lambda network: network(x, t))(denoiser)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert jax.eval_shape(temporal.ConvBlock.create(4, 24), x).shape == (2, 8, 24), "which no kernel takes"
