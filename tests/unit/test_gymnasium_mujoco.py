"""TREBI's robots in Gymnasium's MuJoCo environments: their costs, and what is kept of version 2."""

import gymnasium
import numpy as np
import pytest

from surefoot.envs.registration import SAFE_REACHER_ID, register
from surefoot.envs.simulators import make
from surefoot.envs.simulators.check import probe
from surefoot.envs.simulators.gymnasium_mujoco import tip_cost
from surefoot.tasks import get_task
from surefoot.tasks.trebi import ROBOTS


@pytest.mark.parametrize("name", ROBOTS)
def test_the_table_and_the_simulator_agree_and_seeds_repeat(name: str) -> None:
    task = get_task(name)
    assert probe(task, steps=20).horizon == task.horizon
    first, second = make(task), make(task)
    second.reset(seed=5)
    np.testing.assert_array_equal(first.reset(seed=3)[0], second.reset(seed=3)[0])
    action = np.full(task.action_dim, 0.5, np.float32)
    for _ in range(10):
        np.testing.assert_array_equal(first.step(action)[0], second.step(action)[0])
    first.close()
    second.close()


def test_a_runner_pays_for_its_speed_either_way() -> None:
    """Reward of a hopper that stands: dx / dt + 1 - 0.001 |a|^2, so dx / dt is known from it."""
    env = make(get_task("hopper-medium-v2"))
    env.reset(seed=0)
    for number in range(10):
        action = np.random.default_rng(number).uniform(-1, 1, 3)
        _, reward, _, _, info = env.step(action)
        assert info["cost"] == pytest.approx(abs(reward - 1.0 + 1e-3 * (action**2).sum()), abs=1e-9)
    env.close()


def test_the_cost_of_a_place_by_hand() -> None:
    # 0.3 and 0.4 from (0.5, 0.5, 0): distance 0.5, no cost. A reach of 0.21 at 45 degrees: 0.1485 each, height 0.01.
    assert tip_cost(np.array([0.2, 0.1, 0.0])) == pytest.approx(0.0, abs=1e-9)
    assert tip_cost(np.array([0.5, 0.25, 0.0])) == pytest.approx(50.0)
    edge = 0.21 / np.sqrt(2)
    assert tip_cost(np.array([edge, edge, 0.01])) == pytest.approx(
        100 * (1 - 2 * np.hypot(np.sqrt(2) * (0.5 - edge), 0.01))
    )
    assert tip_cost(np.array([-0.2, 0.0, 0.01])) == 0.0


def test_the_reachers_goal_stays_and_its_reward_is_of_the_place_before() -> None:
    register()
    env = gymnasium.make(SAFE_REACHER_ID).unwrapped
    observation, _ = env.reset(seed=0)
    terminated = truncated = False
    for _ in range(50):
        action = np.array([0.6, -0.2])
        expected = -np.linalg.norm(observation[8:]) - (action**2).sum()
        observation, reward, terminated, truncated, info = env.step(action)
        assert reward == pytest.approx(expected, abs=1e-5)
        np.testing.assert_allclose(observation[4:6], 1.0, atol=1e-6)
        tip = observation[8:] + np.array([1.0, 1.0, 0.01])
        assert info["cost"] == pytest.approx(tip_cost(tip), abs=1e-3)
    assert (terminated, truncated) == (False, True)
    env.close()
