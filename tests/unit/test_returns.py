"""Lambda-returns, weights, spreads, expectile critics, reachability targets and the Lagrangian, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms.imagination import (
    asymmetric_loss,
    init_spread,
    lambda_returns,
    masked_mean,
    scale_of,
    step_weights,
    update_spread,
)
from surefoot.constraints import AugmentedConfig, AugmentedState, augmented_init, augmented_penalty, augmented_update
from surefoot.nn.two_hot import two_hot, two_hot_loss, two_hot_mean
from surefoot.values import estimation_target


def test_lambda_returns_by_hand() -> None:
    # Two steps, discount 0.5, lambda 0.5. G_2 = V_2 = 4; G_1 = 2 + 0.5 (0.5 * 4 + 0.5 * 4) = 4;
    # G_0 = 1 + 0.5 (0.5 * 3 + 0.5 * 4) = 2.75.
    reward, value = jnp.array([[1.0], [2.0]]), jnp.array([[9.0], [3.0], [4.0]])
    found = lambda_returns(reward, value, jnp.full((2, 1), 0.5), mixing=0.5)
    np.testing.assert_allclose(found[:, 0], [2.75, 4.0, 4.0])


def test_lambda_returns_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    reward, discount = rng.normal(size=(6, 3)), rng.uniform(0.5, 1, (6, 3))
    value = rng.normal(size=(7, 3))
    expected = np.zeros((7, 3))
    expected[6] = value[6]
    for t in reversed(range(6)):
        expected[t] = reward[t] + discount[t] * (0.05 * value[t + 1] + 0.95 * expected[t + 1])
    found = lambda_returns(jnp.asarray(reward), jnp.asarray(value), jnp.asarray(discount), mixing=0.95)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_follows_a_termination_weighs_less() -> None:
    # Two starts: a running one and a terminal one; the first goes on with 1, then 0.5, at gamma 0.9.
    discount = 0.9 * jnp.array([[1.0, 1.0], [0.5, 1.0]])
    found = step_weights(discount, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(found, [[1.0, 0.0], [0.9, 0.0], [0.405, 0.0]], rtol=1e-6)


def test_the_scale_is_the_smoothed_range_and_at_least_1() -> None:
    values = jnp.linspace(0.0, 100.0, 101)  # 5th percentile 5, 95th 95
    spread = update_spread(init_spread(), values, rate=0.1)
    np.testing.assert_allclose([spread.low, spread.high], [0.5, 9.5], rtol=1e-5)
    np.testing.assert_allclose(scale_of(spread), 9.0, rtol=1e-5)
    assert scale_of(init_spread()) == 1.0


@pytest.mark.parametrize(("lower", "share"), [(False, 0.8), (True, 0.2)])
def test_a_two_hot_critic_leans_to_its_expectile(lower: bool, share: float) -> None:
    """Targets 0 and 4 alike: with the upper expectile of 0.8 the loss is least where the upper one has 0.8 of the
    probability, with the lower one where it has 0.2; the mean is then symexp of that share of symlog(4) = log 5."""
    targets = jnp.array([0.0, 4.0])

    def loss(logits: jax.Array) -> jax.Array:
        return asymmetric_loss(jnp.broadcast_to(logits, (2, 255)), targets, expectile=0.8, lower=lower).mean()

    best = jnp.log(jnp.array([1 - share, share]) @ two_hot(targets, 255) + 1e-12)
    np.testing.assert_allclose(two_hot_mean(best), 5.0**share - 1, rtol=1e-3)
    np.testing.assert_allclose(jax.grad(loss)(best), np.zeros(255), atol=1e-6)
    # From a prediction of 1.24 = sqrt(5) - 1 in the middle, each target's cross-entropy, log 2 at least, is weighed.
    middle = jnp.log(jnp.array([0.5, 0.5]) @ two_hot(targets, 255) + 1e-12)
    terms = asymmetric_loss(jnp.broadcast_to(middle, (2, 255)), targets, expectile=0.8, lower=lower)
    plain = two_hot_loss(jnp.broadcast_to(middle, (2, 255)), targets)
    np.testing.assert_allclose(terms / plain, [1 - share, share], rtol=1e-5)


def test_a_mean_under_a_mask_that_is_0_everywhere_is_0() -> None:
    assert masked_mean(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0])) == 3.0
    assert masked_mean(jnp.array([1.0, 3.0]), jnp.zeros(2)) == 0.0


def chain(costs: list[float], *, discount: float) -> np.ndarray:
    """The fixed point of `estimation_target` on states that follow each other; the last is terminal."""
    p = jnp.zeros(len(costs))
    going_on = jnp.array([1.0] * (len(costs) - 1) + [0.0])
    for _ in costs:
        following = jnp.concatenate([p[1:], jnp.zeros(1)])
        p = estimation_target(jnp.array(costs), following, going_on, discount=discount)
    return np.asarray(p)


def test_the_reachability_of_a_chain() -> None:
    # A violation three steps ahead of the first state: 0.9^3, 0.9^2, 0.9, 1; after it nothing.
    np.testing.assert_allclose(chain([0, 0, 0, 1, 0], discount=0.9), [0.729, 0.81, 0.9, 1.0, 0.0], rtol=1e-6)


def test_reachability_differs_between_data_without_cost_and_full_of_it() -> None:
    """The public code's does not: its critic never sees a cost."""
    np.testing.assert_array_equal(chain([0, 0, 0], discount=0.99), [0, 0, 0])
    np.testing.assert_array_equal(chain([1, 1, 1], discount=0.99), [1, 1, 1])


def test_the_penalty_by_hand() -> None:
    state = AugmentedState(jnp.float32(2.0), jnp.float32(4.0))
    np.testing.assert_allclose(augmented_penalty(state, jnp.float32(1.0)), 4.0)  # 2 * 1 + 4 * 1 / 2
    np.testing.assert_allclose(augmented_penalty(state, jnp.float32(-0.5)), -0.5)  # at 2 - 2 = 0: -4 / 8
    np.testing.assert_allclose(augmented_penalty(state, jnp.float32(-3.0)), -0.5)
    slope = jax.grad(lambda g: augmented_penalty(state, g))
    np.testing.assert_allclose(slope(jnp.float32(1.0)), 6.0)  # lambda + c g
    np.testing.assert_allclose(slope(jnp.float32(-3.0)), 0.0)


def test_the_multiplier_rises_above_the_limit_and_falls_below_it() -> None:
    config = AugmentedConfig(multiplier=1.0, penalty=0.5, growth=0.1, most_penalty=0.52)
    above = augmented_update(augmented_init(config), jnp.float32(3.0), config=config)
    np.testing.assert_allclose(above, [2.5, 0.52])  # 1 + 0.5 * 3; 0.55 is cut
    below = augmented_update(augmented_init(config), jnp.float32(-1.0), config=config)
    np.testing.assert_allclose(below.multiplier, 0.5)
    gone = augmented_update(augmented_init(config), jnp.float32(-9.0), config=config)
    assert gone.multiplier == 0.0
