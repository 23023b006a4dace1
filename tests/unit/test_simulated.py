"""Rollouts on a simulator against a plain loop: lanes, workers that die, noise that belongs to the episode."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fake_vector import TASK, FakeSimulator, FakeVector

from surefoot.errors import OutputError
from surefoot.evaluation.drawn import COST_COLOR, render_episode
from surefoot.evaluation.simulated import Episode, envs_for, roll_out_alone, roll_out_simulator
from surefoot.rollouts.host import check_actions, episode_seed
from surefoot.types import Policy, PolicyInputs

SEEDS = (3, 8)
STATES = jnp.array([0.2, -0.1])
"""What each seed's policy adds to every action."""


@dataclass(frozen=True)
class Counting:
    """Moves by its state, by how often its own memory was called in this episode, and by noise."""

    noise: float = 0.05

    def policy(self, state: Any) -> Policy:
        def act(carry: Any, inputs: Any, key: Any) -> tuple[Any, Any]:
            count = inputs.observation.shape[0]
            noise = self.noise * jax.random.normal(key, (count,))
            return carry + 1, (state + 0.1 * carry + noise)[:, None]

        return Policy(initial=jnp.zeros, act=act)


def plain(algorithm: Any, place: int, episode: int) -> Episode:
    """One episode, step by step; the key of an action is folded from seed, episode and step."""
    simulator, policy = FakeSimulator(), algorithm.policy(STATES[place])
    observation, _ = simulator.reset(seed=episode_seed(episode))
    memory, returns, costs, step = policy.initial(1), 0.0, 0.0, 0
    key = jax.random.key(23_11_2023)
    for number in (SEEDS[place], episode):
        key = jax.random.fold_in(key, number)
    while True:
        inputs = PolicyInputs(jnp.asarray(observation[None]), jnp.array([jnp.inf]), jnp.array([step]))
        memory, action = policy.act(memory, inputs, jax.random.fold_in(key, step))
        observation, reward, terminated, truncated, info = simulator.step(np.asarray(action[0]))
        returns, costs, step = returns + reward, costs + info["cost"], step + 1
        if terminated or truncated:
            return Episode(SEEDS[place], episode, returns, costs, step, terminated, 0)


def assert_same(found: list[Episode], expected: list[Episode]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.episode_return == pytest.approx(other.episode_return, abs=1e-5)
        assert one._replace(episode_return=0.0) == other._replace(episode_return=0.0)


EXPECTED = [(place, episode) for place in range(2) for episode in range(5)]


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_every_episode_is_the_one_of_a_plain_loop_whatever_the_lanes(lanes: int) -> None:
    algorithm = Counting()
    calls: list[tuple[int, int]] = []
    found = roll_out_simulator(
        algorithm, STATES, FakeVector(2 * lanes), seeds=SEEDS, episodes=5,
        on_progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert_same(found.episodes, [plain(algorithm, *one) for one in EXPECTED])
    # Episode seeds 1,000,000 to 1,000,004 are 1, 2, 0, 1, 2 modulo 3: lengths 5, 6, 4, 5, 6.
    assert found.steps == 2 * (5 + 6 + 4 + 5 + 6)
    assert calls[0] == (0, 10)
    assert calls[-1] == (10, 10)


def test_an_episode_whose_worker_died_is_run_again_and_not_lost() -> None:
    algorithm = Counting()
    found = roll_out_simulator(algorithm, STATES, FakeVector(4, deaths_at=(3, 8)), seeds=SEEDS, episodes=5)
    expected = [plain(algorithm, *one) for one in EXPECTED]
    assert_same([one._replace(restarts=0) for one in found.episodes], expected)
    # At step 3 every seed's episodes 0 and 1 run; at step 8 episode 2 (0 took steps 4 to 8: it began again at step 3).
    restarts = {one.episode: one.restarts for one in found.episodes if one.seed == 3}
    assert restarts[0] >= 1
    assert restarts[1] >= 1
    assert sum(restarts.values()) == 4  # two lanes, two deaths


def test_seeds_differ_by_their_states_and_their_noise() -> None:
    found = roll_out_simulator(Counting(), jnp.array([0.1, 0.1]), FakeVector(4), seeds=SEEDS, episodes=2).episodes
    assert found[0].episode_return != found[2].episode_return
    silent = roll_out_simulator(Counting(0.0), jnp.array([0.1, 0.1]), FakeVector(4), seeds=SEEDS, episodes=2).episodes
    assert silent[0].episode_return == silent[2].episode_return


def test_environments_are_a_multiple_of_the_seeds() -> None:
    assert envs_for(seeds=3, episodes=20) == 30
    assert envs_for(seeds=3, episodes=4) == 12
    assert envs_for(seeds=3, episodes=4, most_per_seed=1) == 3
    with pytest.raises(ValueError, match="multiple of 2 environments, found 3"):
        roll_out_simulator(Counting(), STATES, FakeVector(3), seeds=SEEDS, episodes=2)


def test_a_drawn_episode_is_the_one_that_is_measured() -> None:
    algorithm = Counting()
    frames, shown = render_episode(algorithm, STATES[0], FakeSimulator(), TASK, seed=SEEDS[0], episode=1, every=4)
    expected = plain(algorithm, 0, 1)
    assert (shown.episode_return, shown.cost, shown.length) == pytest.approx(
        (expected.episode_return, expected.cost, expected.length)
    )
    # 6 steps: the start, step 4, and the last.
    assert [int(frame[30, 40, 0]) for frame in frames] == [100, 104, 106]
    # The state passes 1 within the last steps only: 0.1 + 6 x 0.2 + 0.1 (0 + 1 + ... + 5) = 2.8 at the end.
    assert tuple(frames[-1][0, 0]) == COST_COLOR
    assert tuple(frames[0][0, 0]) == (100, 100, 100)


def test_actions_that_are_not_finite_end_the_rollouts() -> None:
    broken = jnp.array([0.2, jnp.nan])
    # Two environments a seed: the second seed's are the third and the fourth.
    with pytest.raises(OutputError, match=r"^action \(environment, number\): .* found nan at \[2, 0\]; the policy"):
        roll_out_simulator(Counting(), broken, FakeVector(4), seeds=SEEDS, episodes=2)
    with pytest.raises(OutputError, match="the policy cannot act on what it observes"):
        roll_out_alone(Counting(), broken[1], FakeVector(1), seed=3, episode=0)


def test_idle_environments_may_hold_anything() -> None:
    unused = check_actions(np.array([[0.5], [np.nan]]), np.array([True, False]))
    assert unused.shape == (2, 1)
