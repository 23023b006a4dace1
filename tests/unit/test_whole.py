"""The form of a kernel a layer: its kernel, run here one operation after the other, and its networks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms.trebi_planner import planning_networks
from surefoot.nn import TemporalConfig, TemporalUNet, TrajectoryValue, whole
from surefoot.nn.activations import mish
from surefoot.nn.temporal import Conv, Downsample, Upsample, group_norm
from surefoot.nn.whole_blocks import Convolution
from surefoot.nn.whole_layer import Gradient, Launch, Shift, Taps, Term, fits, layer

GROUPS, CHANNELS, TIMES = 8, 32, 20
INTERPRETED = Launch(interpret=True, dtype=jnp.float32)


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * float(jnp.abs(expected).max()))


def norm_mish(x: jax.Array, vectors: jax.Array) -> jax.Array:
    return mish(group_norm(x, vectors[1], vectors[2], jnp.zeros(GROUPS)))


@pytest.mark.parametrize(("length", "rows"), [(1, 16), (2, 16), (8, 16), (32, 16), (8, 32), (32, 64)])
def test_a_layer_and_all_that_stands_behind_it(length: int, rows: int) -> None:
    """5 samples: but with 32 steps in 16 rows the last program has rows beyond them. Two inputs, a shift for each
    sample that begins inside a wider array, a product behind the normalisation, and an addend."""
    window = Conv(normal(5, 48, CHANNELS), normal(CHANNELS, seed=1))
    inputs = (normal(5, length, 16, seed=2), normal(5, length, 32, seed=3))
    vectors = jnp.stack([window.bias, normal(CHANNELS, seed=4), normal(CHANNELS, seed=5)])
    shift, skip, addend = normal(5, 2 * CHANNELS, seed=6), normal(16, CHANNELS, seed=7), normal(5, length, CHANNELS)
    taps = Convolution.of(window, length)
    terms = [taps.part(0, 16).over(inputs[0]), taps.part(16, 48).over(inputs[1])]
    found = layer(
        terms, length, vectors=vectors, groups=GROUPS, shift=Shift(shift, CHANNELS), addend=addend, keep=True,
        after=[Term(inputs[0], skip, Taps(1))], launch=INTERPRETED._replace(rows=rows),
    )  # fmt: skip
    entered = window(jnp.concatenate(inputs, -1))
    same(found.entered, entered)
    same(found.plain, norm_mish(entered, vectors) + shift[:, None, CHANNELS:] + inputs[0] @ skip + addend)
    assert found.gradient is None


def test_what_resampling_layers_read() -> None:
    """Steps 1, 2, 3, 4 of sixteen equal channels, and kernels that pass one channel on: y[m] = x[2 m - 1] + 10 x[2 m]
    + 100 x[2 m + 1] halves, y[2 n - 1 + j] += x[n] 10^j doubles."""
    x = jnp.tile(jnp.arange(1.0, 5.0)[None, :, None], 16)

    def kernel(taps: int) -> jax.Array:
        return (10.0 ** jnp.arange(taps))[:, None, None] * jnp.eye(16)[None]

    down = Convolution.of(Downsample(kernel(3), jnp.zeros(16)), 4)
    halved = layer([down.over(x)], 2, launch=INTERPRETED).plain
    np.testing.assert_allclose(halved[0, :, 3], [0 + 10 + 200, 2 + 30 + 400])
    up = Convolution.of(Upsample(kernel(4), jnp.zeros(16)), 4)
    doubled = layer([up.over(x)], 8, launch=INTERPRETED).plain
    np.testing.assert_allclose(doubled[0, :, 3], [10, 102, 1020, 203, 2030, 304, 3040, 400])


@pytest.mark.parametrize("length", [1, 8])
@pytest.mark.parametrize("kind", [Conv, Downsample])
def test_the_gradient_of_a_layer(kind: type, length: int) -> None:
    """norm, Mish and a convolution behind them: by the convolution's input, and by what entered the normalisation."""
    module = kind(normal(5 if kind is Conv else 3, CHANNELS, CHANNELS), jnp.zeros(CHANNELS))
    entered, vectors = normal(3, length, CHANNELS, seed=1), normal(3, CHANNELS, seed=2)
    addend = normal(3, length, CHANNELS, seed=3)
    hidden, before = jax.vjp(lambda entered: norm_mish(entered, vectors), entered)
    out, behind = jax.vjp(module, hidden)
    g = normal(*out.shape, seed=4)
    expected = behind(g)[0] + addend
    found = layer(
        [Convolution.of(module, length).transposed().over(g)], length, addend=addend, groups=GROUPS,
        gradient=Gradient(entered, vectors), launch=INTERPRETED,
    )  # fmt: skip
    same(found.plain, expected)
    same(found.gradient, before(expected)[0])


def test_the_networks_say_the_same_in_both_forms() -> None:
    """Untrained networks with biases of their own, since untrained ones are 0; two values beside each other, from 64
    channels over 8 steps down to 16 over one."""
    config, horizon = TemporalConfig(32, (1, 2)), 8
    shaken = lambda network: jax.tree.map(lambda leaf: leaf + 0.1 * normal(*leaf.shape), network)  # noqa: E731
    denoiser = shaken(TemporalUNet.create(jax.random.key(0), 3, 1, config))
    x, t, condition = normal(5, horizon, 4), jnp.array([7.0]), normal(5, 1)
    denoise = jax.jit(lambda network: network(x, t))
    same(denoise(whole.WholeUNet.of(denoiser, horizon, times=TIMES, launch=INTERPRETED)), denoise(denoiser))

    create = lambda key: TrajectoryValue.create(key, 4, horizon, config, outputs=2, conditions=1)  # noqa: E731
    values = shaken(jax.vmap(create)(jax.random.split(jax.random.key(1), 2)))
    outputs = jax.jit(lambda networks, x: jax.vmap(lambda network: network(x, t, condition))(networks))
    two = Launch.beside(2)._replace(interpret=True, dtype=jnp.float32)
    assert [Launch.beside(networks).rows for networks in (1, 2, 3, 4)] == [16, 32, 32, 64]
    one_kernel = jax.vmap(lambda network: whole.WholeValue.of(network, times=TIMES, launch=two))(values)
    same(outputs(one_kernel, x), outputs(values, x))
    gradient = jax.jit(lambda networks: jax.grad(lambda x: outputs(networks, x).sum())(x))
    np.testing.assert_allclose(
        gradient(one_kernel), gradient(values), rtol=1e-3, atol=1e-4 * float(jnp.abs(gradient(values)).max())
    )


def test_which_layers_the_kernel_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Powers of two, at least 16 channels, and no more than a program's registers hold."""
    assert fits(32, 256, 8)
    assert fits(1, 16, 8)
    assert not fits(512, 256, 8), "512 rows of 32 columns"
    assert not fits(32, 256, 8, launch=Launch(rows=512))
    assert not fits(12, 32, 8)
    assert not fits(8, 24, 8)
    assert not fits(8, 8, 8), "tensor cores take no 8 columns"
    config = TemporalConfig(64, (1,))
    denoiser = TemporalUNet.create(jax.random.key(0), 3, 1, config)
    values = jax.vmap(lambda key: TrajectoryValue.create(key, 4, 8, config))(jax.random.split(jax.random.key(1), 2))
    assert planning_networks(denoiser, values, plan_horizon=8, times=TIMES, gpu_form="whole")[0] is denoiser, (
        "this is a CPU"
    )
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    model, network = planning_networks(denoiser, values, plan_horizon=8, times=TIMES, gpu_form="whole")
    assert isinstance(model, whole.WholeUNet)
    assert isinstance(network, whole.WholeValue)
    narrow = TemporalUNet.create(jax.random.key(0), 3, 1, TemporalConfig(8, (1,)))
    assert planning_networks(narrow, values, plan_horizon=8, times=TIMES, gpu_form="whole")[0] is narrow
