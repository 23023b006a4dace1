"""Both drivers play the same episodes: an action's key is a function of (seed, episode, step), whoever runs it."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fake_vector import Fixed
from tests.stub_planner import HORIZON, SPEND, StubPlanner

from surefoot.envs.pure import PureVector, start_keys
from surefoot.envs.vector import IDLE
from surefoot.rollouts import host, scan
from surefoot.rollouts.acting import Budgets, EpisodeSums, episode_keys
from surefoot.rollouts.stream import roll_out_stream
from surefoot.types import Policy

SEED, EPISODES = 7, 5
BUDGETS = Budgets(np.full((EPISODES, HORIZON), 2.5), np.zeros((EPISODES, HORIZON)))
PLANNER = StubPlanner(noise=0.3)
STATE = {"gain": np.float32(1.0)}


@dataclass(frozen=True)
class Noisy:
    """Spends noise, more of it the longer it remembers; sees one key for all environments."""

    def policy(self, state: Any) -> Policy:
        def act(memory: Any, inputs: Any, key: Any) -> tuple[Any, Any]:
            assert inputs.remaining_budget is not None
            assert inputs.step is not None
            noise = jax.random.uniform(key, inputs.step.shape)
            return memory + 1, (state["gain"] * noise + 0.1 * memory)[:, None]

        return Policy(jnp.zeros, act)


def scanned(algorithm: Any, *, num_envs: int, budgets: Budgets | None = None, seed: int = SEED) -> EpisodeSums:
    first = scan.first_states(SPEND, start_keys(host.episode_seed(0) + jnp.arange(EPISODES)))
    keys = episode_keys(seed, np.arange(EPISODES))
    told = None if budgets is None else Budgets(*map(jnp.float32, budgets))
    return scan.roll_out(
        algorithm, STATE, SPEND, first, keys=keys, num_envs=num_envs, chunk=4, budgets=told
    ).sums  # fmt: skip


def hosted(algorithm: Any, queue: Any, *, budgets: Budgets | None = None) -> EpisodeSums:
    """In the order of the episodes."""
    queue = np.array(queue)
    states = jax.tree.map(lambda leaf: np.stack([leaf]), STATE)
    env = PureVector(SPEND, num_envs=len(queue))
    found = host.roll_out(algorithm, states, env, queue, seeds=(SEED,), budgets=budgets).sums
    order = [tuple(np.argwhere(queue == episode)[0]) for episode in range(EPISODES)]
    return EpisodeSums(*(np.array([values[place] for place in order]) for values in found))


def assert_same(found: EpisodeSums, expected: EpisodeSums) -> None:
    for name, one, other in zip(EpisodeSums._fields, found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("num_envs", [1, 2, 5, 9])
def test_what_an_episode_brings_does_not_depend_on_the_environments(num_envs: int) -> None:
    expected = scanned(Noisy(), num_envs=3)
    assert len(set(np.asarray(expected.episode_return).tolist())) == EPISODES
    assert_same(scanned(Noisy(), num_envs=num_envs), expected)
    assert not np.allclose(scanned(Noisy(), num_envs=3, seed=8).episode_return, expected.episode_return)


@pytest.mark.parametrize("queue", [[[0, 1, 2, 3, 4]], [[0, 2, 4], [1, 3, IDLE]], [[4], [0], [IDLE], [1], [3], [2]]])
def test_both_drivers_play_the_same_episodes(queue: list[list[int]]) -> None:
    assert_same(hosted(Noisy(), queue), scanned(Noisy(), num_envs=2))


def test_both_drivers_tell_a_planner_the_same_budget() -> None:
    """Which is of environments in the host driver, and so the same for all here; the planner takes a key for each."""
    expected = scanned(PLANNER, num_envs=2, budgets=BUDGETS)
    assert np.asarray(expected.cost).max() <= 2.5 + 1.0
    assert_same(hosted(PLANNER, [[0, 2, 4], [1, 3, IDLE]], budgets=BUDGETS), expected)


def test_a_policy_without_budgets_is_told_that_there_is_no_limit() -> None:
    def act(memory: Any, inputs: Any, key: Any) -> tuple[Any, Any]:
        limits = jnp.where(jnp.isinf(inputs.remaining_budget), 0.25, 1.0)
        return memory, jnp.where(inputs.step < 2, limits, 0.0)[:, None]

    sums = scanned(Fixed(Policy(lambda n: None, act)), num_envs=5)
    np.testing.assert_allclose(sums.cost, np.full(EPISODES, 0.5))
    np.testing.assert_array_equal(sums.violating_steps, np.full(EPISODES, 2))


def test_environments_of_a_stream_play_every_nth_episode() -> None:
    """With one environment episodes 0, 1, ...; of two the first plays 0, 2, ...: the same ones."""

    def play(num_envs: int, steps: int) -> Any:
        policy = Noisy().policy({"gain": jnp.float32(0.1)})
        return roll_out_stream(policy, SPEND, jax.random.key(0), jax.random.key(1), num_envs=num_envs, steps=steps)

    one, two = play(1, 3 * HORIZON), play(2, 2 * HORIZON)
    np.testing.assert_allclose(two.action[0, :HORIZON], one.action[0, :HORIZON], rtol=1e-6)
    np.testing.assert_allclose(two.action[1, :HORIZON], one.action[0, HORIZON : 2 * HORIZON], rtol=1e-6)
    np.testing.assert_allclose(two.action[0, HORIZON:], one.action[0, 2 * HORIZON :], rtol=1e-6)
