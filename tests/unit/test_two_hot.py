"""Two-hot labels, categorical variables, normed layers and Gaussian actors, by numbers computed by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.nn.categorical import kl_divergence, mixed_log_probabilities, sample
from surefoot.nn.gaussian import Gaussian
from surefoot.nn.networks import clip_each
from surefoot.nn.normed import LayerNorm, NormedMLP
from surefoot.nn.two_hot import bins, symexp, symlog, two_hot, two_hot_loss, two_hot_mean


def test_symlog_squashes_both_signs_and_symexp_undoes_it() -> None:
    x = jnp.array([-(math.e - 1), 0.0, math.e**2 - 1])
    np.testing.assert_allclose(symlog(x), [-1.0, 0.0, 2.0], rtol=1e-6)  # log(1 + e^2 - 1) = 2
    np.testing.assert_allclose(symexp(symlog(x)), x, rtol=1e-5)


def test_a_label_lies_between_its_two_nearest_bins() -> None:
    # 5 bins: -20, -10, 0, 10, 20. symlog(e^2.5 - 1) = 2.5, a quarter of the way from 0 to 10.
    np.testing.assert_array_equal(bins(5), [-20, -10, 0, 10, 20])
    labels = two_hot(jnp.array([0.0, math.exp(2.5) - 1, -(math.exp(10) - 1)]), 5)
    np.testing.assert_allclose(labels, [[0, 0, 1, 0, 0], [0, 0, 0.75, 0.25, 0], [0, 1, 0, 0, 0]], atol=1e-5)


def test_255_bins_are_0_157_apart_and_hold_any_number() -> None:
    # 40 / 254 = 0.15748. Half a bin above 0: symexp(0.07874) = 0.0819.
    label = two_hot(jnp.array([math.exp(20 / 254) - 1]), 255)[0]
    np.testing.assert_allclose(label[126:130], [0.0, 0.5, 0.5, 0.0], atol=1e-4)
    values = jnp.array([-300.0, -1.0, 0.0, 0.01, 1.0, 7.3, 5000.0])
    np.testing.assert_allclose(two_hot_mean(jnp.log(two_hot(values, 255) + 1e-30)), values, rtol=1e-4, atol=1e-6)


def test_the_loss_is_the_cross_entropy_with_the_label() -> None:
    logits = jnp.log(jnp.array([0.1, 0.2, 0.4, 0.2, 0.1]))
    # label 0.75 at bin 2 (p 0.4), 0.25 at bin 3 (p 0.2): -(0.75 log 0.4 + 0.25 log 0.2) = 1.0896
    loss = two_hot_loss(logits, jnp.float32(math.exp(2.5) - 1))
    np.testing.assert_allclose(loss, 1.0896, atol=1e-3)


def test_uniform_probability_is_mixed_in() -> None:
    # softmax of (large, 0) is (1, 0); with 10 % uniform over 2: (0.95, 0.05).
    mixed = mixed_log_probabilities(jnp.array([[100.0, 0.0]]), uniform=0.1)
    np.testing.assert_allclose(np.exp(mixed), [[0.95, 0.05]], atol=1e-6)


def test_a_sample_is_one_hot_and_its_gradient_that_of_the_probabilities() -> None:
    logits = jnp.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])

    def second(values: jax.Array) -> jax.Array:
        return sample(jax.nn.log_softmax(values), None)[0, 1]

    np.testing.assert_allclose(sample(jax.nn.log_softmax(logits), None), [[0, 0, 1], [1, 0, 0]], atol=1e-6)
    p = jax.nn.softmax(logits[0])
    expected = [-p[1] * p[0], p[1] * (1 - p[1]), -p[1] * p[2]]  # d softmax_1 / d logits
    np.testing.assert_allclose(jax.grad(second)(logits)[0], expected, rtol=1e-5)


def test_samples_follow_the_probabilities() -> None:
    log_p = jnp.log(jnp.array([[0.2, 0.8]]))
    noise = jax.random.gumbel(jax.random.key(0), (4000, 1, 2))
    drawn = jax.vmap(lambda one: sample(log_p, one))(noise)
    assert abs(float(drawn[:, 0, 1].mean()) - 0.8) < 0.03  # 4.7 standard deviations


def test_kl_is_summed_over_the_variables() -> None:
    left = jnp.log(jnp.array([[0.5, 0.5], [0.9, 0.1]]))
    right = jnp.log(jnp.array([[0.25, 0.75], [0.9, 0.1]]))
    # 0.5 log 2 + 0.5 log(2/3) = 0.1438; the second pair adds 0.
    np.testing.assert_allclose(kl_divergence(left, right), 0.143841, rtol=1e-4)


def test_layer_norm_has_mean_0_and_deviation_1_but_for_its_epsilon() -> None:
    # (1, 3): mean 2, variance 1; 1 / sqrt(1 + 0.001) = 0.9995.
    np.testing.assert_allclose(LayerNorm.create(2)(jnp.array([1.0, 3.0])), [-0.9995, 0.9995], atol=1e-4)


def test_a_head_of_scale_0_starts_at_0() -> None:
    head = NormedMLP.create(jax.random.key(0), 4, (8,), 5, out_scale=0.0)
    np.testing.assert_array_equal(head(jnp.ones((3, 4))), np.zeros((3, 5)))


def test_the_density_and_the_entropy_of_a_gaussian() -> None:
    one = Gaussian(jnp.array([0.0, 1.0]), jnp.array([1.0, 0.5]))
    # at (0, 1.5): -0.9189 and -0.5 - log 0.5 - 0.9189 = -0.7258; entropy 1.4189 + (1.4189 - 0.6931)
    np.testing.assert_allclose(one.log_probability(jnp.array([0.0, 1.5])), -0.9189 - 0.7258, atol=1e-3)
    np.testing.assert_allclose(one.entropy(), 1.4189 + 0.7258, atol=1e-3)


def test_every_member_of_a_gradient_is_clipped_by_itself() -> None:
    gradient = (jnp.array([3.0, 4.0]), jnp.array([0.3, 0.4]))
    clipped = clip_each(gradient, 1.0)  # norms 5 and 0.5
    np.testing.assert_allclose(clipped[0], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(clipped[1], [0.3, 0.4], rtol=1e-6)


@pytest.mark.parametrize("count", [5, 63, 255])
def test_the_middle_bin_is_exactly_0(count: int) -> None:
    assert bins(count)[count // 2] == 0
