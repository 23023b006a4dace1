"""The form of a kernel a layer: its kernel, run here one operation after the other, and its networks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.memory import drop_programs

from surefoot.kernels.activations import mish
from surefoot.kernels.cuda_layer import Gradient, Launch, Shift, Taps, Term, chunk_of, fits, layer, tile
from surefoot.kernels.group_norm import group_norm
from surefoot.nn import TemporalConfig, TemporalUNet, TrajectoryValue
from surefoot.nn.temporal import Conv, Downsample, Upsample
from surefoot.planning import fused_networks, with_fused_networks
from surefoot.planning.fused_blocks import Convolution
from surefoot.planning.fused_networks import FusedUNet, FusedValue

GROUPS, CHANNELS, TIMES, HORIZON = 8, 32, 20, 8
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


def networks() -> tuple[TemporalUNet, TrajectoryValue]:
    """Untrained ones with biases of their own, since untrained ones are 0; two values beside each other, from 64
    channels over 8 steps down to 16 over one."""
    config = TemporalConfig(32, (1, 2))
    shaken = lambda network: jax.tree.map(lambda leaf: leaf + 0.1 * normal(*leaf.shape), network)  # noqa: E731
    create = lambda key: TrajectoryValue.create(key, 4, HORIZON, config, outputs=2, conditions=1)  # noqa: E731
    values = shaken(jax.vmap(create)(jax.random.split(jax.random.key(1), 2)))
    return shaken(TemporalUNet.create(jax.random.key(0), 3, 1, config)), values


@jax.jit
def what_they_say(denoiser: Any, values: Any, x: jax.Array, weight: float) -> dict[str, jax.Array]:
    """The gradient is that of the weighted sum."""
    t, condition = jnp.array([7.0]), normal(5, 1)
    outputs = lambda x: jax.vmap(lambda network: network(x, t, condition))(values)  # noqa: E731
    gradient = jax.grad(lambda x: weight * outputs(x).sum())(x)
    return {"clean": denoiser(x, t), "values": outputs(x), "gradient": gradient}


EXACT = {"clean": (1e-4, 1e-5), "values": (1e-4, 1e-5), "gradient": (1e-3, 1e-4)}
ROUNDED = dict.fromkeys(EXACT, (0.0, 8e-3))
"""Errors as a share of each number, and of the largest."""


@pytest.mark.usefixtures("much_memory")
@pytest.mark.parametrize(("dtype", "weight", "errors"), [("float32", 1.0, EXACT), ("float16", 1e-9, ROUNDED)])
def test_the_networks_say_the_same_in_both_forms(dtype: Any, weight: float, errors: dict[str, Any]) -> None:
    """Float16 has 11 binary digits, 0.0005 a rounding, and nothing below 6e-8: the gradient of a tiny part of a value
    is still there."""
    plain, x = networks(), normal(5, HORIZON, 4)
    form = fused_networks.both(*plain, HORIZON, times=TIMES, launch=INTERPRETED._replace(dtype=jnp.dtype(dtype)))
    assert [network.launch.rows for network in (form[0], form[1].tower)] == [16, 32]
    assert [Launch().beside(count).rows for count in (1, 2, 3, 4)] == [16, 32, 32, 64]
    expected = jax.device_get(what_they_say(*plain, x, weight))
    drop_programs()  # one form at a time: both are two gigabytes
    found = what_they_say(*form, x, weight)
    for name, numbers in expected.items():
        largest, (share, of_largest) = float(np.abs(numbers).max()), errors[name]
        assert largest > 0.0
        np.testing.assert_allclose(found[name], numbers, rtol=share, atol=of_largest * largest, err_msg=name)


def test_what_is_too_large_for_float16_is_its_largest() -> None:
    x = jnp.full((1, 2, 16), 60_000.0)
    found = layer([Convolution(jnp.eye(16) * 2, Taps(1)).over(x)], 2, launch=INTERPRETED._replace(dtype=jnp.float16))
    assert found.plain.dtype == jnp.float16
    np.testing.assert_array_equal(found.plain, 65_504.0)


def test_which_layers_the_kernel_takes() -> None:
    """Powers of two, at least 16 channels, and no more than a program's registers hold."""
    assert fits(32, 256, 8)
    assert fits(1, 16, 8)
    assert not fits(512, 256, 8), "512 rows of 32 columns"
    assert not fits(32, 256, 8, launch=Launch(rows=512))
    assert not fits(12, 32, 8)
    assert not fits(8, 24, 8)
    assert not fits(8, 8, 8), "tensor cores take no 8 columns"
    denoiser, values = networks()
    assert fused_networks.takes_both(denoiser, values, HORIZON)
    narrow = TemporalUNet.create(jax.random.key(0), 3, 1, TemporalConfig(8, (1,)))
    assert not fused_networks.takes_both(narrow, values, HORIZON)


def test_tiles_grow_where_there_are_enough_of_them() -> None:
    """64 samples of 32 steps and 32 channels: 64 programs, one a sample. 2560 of 4 steps and 256 channels in groups of
    32: 160 times 8 programs of 64 rows. Groups of 256 channels leave room for 32 rows."""
    assert tile(64, 32, 32, 4, launch=Launch()) == (32, 32)
    assert tile(64, 4, 256, 32, launch=Launch().beside(2)) == (32, 32)
    assert tile(2_560, 4, 256, 32, launch=Launch()) == (64, 32)
    assert tile(2_560, 4, 256, 0, launch=Launch(rows=128)) == (128, 32)
    assert tile(100_000, 4, 2_048, 256, launch=Launch().beside(2)) == (32, 256)
    assert tile(2_560, 4, 16, 0, launch=Launch()) == (16, 16), "160 programs of 64 rows"


@pytest.mark.parametrize(("rows", "columns", "channels"), [(32, 32, 128), (64, 32, 128), (64, 64, 64), (256, 32, 32)])
def test_chunks_under_way_fit_the_shared_memory(rows: int, columns: int, channels: int) -> None:
    """Four of rows x channels and channels x columns in float16 take at most 96 KB."""
    assert chunk_of(rows, columns) == channels
    assert 4 * 2 * channels * (rows + columns) <= 96 * 1024


def test_where_networks_plan_in_this_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, where the kernels take them; what is placed on that machine's CPU is planned there."""
    forms: list[Any] = []

    def plan(denoiser: Any, values: Any) -> Any:
        forms.append((type(denoiser), type(values)))
        return denoiser(normal(2, HORIZON, 4), jnp.array([3.0]))

    def planned(both: tuple[TemporalUNet, TrajectoryValue]) -> jax.Array:
        forms.clear()
        return jax.jit(lambda both: with_fused_networks(plan, *both, horizon=HORIZON, times=TIMES))(both)

    as_they_are = (TemporalUNet, TrajectoryValue)
    both = networks()
    expected = planned(both)
    assert forms == [as_they_are]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    same(planned(both), expected)
    assert sorted(forms, key=str) == sorted([as_they_are, (FusedUNet, FusedValue)], key=str)
    planned((TemporalUNet.create(jax.random.key(0), 3, 1, TemporalConfig(8, (1,))), both[1]))
    assert forms == [as_they_are]
