"""COptiDICE: what was wrong in OSRL's code and is not by default."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.data_fixtures import BINARY_TASK, make_dataset

from surefoot import presets
from surefoot.algorithms.coptidice import COptiDICE
from surefoot.algorithms.coptidice.agent import policy_loss
from surefoot.algorithms.coptidice.data import DICEBatch
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change
from surefoot.presets.coptidice import COPTIDICE_PRESETS
from surefoot.tasks import get_task
from surefoot.types import PolicyInputs

TINY = change(COptiDICE(), hidden=(8,), learning_rate=1e-2, batch_size=16, cost_limit=10.0, horizon=300)
LEGACY = change(TINY, **COPTIDICE_PRESETS["legacy"])
DATASET = make_dataset(BINARY_TASK, lengths=(20, 30), tail=0)


def batch_of(algorithm: COptiDICE) -> DICEBatch:
    return jax.tree.map(jnp.asarray, algorithm.prepare(DATASET, BINARY_TASK).take(jnp.arange(0, 48, 3)))


def begun(algorithm: COptiDICE) -> Any:
    statistics = algorithm.prepare(DATASET, BINARY_TASK).statistics
    return algorithm.init(BINARY_TASK.spec, jax.random.key(0), statistics)


def test_the_limit_binds() -> None:
    """Every step costs 1, 300 an episode of which 10 are allowed: the multiplier rises. OSRL's falls, because it holds
    the mean cost of a step, 1, against a discounted sum of 3.2."""
    assert TINY.cost_bound == pytest.approx(10.0 / 300.0)  # a step
    assert LEGACY.cost_bound == pytest.approx(10.0 * (1 - 0.99**300) / (0.01 * 300))

    def moved(algorithm: COptiDICE) -> float:
        batch = batch_of(algorithm)
        costly = batch.transition._replace(cost=jnp.ones(16), reward=jnp.zeros(16))
        update = jax.jit(algorithm.update, static_argnames="phase")
        state = begun(algorithm)
        for number in range(20):
            state, _ = update(state, batch._replace(transition=costly), jax.random.key(number), phase="joint")
        return float(state.raw_multiplier.network) - 1.0

    assert moved(TINY) > 0.01
    assert moved(LEGACY) < -0.01


def test_an_action_of_nine_tenths_is_executed_as_it_is() -> None:
    """A policy that fits the data perfectly has a mean of 0.9; OSRL's executes tanh 0.9 = 0.716."""
    state = begun(TINY)
    actor = jax.tree.map(jnp.zeros_like, state.actor.network)
    observation = PolicyInputs(jnp.ones((1, 3)))

    def executed(algorithm: COptiDICE, mean: float) -> np.ndarray:
        network = replace(actor, mean=replace(actor.mean, bias=jnp.full(2, mean)))
        policy = algorithm.policy(state._replace(actor=state.actor._replace(network=network)))
        return np.asarray(policy.act(None, observation, jax.random.key(0))[1][0])

    np.testing.assert_allclose(executed(TINY, 0.9), 0.9)
    np.testing.assert_allclose(executed(LEGACY, 0.9), 0.716, atol=1e-3)
    inverse = change(TINY, squash="atanh")
    np.testing.assert_allclose(executed(inverse, float(np.arctanh(0.9))), 0.9, rtol=1e-5)
    # And that mean is what fits best: the density of the inverse is largest there.
    batch = batch_of(inverse)
    batch = batch._replace(transition=batch.transition._replace(action=jnp.full((16, 2), 0.9)))
    noise, w = (jnp.zeros((16, 3)), jnp.zeros((16, 2))), jnp.ones(16)
    loss = lambda algorithm: policy_loss(actor, batch, w, noise, state, algorithm)[0]  # noqa: E731
    # -log N(a; 0, 1) of two numbers: 1.8379 + a^2.
    np.testing.assert_allclose(loss(inverse), 1.8379 + np.arctanh(0.9) ** 2, rtol=1e-4)
    np.testing.assert_allclose(loss(TINY), 1.8379 + 0.81, rtol=1e-4)


def test_first_states_are_a_batch_of_their_own() -> None:
    data = TINY.prepare(DATASET, BINARY_TASK)
    np.testing.assert_array_equal(data.first, DATASET.observations[[0, 20]])
    batch = data.take(jnp.array([5, 6, 7, 20]))
    np.testing.assert_array_equal(batch.first, DATASET.observations[[20]])  # row 5 is odd
    assert data.take(jnp.arange(17)).first.shape == (3, 3)
    np.testing.assert_array_equal(batch.is_first, [0, 0, 0, 1])
    assert float(data.statistics.first_share) == pytest.approx(2 / 50)


def test_timeouts_end_nothing() -> None:
    """The first episode terminates, the second is cut."""
    ends = TINY.prepare(DATASET, BINARY_TASK).take(jnp.array([19, 49])).transition
    assert TINY.continues(ends).tolist() == [0.0, 1.0]
    assert LEGACY.continues(ends).tolist() == [0.0, 0.0]


def test_a_limit_is_needed_and_is_the_task_s() -> None:
    with pytest.raises(ConfigError, match="cost_limit: expected the cost that an episode may have, found none"):
        presets.build("coptidice", replace(BINARY_TASK, constraints=())).prepare(DATASET, BINARY_TASK)
    built = presets.build("coptidice", get_task("BallRun"))
    assert (built.limit.cost_limit, built.limit.horizon, built.trained_limit) == (5.0, 100, 5.0)
