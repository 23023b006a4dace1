"""The form in which networks plan on a GPU: its kernels, run here one operation after the other, and its networks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms.trebi_planner import planning_networks
from surefoot.nn import TemporalConfig, TemporalUNet, TrajectoryValue, fused, temporal
from surefoot.nn.activations import mish
from surefoot.nn.block_biases import BlockBiases
from surefoot.nn.fused_norm import Form, fits, norm_mish
from surefoot.nn.temporal import NORM_EPSILON, Window, group_norm, unfold

GROUPS, CHANNELS, TIMES = 8, 32, 20
kernel: Any = norm_mish
CONV, DOWN = Window(taps=5, stride=1, before=2), Window(taps=3, stride=2, before=1)


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def plainly(x: Any, scale: Any, bias: Any, addend: Any, *, form: Form) -> tuple[jax.Array, ...]:
    """What the kernel promises, from the parts of the other networks."""
    out = mish(group_norm(x[..., :CHANNELS], scale, bias, jnp.zeros(form.groups)))
    if addend is not None:
        out = out + addend[..., form.addend_part * CHANNELS : (form.addend_part + 1) * CHANNELS]
    return (*([out] if form.plain else []), *([] if form.window is None else [unfold(out, form.window)]))


def test_what_a_convolution_sees() -> None:
    """Steps 1, 2, 3, 4 of one channel, zeros beyond them."""
    x = jnp.arange(1.0, 5.0)[None, :, None]
    np.testing.assert_array_equal(
        unfold(x, CONV)[0], [[0, 0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, 0], [2, 3, 4, 0, 0]]
    )
    np.testing.assert_array_equal(unfold(x, DOWN)[0], [[0, 1, 2], [2, 3, 4]])


@pytest.mark.parametrize(
    ("length", "window", "addend"),
    [
        *((8, CONV, addend) for addend in ("none", "one for all", "one a sample", "beside x")),
        *((8, window, "beside x") for window in (None, DOWN)),
        *((2, window, "none") for window in (Window(3, 1, 1), DOWN)),
        *((1, window, "none") for window in (Window(1, 1, 0), DOWN)),
    ],
)
def test_the_kernels_and_their_gradients(length: int, window: Window | None, addend: str) -> None:
    beside = addend == "beside x"
    x = normal(3, length, 2 * CHANNELS if beside else CHANNELS)
    added = {"none": None, "one for all": normal(1, 1, 2 * CHANNELS, seed=1), "one a sample": normal(3, 1, CHANNELS)}
    parts = {"addend_part": 1} if addend in ("one for all", "beside x") else {}
    arguments = (x, normal(CHANNELS, seed=2), normal(CHANNELS, seed=3), x if beside else added[addend])
    for plain in (True, False) if window else (True,):
        form = Form(GROUPS, NORM_EPSILON, plain=plain, window=window, interpret=True, **parts)
        kernels = partial(kernel, form=form)
        weights = [normal(*out.shape, seed=4) for out in plainly(*arguments, form=form)]

        def total(function: Callable[..., Any], *given: Any, weights: Any = weights) -> jax.Array:
            return sum((jnp.sum(w * out) for w, out in zip(weights, function(*given), strict=True)), jnp.zeros(()))

        places = (0, 1, 2) if addend == "none" else (0, 1, 2, 3)
        both = [jax.jit(jax.value_and_grad(partial(total, f), places)) for f in (partial(plainly, form=form), kernels)]
        expected, found = (function(*arguments) for function in both)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(jnp.abs(b).max()))


def test_a_part_of_the_channels() -> None:
    """The kernel reads the first channels, and its gradient is zero in the others."""
    x, form = normal(2, 4, 3 * CHANNELS), Form(GROUPS, NORM_EPSILON, interpret=True)
    scale, bias = jnp.ones(CHANNELS), jnp.zeros(CHANNELS)
    (found,) = kernel(x, scale, bias, None, form)
    np.testing.assert_allclose(found, plainly(x, scale, bias, None, form=form)[0], rtol=1e-5, atol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(kernel(x, scale, bias, None, form)[0] ** 2)))(x)
    assert gradient[..., :CHANNELS].all()
    assert not gradient[..., CHANNELS:].any()


def test_stacked_networks_run_side_by_side() -> None:
    x, scale, bias = normal(2, 3, 4, CHANNELS), normal(2, CHANNELS), normal(2, CHANNELS, seed=1)
    form = Form(GROUPS, NORM_EPSILON, window=CONV, interpret=True)
    found: Any = jax.jit(jax.vmap(lambda *arrays: kernel(*arrays, None, form)))(x, scale, bias)
    for member in range(2):
        expected = plainly(x[member], scale[member], bias[member], None, form=form)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a[member], b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("multipliers", "horizon"), [((1, 2), 8), ((1, 1), 4)])
def test_the_networks_say_the_same_in_both_forms(multipliers: tuple[int, ...], horizon: int) -> None:
    """Untrained networks with biases of their own, since untrained ones are 0."""
    config = TemporalConfig(8, multipliers)
    shaken = lambda network: jax.tree.map(lambda leaf: leaf + 0.1 * normal(*leaf.shape), network)  # noqa: E731
    denoiser = shaken(TemporalUNet.create(jax.random.key(0), 3, 1, config))
    x, t, condition = normal(5, horizon, 4), jnp.array([7.0]), normal(5, 1)
    denoise = jax.jit(lambda network: network(x, t))
    fast = fused.FusedUNet.of(denoiser, horizon, times=TIMES)
    np.testing.assert_allclose(denoise(fast), denoise(denoiser), rtol=1e-4, atol=1e-4)

    create = lambda key: TrajectoryValue.create(key, 4, horizon, config, outputs=2, conditions=1)  # noqa: E731
    values = shaken(jax.vmap(create)(jax.random.split(jax.random.key(1), 2)))
    outputs = jax.jit(lambda networks, x: jax.vmap(lambda network: network(x, t, condition))(networks))
    fast = jax.vmap(partial(fused.FusedValue.of, times=TIMES))(values)
    np.testing.assert_allclose(outputs(fast, x), outputs(values, x), rtol=1e-4, atol=1e-4)
    gradient = jax.jit(lambda networks: jax.grad(lambda x: outputs(networks, x).sum())(x))
    np.testing.assert_allclose(gradient(fast), gradient(values), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("conditions", [0, 1])
def test_what_the_time_adds_in_all_blocks(conditions: int) -> None:
    """Two stacked values of blocks 8 and 16 wide: each block's own layer of the embedding, then columns of 0."""
    config = TemporalConfig(8, (1, 2))
    create = lambda key: TrajectoryValue.create(key, 4, 8, config, conditions=conditions)  # noqa: E731
    stacked = jax.vmap(create)(jax.random.split(jax.random.key(1), 2))
    stacked = jax.tree.map(lambda leaf: leaf + 0.1 * normal(*leaf.shape), stacked)
    blocks = lambda network: [block for first, second, _ in network.levels for block in (first, second)]  # noqa: E731
    rows = 1 if conditions == 0 else 3
    condition = normal(rows, 1) if conditions else None

    def both(network: TrajectoryValue, t: jax.Array) -> Any:
        biases = BlockBiases.of(network.time, blocks(network), times=TIMES)
        assert (biases.table is None) == bool(conditions)
        embedding = network.time(t, condition)
        own = [block.bias(mish(embedding)) for block in blocks(network)]
        padded = [jnp.pad(bias, ((0, 0), (0, 16 - bias.shape[1]))) for bias in own]
        return biases(t, condition), (embedding, jnp.concatenate(padded, -1))

    for t in ([0.0], [7.0], [19.0]) if conditions else ([0.0], [7.0], [19.0], [3.0, 0.0]):
        found, expected = jax.jit(jax.vmap(both, in_axes=(0, None)))(stacked, jnp.array(t))
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape == (2, max(len(t), rows), b.shape[-1])
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_tiles_have_powers_of_two() -> None:
    assert fits(32, 256, 8)
    assert not fits(32, 512, 8), "more than a program holds"
    assert not fits(12, 32, 8)
    assert not fits(8, 24, 8), "three channels a group"
    network = TemporalUNet.create(jax.random.key(0), 3, 1, TemporalConfig(24, (1,)))
    assert not fused.can_fuse(network, 8)


def test_the_fused_form_is_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU the networks stay; with a GPU they plan in the fused form where the kernels take them, and what is
    placed on that machine's CPU still runs there."""
    config = TemporalConfig(8, (1, 2))
    denoiser = TemporalUNet.create(jax.random.key(0), 3, 1, config)
    values = jax.vmap(lambda key: TrajectoryValue.create(key, 4, 8, config))(jax.random.split(jax.random.key(1), 2))
    same = planning_networks(denoiser, values, plan_horizon=8, times=TIMES)
    assert same[0] is denoiser
    assert same[1] is values
    x, t = normal(2, 8, 4), jnp.array([3.0])
    expected = jax.jit(lambda network: network(x, t))(denoiser)

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    fast, fast_values = planning_networks(denoiser, values, plan_horizon=8, times=TIMES)
    assert isinstance(fast, fused.FusedUNet)
    assert isinstance(fast_values, fused.FusedValue)
    for network in (fast, denoiser):
        found = jax.jit(lambda network: network(x, t))(network)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    wide = TemporalUNet.create(jax.random.key(0), 3, 1, TemporalConfig(24, (1, 2)))
    assert planning_networks(wide, values, plan_horizon=8, times=TIMES)[0] is wide
    block = temporal.ConvBlock.create(4, 24)
    assert jax.eval_shape(block, x).shape == (2, 8, 24)
