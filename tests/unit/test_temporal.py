"""Convolutions over time against XLA's, for sequences shorter than the kernel too; group normalisation; gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.errors import ConfigError
from surefoot.nn import TemporalConfig, TemporalUNet, TrajectoryValue
from surefoot.nn.temporal import Conv, Downsample, GroupNorm, Upsample, Window, unfold, with_random_kernels

KEY = jax.random.key(0)


def x_of(length: int, channels: int = 4) -> Any:
    return jax.random.normal(jax.random.key(length), (3, length, channels))


def reference(x: Any, kernel: Any, *, stride: int = 1, padding: int) -> Any:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride,), [(padding, padding)], dimension_numbers=("NWC", "WIO", "NWC")
    )


def both(layer: Any, expected: Any, x: Any) -> None:
    """The layer and what it should be agree, and so do the gradients of the sum of squares in kernel and input."""

    @jax.jit
    def outputs_and_gradients(kernel: Any, x: Any) -> Any:
        ours = lambda kernel, x: type(layer)(kernel, layer.bias)(x)  # noqa: E731
        slopes = [jax.grad(lambda *a, f=f: (f(*a) ** 2).sum(), (0, 1))(kernel, x) for f in (ours, expected)]
        return (ours(kernel, x), expected(kernel, x)), slopes

    (output, reference_output), (found, wanted) = outputs_and_gradients(layer.kernel, x)
    np.testing.assert_allclose(output, reference_output, rtol=1e-5, atol=1e-5)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_what_a_convolution_sees() -> None:
    """Steps 1, 2, 3, 4 of one channel, zeros beyond them."""
    x = jnp.arange(1.0, 5.0)[None, :, None]
    convolution, halving = Window(taps=5, stride=1, before=2), Window(taps=3, stride=2, before=1)
    np.testing.assert_array_equal(
        unfold(x, convolution)[0], [[0, 0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, 0], [2, 3, 4, 0, 0]]
    )
    np.testing.assert_array_equal(unfold(x, halving)[0], [[0, 1, 2], [2, 3, 4]])


@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_convolution_is_xlas(length: int) -> None:
    layer = with_random_kernels(Conv.create(4, 6), KEY)
    both(layer, lambda kernel, x: reference(x, kernel, padding=2), x_of(length))


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_downsampling_pads_one_on_both_sides(length: int) -> None:
    layer = with_random_kernels(Downsample.create(4), KEY)
    both(layer, lambda kernel, x: reference(x, kernel, stride=2, padding=1), x_of(length))


def test_upsampling_is_its_definition() -> None:
    """y[2 n - 1 + j] += x[n] w[j]."""
    layer = with_random_kernels(Upsample.create(4), KEY)
    x = np.asarray(x_of(3))
    expected = np.zeros((3, 8, 4), np.float32)  # places -1 to 6
    for n in range(3):
        for j in range(4):
            expected[:, 2 * n + j] += x[:, n] @ np.asarray(layer.kernel)[j]
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected[:, 1:7], rtol=1e-5, atol=1e-5)


def test_group_norm_and_its_gradient() -> None:
    """Against the plain formula, two groups of two channels."""
    norm = GroupNorm(jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.arange(4.0), 2)
    x = x_of(5)

    def plain(x: Any, scale: Any, bias: Any) -> Any:
        grouped = x.reshape(3, 5, 2, 2)
        mean = grouped.mean((1, 3), keepdims=True)
        variance = ((grouped - mean) ** 2).mean((1, 3), keepdims=True)
        return ((grouped - mean) / jnp.sqrt(variance + 1e-5)).reshape(x.shape) * scale[None, None] + bias[None, None]

    ours = lambda x, scale, bias: GroupNorm(scale, bias, 2)(x)  # noqa: E731
    arguments = (x, norm.scale, norm.bias)
    np.testing.assert_allclose(ours(*arguments), plain(*arguments), rtol=1e-5, atol=1e-5)
    gradient = lambda f: jax.jit(jax.grad(lambda *a: (f(*a) ** 3).sum(), (0, 1, 2)))(*arguments)  # noqa: E731
    for one, other in zip(gradient(ours), gradient(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_the_papers_sizes_have_the_papers_numbers_of_parameters() -> None:
    """Locomotion: horizon 32, hopper's 11 observations and 3 actions: 3.96 and 2.29 million. Nothing is computed."""
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    model = jax.eval_shape(lambda key: TemporalUNet.create(key, 11, 3, TemporalConfig()), KEY)
    value = jax.eval_shape(lambda key: TrajectoryValue.create(key, 14, 32, TemporalConfig()), KEY)
    assert (count(model), count(value)) == (3_956_302, 2_294_817)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"width": 12}, "network.width: expected a multiple of 8, found 12"),
        ({"kernel": 4}, "network.kernel: expected an odd number, found 4"),
        ({"multipliers": ()}, "network.multipliers: expected at least one number, found none"),
        ({"multipliers": (1, 0)}, "network.multipliers: expected at least 1, found 0"),
    ],
)
def test_sizes_that_no_network_can_have_are_refused(sizes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        TemporalConfig(**sizes)


def test_a_width_that_is_a_multiple_of_8_but_not_of_16_serves_both_networks() -> None:
    """Levels of 24 and 48 channels; the value's halve to 24 and, of 12, to the 8 that the normalisation needs."""
    config = TemporalConfig(width=24, multipliers=(1, 2))
    x = jnp.zeros((2, 8, 5))
    assert TemporalUNet.create(KEY, 3, 2, config)(x, jnp.zeros(2)).shape == (2, 8, 5)
    assert TrajectoryValue.create(KEY, 5, 8, config)(x, jnp.zeros(2)).shape == (2, 1)
