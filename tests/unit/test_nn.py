"""Networks: Mish, matrix products with their own gradient, dense layers, the noise predictor."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.kernels.activations import mish
from surefoot.kernels.matmul import matmul
from surefoot.nn import MLP, Denoiser, DenoiserConfig, Dense, move_towards
from surefoot.nn.networks import LECUN_NORMAL, Block, LayerNorm, dense_layers

SMALL = DenoiserConfig(width=6, blocks=2, expansion=2, frequencies=3, time_width=4)


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def as_written(x: jax.Array) -> jax.Array:
    return x * jnp.tanh(jax.nn.softplus(x))


# --- mish ---


def test_mish_is_x_tanh_softplus_x_with_its_derivative() -> None:
    # mish(1) = tanh(ln(1 + e)) = tanh(1.31326) = 0.865098
    assert float(mish(jnp.float32(1.0))) == pytest.approx(0.865098, abs=1e-6)
    x = jnp.concatenate([jnp.linspace(-30, 30, 601), jnp.array([0.0, 19.99, 20.0, 20.01])])
    np.testing.assert_allclose(mish(x), as_written(x), rtol=1e-6, atol=1e-6)
    slope, expected = jax.vmap(jax.grad(mish))(x), jax.vmap(jax.grad(as_written))(x)
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)
    # Forward mode goes through the same rule.
    np.testing.assert_array_equal(jax.jvp(mish, (x,), (jnp.ones_like(x),))[1], slope)


@pytest.mark.parametrize(
    ("x", "value", "slope"), [(1e4, 1e4, 1.0), (-1e4, 0.0, 0.0), (1e30, 1e30, 1.0), (0.0, 0.0, 0.6)]
)
def test_mish_at_extremes(x: float, value: float, slope: float) -> None:
    # At 0 the slope is tanh(ln 2) = (4 - 1) / (4 + 1) = 0.6.
    assert float(mish(jnp.float32(x))) == pytest.approx(value, rel=1e-6)
    assert float(jax.grad(mish)(jnp.float32(x))) == pytest.approx(slope, rel=1e-6)


# --- matmul ---

SHAPES = {
    "rows": ((5, 3), (3, 4)),
    "leading axes, shared weights": ((2, 5, 3), (3, 4)),
    "members": ((2, 5, 3), (2, 3, 4)),
}


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("materialised", [False, True])
def test_matmul_has_the_gradient_of_a_plain_product(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], materialised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if materialised:  # every transpose passes the optimisation barrier
        monkeypatch.setattr(importlib.import_module("surefoot.kernels.matmul"), "_MATERIALISE_ABOVE", 0)
    x, w = normal(0, *shapes[0]), normal(1, *shapes[1])
    g = normal(2, *shapes[0][:-1], 4)

    def loss(product):
        return lambda x, w: (product(x, w) * g).sum()

    plain = loss(lambda x, w: jnp.einsum("...ij,...jk->...ik", x, w))
    value, gradients = jax.value_and_grad(loss(matmul), (0, 1))(x, w)
    expected_value, expected = jax.value_and_grad(plain, (0, 1))(x, w)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(gradients, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert ("optimization_barrier" in str(jax.make_jaxpr(jax.grad(loss(matmul), (0, 1)))(x, w))) == materialised


@pytest.mark.parametrize("materialised", [False, True])
def test_matmul_under_vmap_is_a_loop(materialised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over seeds: every seed has its own weights and its own batch."""
    if materialised:
        monkeypatch.setattr(importlib.import_module("surefoot.kernels.matmul"), "_MATERIALISE_ABOVE", 0)
    x, w = normal(0, 3, 5, 2), normal(1, 3, 2, 4)
    gradient = jax.grad(lambda x, w: (matmul(x, w) ** 2).sum(), (0, 1))
    together = jax.vmap(gradient)(x, w)
    alone = [gradient(x[index], w[index]) for index in range(3)]
    for place in (0, 1):
        np.testing.assert_allclose(together[place], jnp.stack([pair[place] for pair in alone]), rtol=1e-5)


# --- dense layers and perceptrons ---


def test_initialisers_have_their_bounds_and_spread() -> None:
    # Glorot: bound sqrt(6 / (100 + 50)) = 0.2, standard deviation 0.2 / sqrt(3). LeCun: variance 1 / 100.
    other, layer = dense_layers(jax.random.key(0), [(7, 3), (100, 50)])
    kernel = layer.kernel
    assert kernel.shape == (100, 50)
    assert float(jnp.abs(other.kernel).max()) <= (6 / 10) ** 0.5
    assert not layer.bias.any()
    assert 0.199 < float(jnp.abs(kernel).max()) <= 0.2
    assert float(kernel.std()) == pytest.approx(0.2 / 3**0.5, rel=0.02)
    kernel = dense_layers(jax.random.key(0), [(100, 50)], initializer=LECUN_NORMAL)[0].kernel
    assert float(kernel.std()) == pytest.approx(0.1, rel=0.03)
    assert float(jnp.abs(kernel).max()) <= 2 * 0.1 / 0.8796 + 1e-6  # cut at two deviations before rescaling


def test_a_dense_layer_by_hand() -> None:
    # (1, 2) [[1, 0, 2], [0, 1, 3]] = (1, 2, 2 + 6); plus the bias (10, 20, 30)
    layer = Dense(jnp.array([[1.0, 0.0, 2.0], [0.0, 1.0, 3.0]]), jnp.array([10.0, 20.0, 30.0]))
    np.testing.assert_array_equal(layer(jnp.array([[1.0, 2.0]])), [[11.0, 22.0, 38.0]])
    deeper = layer(jnp.broadcast_to(jnp.array([1.0, 2.0]), (2, 4, 2)))
    np.testing.assert_array_equal(deeper, np.broadcast_to([11.0, 22.0, 38.0], (2, 4, 3)))


def test_members_compute_what_separate_layers_do() -> None:
    (layer,) = dense_layers(jax.random.key(0), [(3, 4)], members=(2,))
    layer = Dense(layer.kernel, normal(1, 2, 4))
    x = normal(2, 5, 3)
    for member in (0, 1):
        single = Dense(layer.kernel[member], layer.bias[member])
        np.testing.assert_allclose(layer(x)[member], single(x), rtol=1e-5, atol=1e-6)
        own_rows = layer(jnp.stack([x, 2 * x]))  # members may also have rows of their own
        np.testing.assert_allclose(own_rows[member], single((1 + member) * x), rtol=1e-5, atol=1e-6)


def test_an_mlp_drops_its_last_axis_and_starts_with_zero_bias() -> None:
    single, pair = (MLP.create(jax.random.key(0), 3, (4, 4), members=members) for members in ((), (2,)))
    x = normal(1, 5, 3)
    assert single(x).shape == (5,)
    assert pair(x).shape == (2, 5)
    assert [layer.kernel.shape for layer in pair.layers] == [(2, 3, 4), (2, 4, 4), (2, 4, 1)]
    assert all(not np.asarray(layer.bias).any() for layer in (*single.layers, *pair.layers))
    hidden = jax.nn.relu(x @ single.layers[0].kernel)
    hidden = jax.nn.relu(hidden @ single.layers[1].kernel)
    np.testing.assert_allclose(single(x), (hidden @ single.layers[2].kernel)[:, 0], rtol=1e-5, atol=1e-6)
    assert not np.allclose(pair(x)[0], pair(x)[1])  # members start from different kernels


def test_move_towards() -> None:
    # 4 + 0.25 (8 - 4) = 5
    moved = move_towards({"a": jnp.array(4.0)}, {"a": jnp.array(8.0)}, rate=0.25)
    assert float(moved["a"]) == 5.0


# --- the noise predictor ---


def test_layer_norm_by_hand() -> None:
    # (1, 2, 3): mean 2, variance (1 + 0 + 1) / 3; the outer two become +-1 / sqrt(2 / 3) = +-1.2247
    norm = LayerNorm(jnp.array([1.0, 1.0, 2.0]), jnp.array([0.0, 5.0, 1.0]))
    expected = [[-1.2247, 5.0, 2 * 1.2247 + 1]]
    np.testing.assert_allclose(norm(jnp.array([[1.0, 2.0, 3.0]])), expected, rtol=1e-4)
    assert np.isfinite(norm(jnp.full((1, 3), 7.0))).all()  # no spread at all


def test_the_embeddings_add_up_to_the_concatenated_form() -> None:
    """concat(a, s, time features) W + b is the sum of three products: what `propose` relies on."""
    network = Denoiser.create(jax.random.key(0), 3, 2, SMALL)
    action, observation, t = normal(1, 4, 2), normal(2, 4, 3), jnp.array([0.0, 1.0, 2.0, 4.0])
    angles = 2 * jnp.pi * t[:, None] * network.frequencies.T
    features = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
    features = network.time_layers[1](as_written(network.time_layers[0](features)))
    x = network.entry(jnp.concatenate([action, observation, features], -1))
    for block in network.blocks:
        x = x + block.contract(as_written(block.expand(block.norm(x))))
    expected = network.exit(as_written(x))
    np.testing.assert_allclose(network(action, observation, t), expected, rtol=1e-5, atol=1e-5)
    condition = network.embed_observation(observation) + network.embed_time(t)
    np.testing.assert_array_equal(network.predict(action, condition), network(action, observation, t))
    assert expected.shape == (4, 2)
    assert not np.allclose(expected[0], network(action, observation, t + 1.0)[0])  # the time matters


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    size = 20_000
    keep = Dense(jnp.eye(1), jnp.zeros(1))

    class Pass(LayerNorm):
        def __call__(self, x):
            return x

    block = Block(Pass(jnp.ones(1), jnp.zeros(1)), keep, keep)
    x = jnp.full((size, 1), 30.0)  # mish is the identity up there: 0 or 30 / 0.9 come through
    added = block(x, dropout=0.1, key=jax.random.key(0)) - x
    dropped = float((added == 0).mean())
    # A share of 0.1 of 20,000 has a standard deviation of sqrt(0.09 / 20,000) = 0.002.
    assert dropped == pytest.approx(0.1, abs=0.008)
    np.testing.assert_allclose(added[added != 0], 30 / 0.9, rtol=1e-5)
    assert float(added.mean()) == pytest.approx(30.0, rel=0.01)
    np.testing.assert_array_equal(block(x, dropout=0.1) - x, x)  # no key, no dropout
