"""Baselines whose inputs are standardized: units of observations and rewards do not matter, and acting standardizes as
training did. Without it they do matter."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.data_fixtures import BINARY_TASK, make_dataset

from surefoot import presets
from surefoot.algorithms.standardize import measured_scales, seen_by, standardized_batch
from surefoot.hyperparameters import change, flat
from surefoot.nn import VAEConfig
from surefoot.nn.transformer import TransformerConfig
from surefoot.protocols import is_calibrated
from surefoot.tasks import Task
from surefoot.types import PolicyInputs

UNITS = np.array([1000.0, 1.0, 1e-3], np.float32)
"""What the columns of the log are multiplied by; rewards are multiplied by 100."""
TINY: dict[str, dict[str, Any]] = {
    **{name: {"hidden": (4,), "batch_size": 8, "vae": VAEConfig(hidden=4)} for name in ("cpq", "bcq_lag", "bear_lag")},
    **{name: {"policy_network": "deterministic", "hidden": (4,)} for name in ("bc", "bc_multi_task")},
    "coptidice": {"hidden": (4,), "batch_size": 16},
    "cdt": {"network": TransformerConfig(width=8, blocks=1, heads=2, dropout=0.0), "window": 3},
}


def build(name: str, task: Task) -> Any:
    return change(presets.build(name, task), **TINY[name])


def own(task: Task) -> Task:
    """The task with the presets of task files."""
    return replace(task, presets=presets.OWN)


def actions_after_updates(algorithm: Any, unit: np.ndarray | float, *, reward: float) -> np.ndarray:
    """Of a few logged states, after two updates on the log in these units."""
    log = make_dataset(BINARY_TASK, lengths=(12, 12), tail=0)
    log = replace(
        log, observations=log.observations * unit, next_observations=log.next_observations * unit,
        rewards=log.required_rewards * reward,
    )  # fmt: skip
    data = algorithm.prepare(log, BINARY_TASK)
    phase = algorithm.phases[0].name
    init = jax.jit(lambda key: algorithm.init(BINARY_TASK.spec, key, data.statistics))
    state = init(jax.random.key(0))
    if is_calibrated(algorithm, phase):
        state = algorithm.calibrate(state, jax.tree.map(jnp.asarray, data), phase=phase)
    update = jax.jit(lambda state, batch, key: algorithm.update(state, batch, key, phase=phase)[0])
    for index in range(2):
        state = update(state, jax.tree.map(jnp.asarray, data.take(np.arange(16) + index)), jax.random.key(index))
    seen = jnp.asarray(log.observations[:5])
    policy, key = algorithm.policy(state), jax.random.key(3)
    keys = jax.random.split(key, 5) if policy.keyed else key
    inputs = PolicyInputs(seen, remaining_budget=jnp.full(5, 3.0), reward=jnp.zeros(5))
    return np.asarray(policy.act(policy.initial(5), inputs, keys)[1])


@pytest.mark.parametrize("name", TINY)
def test_units_of_a_log_do_not_matter_with_the_presets_of_task_files(name: str) -> None:
    algorithm = build(name, own(BINARY_TASK))
    assert flat(algorithm)["standardize"]
    assert not flat(build(name, BINARY_TASK))["standardize"]
    first = actions_after_updates(algorithm, 1.0, reward=1.0)
    np.testing.assert_allclose(actions_after_updates(algorithm, UNITS, reward=100.0), first, rtol=2e-3, atol=2e-4)


def test_units_of_a_log_matter_without_it() -> None:
    algorithm = build("bc", BINARY_TASK)
    first, other = (actions_after_updates(algorithm, unit, reward=1.0) for unit in (1.0, UNITS))
    assert np.abs(first - other).max() > 0.01


def test_scales_of_a_batch() -> None:
    """Rewards 0, 2, 4 times the factor 0.5: their deviation sqrt(8 / 3) becomes 0.5."""
    log = make_dataset(BINARY_TASK, lengths=(3,), tail=0)
    log = replace(log, rewards=np.array([0.0, 2.0, 4.0], np.float32))
    batch = presets.build("cpq", BINARY_TASK).prepare(log, BINARY_TASK)
    batch = batch._replace(reward=0.5 * log.required_rewards)
    scales = measured_scales(batch, factor=0.5)
    seen = standardized_batch(scales, batch)
    np.testing.assert_allclose(seen.reward.std(), 0.5, rtol=1e-5)
    np.testing.assert_allclose(seen.observation.mean(0), 0.0, atol=1e-6)
    np.testing.assert_allclose(seen.observation.std(0), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(seen_by(None, batch.observation), batch.observation)
    assert standardized_batch(None, batch) is batch
