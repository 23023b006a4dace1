"""The collecting learner: its arithmetic by hand, and that it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fake_simulators import LINE

from surefoot.collection import ppo
from surefoot.collection.normalizer import normalize, normalizer_init, normalizer_update
from surefoot.collection.ppo import PPO, Rollout, Scales

CONFIG = PPO(hidden=(8,), epochs=4, minibatch=32, learning_rate=3e-3, discount=0.9)
UPDATE = jax.jit(ppo.update, static_argnums=(0, 1))


def column(*values: float) -> jax.Array:
    """[T, 1]: one simulator."""
    return jnp.asarray(values, jnp.float32)[:, None]


def flags(*, terminated: jax.Array, truncated: jax.Array, alive: jax.Array) -> Rollout:
    rest = jnp.zeros(())
    return Rollout(rest, rest, rest, rest, rest, terminated=terminated, truncated=truncated, alive=alive)


def advantages(rollout: Rollout) -> list[float]:
    """Of rewards 1, values 0 before and 10 after every step, discount 0.5, trace 0.5."""
    steps = rollout.alive.shape[0]
    ones = jnp.ones((1, steps, 1))
    found = ppo.generalized_advantages(ones, 0.0 * ones, 10.0 * ones, rollout, discount=0.5, trace=0.5)
    return found[0, :, 0].tolist()


def test_advantages_by_hand() -> None:
    """An error is 1 + 0.5 x 10 = 6 where the next value counts and 1 where the episode terminated; sums take 1/4."""
    no, yes = column(0, 0, 0), column(1, 1, 1)
    # Nothing ends: 6; 6 + 6/4 = 7.5; 6 + 7.5/4 = 7.875.
    assert advantages(flags(terminated=no, truncated=no, alive=yes)) == [7.875, 7.5, 6.0]
    # Terminated after the second: 1 there, the third does not reach back: 6 + 1/4.
    assert advantages(flags(terminated=column(0, 1, 0), truncated=no, alive=yes)) == [6.25, 1.0, 6.0]
    # Truncated after the second: the state's value counts, the third does not reach back: 6 + 6/4.
    assert advantages(flags(terminated=no, truncated=column(0, 1, 0), alive=yes)) == [7.5, 6.0, 6.0]
    # Lost in the second: nothing there and nothing from beyond.
    assert advantages(flags(terminated=no, truncated=no, alive=column(1, 0, 1))) == [6.0, 0.0, 6.0]


def test_the_clipped_objective_by_hand() -> None:
    """A ratio beyond 1.2 earns nothing more with a good action, and is charged in full with a bad one."""
    ratio, advantage = jnp.array([1.5, 1.5, 0.5, 0.5, 1.1]), jnp.array([1.0, -1.0, 1.0, -1.0, 2.0])
    found = ppo.clipped_objective(ratio, advantage, clip=0.2)
    np.testing.assert_allclose(found, [1.2, -1.5, 0.5, -0.8, 2.2], rtol=1e-6)


def test_log_density_is_that_of_the_normal_distribution() -> None:
    # One deviation from the mean in each of two dimensions of deviation 2: 2 (-1/2 - log 2 - log(2 pi) / 2)
    found = ppo.log_density(jnp.zeros((1, 2)), jnp.log(jnp.full(2, 2.0)), jnp.full((1, 2), 2.0))
    assert float(found[0]) == pytest.approx(2 * (-0.5 - np.log(2) - 0.5 * np.log(2 * np.pi)), rel=1e-6)


def test_scales_make_the_reference_range_one() -> None:
    """Spent evenly over 5 steps, 5 of reward have a discounted sum of (1 - 0.9^5) / (1 - 0.9) = 4.0951 steps: of 1."""
    scale = ppo.scales(LINE, discount=0.9)
    assert sum(0.9**t * 1.0 * scale.reward for t in range(5)) == pytest.approx(1.0)
    assert sum(0.9**t * 1.0 * scale.cost for t in range(5)) == pytest.approx(1.0)
    assert scale.cost_return == pytest.approx(1 / 5)
    assert ppo.scales(LINE, discount=1.0).reward == pytest.approx(1 / 5)


def test_the_normalizer_is_mean_and_variance_of_all_that_lived() -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, (2, 6, 4, 2)).astype(np.float32)
    alive = np.ones((2, 6, 4), np.float32)
    alive[1, 2, 3] = 0.0
    state = normalizer_init(2)
    np.testing.assert_array_equal(normalize(state, jnp.asarray(rows[0, 0])), rows[0, 0] / np.float32(np.sqrt(1 + 1e-6)))
    for part in range(2):
        state = normalizer_update(state, jnp.asarray(rows[part]), jnp.asarray(alive[part]))
    lived = rows[alive > 0]
    np.testing.assert_allclose(state.mean, lived.mean(0), rtol=1e-5)
    wanted = (rows[0, 0] - lived.mean(0)) / lived.std(0)
    np.testing.assert_allclose(normalize(state, jnp.asarray(rows[0, 0])), wanted, rtol=1e-4, atol=1e-5)
    assert float(jnp.abs(normalize(state, jnp.full((1, 2), 1e6))).max()) == 10.0


@jax.jit
def bandit(state: ppo.LearnerState, key: jax.Array, cost: float) -> Rollout:
    """Episodes of one step: the reward is the action, and so is the cost, times `cost`."""
    observation = jnp.zeros((32, 4, 2))
    action = ppo.act(state, observation.reshape(-1, 2), key).reshape(32, 4, 1)
    pays = jnp.clip(action[..., 0], -1.0, 1.0)
    ones = jnp.ones((32, 4))
    return Rollout(observation, action, pays, cost * jnp.maximum(pays, 0.0), observation, ones, 0.0 * ones, ones)


def train(*, cost: float, limit: float, iterations: int = 20) -> tuple[float, float]:
    """Mean action and multiplier at the end."""
    state = ppo.init(CONFIG, LINE, jax.random.key(0))
    for key in jax.random.split(jax.random.key(1), iterations):
        rollout = bandit(state, key, cost)
        state, metrics = UPDATE(
            CONFIG, Scales(1.0, 1.0, 1.0), state, rollout,
            episode_cost=rollout.cost.mean(), cost_limit=jnp.float32(limit), key=key,
        )  # fmt: skip
        assert all(np.isfinite(value) for value in metrics.values())
    return float(state.networks.actor(jnp.zeros((1, 2)))[0, 0]), float(state.pid.multiplier)


def test_it_learns_the_reward_and_keeps_the_limit() -> None:
    free, multiplier = train(cost=0.0, limit=0.0)
    assert free > 0.5
    assert multiplier == 0.0
    # An action a > 0 costs 3 a: at the limit 0 the multiplier makes it not worth its reward.
    bound, multiplier = train(cost=3.0, limit=0.0)
    assert bound < 0.1
    assert multiplier > 0.0


def test_past_the_divergence_nothing_moves() -> None:
    state = ppo.init(CONFIG, LINE, jax.random.key(0))
    rollout = bandit(state, jax.random.key(1), 0.0)
    inputs = {"episode_cost": jnp.zeros(()), "cost_limit": jnp.zeros(()), "key": jax.random.key(2)}
    strict = dataclasses.replace(CONFIG, target_divergence=-1.0)
    kept, metrics = UPDATE(strict, Scales(1.0, 1.0, 1.0), state, rollout, **inputs)
    assert float(metrics["steps_taken"]) == 0.0
    jax.tree.map(np.testing.assert_array_equal, kept.networks, state.networks)
    moved, metrics = UPDATE(CONFIG, Scales(1.0, 1.0, 1.0), state, rollout, **inputs)
    assert float(metrics["steps_taken"]) > 0.0
    # The observations are zeros: of the policy only biases can move, and the reward is the action.
    assert float(moved.networks.actor.layers[-1].bias[0]) > 0.0


def test_lost_steps_teach_nothing() -> None:
    """Whatever stands in a lost row, the update is the same bits."""
    state = ppo.init(CONFIG, LINE, jax.random.key(0))
    rollout = bandit(state, jax.random.key(1), 1.0)
    rollout = rollout._replace(alive=rollout.alive.at[3, 2].set(0.0))
    inputs = {"episode_cost": jnp.ones(()), "cost_limit": jnp.zeros(()), "key": jax.random.key(2)}
    one, _ = UPDATE(CONFIG, Scales(1.0, 1.0, 1.0), state, rollout, **inputs)
    other_rows = rollout._replace(reward=rollout.reward.at[3, 2].set(99.0), cost=rollout.cost.at[3, 2].set(99.0))
    other, _ = UPDATE(CONFIG, Scales(1.0, 1.0, 1.0), state, other_rows, **inputs)
    jax.tree.map(np.testing.assert_array_equal, one, other)
