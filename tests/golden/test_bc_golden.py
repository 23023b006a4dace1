"""Behaviour cloning's preset `legacy`, and its episodes, against numbers computed with OSRL's code
(shared/golden/README.md). Every key is checked."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.golden_baselines import (
    captured_gradients,
    check_gradient,
    check_moved,
    close,
    filled,
    golden_arrays,
    golden_batch,
)

from surefoot.algorithms import bc
from surefoot.algorithms.bc import BC
from surefoot.algorithms.bc_multi_task import MultiTaskBC, conditioned
from surefoot.data import Dataset
from surefoot.data.filters import by_cost
from surefoot.errors import ConfigError
from surefoot.experiments.train_request import filter_of
from surefoot.hyperparameters import change
from surefoot.nn.offline import Trained, start_training
from surefoot.presets.bc import BC_PRESETS
from surefoot.types import DataSpec, PolicyInputs

GOLDEN = golden_arrays()
CONFIG: BC = change(BC(), **BC_PRESETS["legacy"], hidden=(32, 32))


def test_one_step_of_the_deterministic_actor() -> None:
    batch = golden_batch(GOLDEN)
    fresh = CONFIG.init(DataSpec(7, 2, 100), jax.random.key(0))
    assert isinstance(fresh, Trained)
    state = start_training(filled(fresh.network, "bc", "actor"), CONFIG.learning_rate, with_target=False)

    @jax.jit
    def run(state):
        with captured_gradients(bc) as gradients:
            after, metrics = CONFIG.update(state, batch, jax.random.key(0), phase="policy")
        return after, metrics, gradients, state.network(batch.observation)

    after, metrics, (gradient,), actions = run(state)
    close(actions, GOLDEN["bc/forward/actor"])
    close(metrics["policy/loss"], GOLDEN["bc/loss/actor_loss"])
    check_gradient(gradient, GOLDEN["bc/grad/actor"])
    check_moved(state.network, after.network, GOLDEN["bc/after/actor"])


def episodes() -> Dataset:
    """The file's 40 episodes; observations number them."""
    lengths = GOLDEN["data/lengths"].astype(int)
    rows = int(lengths.sum())
    ends = np.zeros(rows, bool)
    ends[np.cumsum(lengths) - 1] = True
    numbers = np.repeat(np.arange(len(lengths), dtype=np.float32), lengths)[:, None]
    return Dataset(
        "Noise", numbers, np.zeros((rows, 1), np.float32), GOLDEN["data/rewards"].astype(np.float32),
        GOLDEN["data/costs"].astype(np.float32), numbers, terminated=np.zeros(rows, bool), truncated=ends,
    )  # fmt: skip


def kept(dataset: Dataset, mode: Any, cost_limit: float) -> list[int]:
    """Numbers of the episodes that a mode keeps."""
    data_filter: Any = BC(mode=mode).data_filter
    dataset = by_cost(dataset, data_filter, cost_limit=cost_limit)
    return sorted({int(number) for number in dataset.observations[:, 0]})


@pytest.mark.parametrize("mode", ["safe", "risky", "boundary", "frontier"])
def test_episodes_of_a_mode(mode: str) -> None:
    """At a limit of 12."""
    expected = np.flatnonzero(GOLDEN[f"data/bc_kept_episodes/{mode}"])
    assert kept(episodes(), mode, 12.0) == expected.tolist()


def test_all_episodes_are_kept() -> None:
    assert GOLDEN["data/bc_kept_episodes/all"].all()
    assert BC(mode="all").data_filter == "all"


def test_rows_after_the_last_end_are_no_safe_episode() -> None:
    """Their costs sum to 0; OSRL's code takes them."""
    whole = episodes()
    ends = whole.truncated.copy()
    ends[-1] = False
    cut = Dataset(
        whole.task, whole.observations, whole.actions, whole.rewards, whole.costs, whole.next_observations,
        terminated=whole.terminated, truncated=ends,
    )  # fmt: skip
    for mode in ("safe", "boundary", "frontier"):
        assert 39 not in kept(cut, mode, 100.0)


def test_a_mode_is_a_filter_of_the_run() -> None:
    assert filter_of(BC(mode="safe"), "all") == filter_of(BC(), "safe") == "safe"
    assert filter_of(BC(mode="frontier"), "pareto") == "pareto"
    with pytest.raises(ConfigError, match="data_filter: expected all or safe with an algorithm whose mode selects"):
        filter_of(BC(mode="safe"), "risky")


def test_multi_task_is_told_the_cost_of_the_episode_and_acts_for_the_limit_it_began_with() -> None:
    algorithm = change(MultiTaskBC(), policy_network="deterministic", hidden=(4,), cost_unit=2.0)
    state = algorithm.init(DataSpec(7, 2, 100), jax.random.key(0))
    observation = golden_batch(GOLDEN).observation[:2]
    np.testing.assert_array_equal(conditioned(observation, jnp.asarray([4.0, 6.0]), 2.0)[:, -1], [2.0, 3.0])
    policy = algorithm.policy(state)
    first, then = (PolicyInputs(observation, jnp.asarray(left)) for left in ([10.0, 20.0], [3.0, 4.0]))
    memory, action = policy.act(policy.initial(2), first, jax.random.key(0))
    np.testing.assert_array_equal(policy.act(memory, then, jax.random.key(0))[1], action)
    assert not np.array_equal(policy.act(policy.initial(2), then, jax.random.key(0))[1], action)
    data = golden_batch(GOLDEN)._replace(episode_cost=jnp.asarray([3.0, 1e30]))
    weights = algorithm.sample_weights(state, data, phase="policy")
    np.testing.assert_array_equal(weights, [1.0, 0.0])
    with pytest.raises(ConfigError, match="mode: expected all"):
        change(algorithm, mode="safe")


def test_a_front_of_one_point_is_a_level() -> None:
    """All cost the same: the best return is the front, of degree 0; what lies within a fifth of the range stays."""
    rewards = np.asarray([0.0, 8.5, 10.0], np.float32)
    column = np.arange(3, dtype=np.float32)[:, None]
    one = Dataset(
        "Noise", column, column, rewards, np.zeros(3, np.float32), column, terminated=np.ones(3, bool),
        truncated=np.zeros(3, bool),
    )  # fmt: skip
    assert kept(one, "frontier", 0.0) == [1, 2]


def test_every_key_of_the_file_is_checked() -> None:
    assert {key for key in GOLDEN if key.startswith("bc/")} == {
        f"bc/{name}" for name in ("forward/actor", "loss/actor_loss", "grad/actor", "after/actor")
    }
