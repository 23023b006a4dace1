"""Expectiles, bootstrapped targets, and value-and-critic pairs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.types import DataSpec
from surefoot.values import (
    expectile_loss,
    init_pair,
    reachability_target,
    reward_target,
    step_critic,
    step_value,
)

SPEC = DataSpec(2, 1, 10)


# --- expectiles ---


def test_expectile_loss_by_hand() -> None:
    # u = (2, -1): upper 0.9 * 4 = 3.6 and 0.1 * 1 = 0.1, mean 1.85; lower 0.1 * 4 = 0.4 and 0.9 * 1 = 0.9, mean 0.65
    u = jnp.array([2.0, -1.0])
    loss, terms = expectile_loss(u, expectile=0.9)
    np.testing.assert_allclose([float(loss), *terms], [1.85, 3.6, 0.1], rtol=1e-6)
    loss, terms = expectile_loss(u, expectile=0.9, lower=True)
    np.testing.assert_allclose([float(loss), *terms], [0.65, 0.4, 0.9], rtol=1e-6)


@partial(jax.jit, static_argnames="lower")
@partial(jax.grad, argnums=0)
def expectile_slope(m: jax.Array, points: jax.Array, probabilities: jax.Array, tau: float, *, lower: bool) -> jax.Array:
    terms = expectile_loss(points - m[None], expectile=tau, lower=lower)[1]
    return (probabilities * terms).sum()


@given(
    low=st.floats(-10, 10), gap=st.floats(0.01, 10), share=st.floats(0.05, 0.95), tau=st.floats(0.5, 0.99),
    lower=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_minimiser_is_the_expectile_of_two_points(
    low: float, gap: float, share: float, tau: float, lower: bool
) -> None:
    """Point `high` has probability p, `low` 1 - p. Stationary where a p (high - m) = b (1 - p) (m - low), with weights
    a = tau above and b = 1 - tau below (swapped for the lower): m = low + gap a p / (a p + b (1 - p))."""
    above, below = (1 - tau, tau) if lower else (tau, 1 - tau)
    expected = low + gap * above * share / (above * share + below * (1 - share))
    points, probabilities = jnp.array([low, low + gap]), jnp.array([1 - share, share])

    def slope(m: float) -> jax.Array:
        return expectile_slope(m, points, probabilities, tau, lower=lower)

    # The loss is convex with a continuous slope, which vanishes at the minimum and has the right sign around it.
    size = gap * max(share, 1 - share)
    assert abs(float(slope(expected))) < 1e-4 * max(size, abs(low), 1.0)
    assert float(slope(expected + 0.3 * gap)) > 0
    assert float(slope(expected - 0.3 * gap)) < 0


# --- targets ---


def test_reward_target_by_hand() -> None:
    # 1 + 0.9 * 10 = 10; nothing follows: 1
    target = reward_target(jnp.ones(2), jnp.full(2, 10.0), jnp.array([1.0, 0.0]), discount=0.9)
    np.testing.assert_allclose(target, [10.0, 1.0], rtol=1e-6)


def test_reachability_target_by_hand() -> None:
    """gamma = 0.8, h = -1 but in the third row."""
    h = jnp.array([-1.0, -1.0, 2.0, -1.0])
    next_value = jnp.array([3.0, -5.0, -5.0, 3.0])
    continues = jnp.array([1.0, 1.0, 1.0, 0.0])
    # worse to come: 0.2 (-1) + 0.8 * 3 = 2.2; safer to come: 0.2 (-1) + 0.8 (-1) = -1; now: 2; terminal: h = -1
    expected = [2.2, -1.0, 2.0, -1.0]
    np.testing.assert_allclose(reachability_target(h, next_value, continues, discount=0.8), expected, rtol=1e-6)
    traced = jax.jit(lambda discount: reachability_target(h, next_value, continues, discount=discount))(0.8)
    np.testing.assert_allclose(traced, expected, rtol=1e-6)


@pytest.mark.parametrize("discount", [0.9, 0.999])
def test_a_chain_converges_to_its_known_value(discount: float) -> None:
    """States 0..5 in a row, h = (-1, -1, -1, 2, -1, -1), the step from i enters i + 1, the last terminates.

    V(i) = (1 - g) h(i) + g max(h(i), V(i + 1)), V(5) = -1. From the right: V(5) = V(4) = -1, V(3) = 2,
    V(2) = -(1 - g) + 2 g = 3 g - 1, V(1) = -(1 - g) + g (3 g - 1) = 3 g^2 - 1, V(0) = 3 g^3 - 1: as g goes to 1
    the largest h to come, 2 before the violation and -1 after it.
    """
    h = jnp.array([-1.0, -1.0, -1.0, 2.0, -1.0, -1.0])
    continues = jnp.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    value = jnp.zeros(6)
    for _ in range(10):
        value = reachability_target(h, jnp.roll(value, -1), continues, discount=discount)
    exact = [3 * discount**3 - 1, 3 * discount**2 - 1, 3 * discount - 1, 2.0, -1.0, -1.0]
    np.testing.assert_allclose(value, exact, rtol=1e-5)


def test_with_a_choice_the_best_way_out_counts() -> None:
    """Two actions per state, V = min over actions, as the lower expectile with tau -> 1 has it: state 0 enters the
    hazard (h = 1, terminal) or state 1, which is safe for ever. A self-loop at h = -0.5: V = -0.5 at any discount."""
    h = jnp.array([-0.5, -0.5, 1.0])
    following = jnp.array([[2, 1], [1, 1], [2, 2]])
    continues = jnp.array([1.0, 1.0, 0.0])

    @jax.jit
    def backup(value: jax.Array) -> jax.Array:
        return jax.vmap(lambda n: reachability_target(h, value[n], continues, discount=0.9), 1, 1)(following)

    q = backup(jnp.zeros(3))
    for _ in range(200):
        q = backup(q.min(1))
    np.testing.assert_allclose(q.min(1), [-0.5, -0.5, 1.0], rtol=1e-5)
    # The other action: 0.1 (-0.5) + 0.9 * 1 = 0.85
    np.testing.assert_allclose(q[0], [0.85, -0.5], rtol=1e-5)


# --- pairs ---


def test_a_pair_learns_the_expectile_and_regresses_every_critic() -> None:
    optimizer = optax.adam(1e-2)
    pair = init_pair(SPEC, jax.random.key(0), hidden=(16,), ensemble=2, optimizer=optimizer)
    observation, action = jnp.zeros((2, 2)), jnp.array([[0.5], [-0.5]])
    inputs, q = jnp.concatenate([observation, action], -1), jnp.array([1.0, 0.0])

    def one_step(pair, _):
        pair, _ = step_value(pair, observation, q, expectile=0.9, lower=False, optimizer=optimizer, prefix="x")
        pair, metrics = step_critic(pair, inputs, q, target_rate=0.1, optimizer=optimizer, prefix="x")
        return pair, metrics["x/critic_loss"]

    pair, losses = jax.jit(lambda pair: jax.lax.scan(one_step, pair, length=1500))(pair)
    assert int(pair.updates) == 1500
    # One state, targets 1 and 0 alike often: the 0.9 expectile is 0.9 / (0.9 + 0.1) = 0.9.
    np.testing.assert_allclose(pair.value(observation), 0.9, atol=0.01)
    np.testing.assert_allclose(pair.critic(inputs), jnp.stack([q, q]), atol=0.01)
    np.testing.assert_allclose(pair.critic_target(inputs), jnp.stack([q, q]), atol=0.02)
    assert float(losses[-1]) < 1e-3 < float(losses[0])


def test_a_critic_learns_the_quantile_of_what_next_states_make_of_it() -> None:
    """One action with four outcomes: the 0.7 quantile of 0, 1, 2, 10 is the third, their mean 3.25."""
    optimizer = optax.adam(1e-2)
    inputs, targets = jnp.zeros((4, 3)), jnp.array([0.0, 1.0, 2.0, 10.0])

    def learned(quantile: float) -> jax.Array:
        def one_step(pair, _):
            pair, _ = step_critic(
                pair, inputs, targets, target_rate=0.1, optimizer=optimizer, prefix="x", quantile=quantile
            )
            return pair, None

        pair = init_pair(SPEC, jax.random.key(0), hidden=(4,), ensemble=1, optimizer=optimizer)
        return jax.jit(lambda pair: jax.lax.scan(one_step, pair, length=1500)[0])(pair).critic(inputs)

    np.testing.assert_allclose(learned(0.7), 2.0, atol=0.05)
    np.testing.assert_allclose(learned(0.0), 3.25, atol=0.05)


def test_members_of_a_value_move_as_they_would_alone() -> None:
    """Adam divides by the gradient's size, so gradients are compared through one step of plain descent."""
    optimizer = optax.sgd(0.1)
    options = {"expectile": 0.9, "lower": True, "optimizer": optimizer, "prefix": "x"}
    both = init_pair(SPEC, jax.random.key(0), hidden=(4,), ensemble=1, value_ensemble=2, optimizer=optimizer)
    observation, q = jax.random.normal(jax.random.key(1), (5, 2)), jax.random.normal(jax.random.key(2), (5,))
    step = jax.jit(partial(step_value, **options))
    together, metrics = step(both, observation, q)
    assert both.value(observation).shape == (2, 5)
    losses = 0.0
    for member in (0, 1):
        single = both._replace(value=jax.tree.map(lambda leaf, index=member: leaf[index], both.value))
        alone, own_metrics = step(single, observation, q)
        losses += float(own_metrics["x/value_loss"])
        for ours, theirs in zip(jax.tree.leaves(together.value), jax.tree.leaves(alone.value), strict=True):
            np.testing.assert_allclose(ours[member], theirs, rtol=1e-5, atol=1e-7)
    assert float(metrics["x/value_loss"]) == pytest.approx(losses, rel=1e-5)
