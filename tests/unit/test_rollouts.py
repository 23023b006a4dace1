"""Batched rollouts against a plain loop; environments that take the next start, or have none."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fake_vector import Fixed

from surefoot.envs import point_robot
from surefoot.envs.pure import PURE_TASKS
from surefoot.evaluation.evaluate import Records, entered, records_of
from surefoot.rollouts import scan
from surefoot.rollouts.acting import episode_keys
from surefoot.types import Policy

POSES = np.array(
    [
        [2.0, 1.5, 1.0, np.pi / 2],  # reaches the goal
        [2.5, 0.0, 2.0, 0.0],  # leaves the arena after 0.5 m
        [0.4, -2.5, 1.0, np.pi / 2],  # drives through a hazard
        [-2.9, 0.0, 1.0, np.pi],  # leaves at once
        [-2.0, -2.0, 0.0, 0.0],  # stands: 300 steps under a policy that does nothing
    ],
    np.float32,
)


def constant_policy(action: tuple[float, float]) -> Policy:
    """Always the same action. The carry counts the steps of each episode and shows in nothing else."""

    def act(carry, inputs, key):
        return carry + 1, jnp.broadcast_to(jnp.array(action), (inputs.observation.shape[0], 2))

    return Policy(initial=lambda n: jnp.zeros(n, jnp.int32), act=act)


def counting_policy() -> Policy:
    """Accelerates as long as its own carry says that the episode is younger than 3 steps."""

    def act(carry, inputs, key):
        return carry + 1, jnp.stack([(carry < 3).astype(jnp.float32), jnp.zeros(carry.shape)], -1)

    return Policy(initial=lambda n: jnp.zeros(n, jnp.int32), act=act)


def run(policy: Policy, poses: np.ndarray, seed: int, *, num_envs: int) -> Records:
    found = scan.roll_out(
        Fixed(policy), None, PURE_TASKS["PointRobot"], scan.First(*point_robot.reset_to(jnp.asarray(poses))),
        keys=episode_keys(seed, np.arange(len(poses))), num_envs=num_envs, chunk=50, keep=entered,
    )  # fmt: skip
    return records_of(found, poses)


step = jax.jit(point_robot.step)


def plain_loop(pose: np.ndarray, actions) -> dict[str, Any]:
    """One episode, step by step; `actions(t)` is the action of step t."""
    state, _ = point_robot.reset_to(jnp.asarray(pose))
    path, total, cost, worst = [pose[:2]], 0.0, 0.0, -np.inf
    for t in range(1000):
        state, result = step(state, jnp.array(actions(t), jnp.float32))
        total, cost = total + float(result.reward), cost + float(result.cost)
        worst = max(worst, float(result.constraint))
        path.append(np.asarray(state.pose[:2]))
        if result.terminated or result.truncated:
            break
    reached = np.linalg.norm(path[-1] - point_robot.GOAL) <= point_robot.GOAL_RADIUS
    return {"return": total, "cost": cost, "length": len(path) - 1, "worst": worst, "reached": reached, "path": path}


def check(records: Records, poses: np.ndarray, actions) -> None:
    for index, pose in enumerate(poses):
        expected = plain_loop(pose, actions)
        length = expected["length"]
        assert int(records.length[index]) == length
        assert float(records.episode_return[index]) == pytest.approx(expected["return"], abs=1e-4)
        assert float(records.cost[index]) == expected["cost"]
        assert float(records.max_constraint[index]) == pytest.approx(expected["worst"], abs=1e-5)
        assert bool(records.reached_goal[index]) == expected["reached"]
        np.testing.assert_allclose(records.path[index, : length + 1], np.stack(expected["path"]), atol=1e-5)
        assert np.isnan(records.path[index, length + 1 :]).all()


DOING_NOTHING = constant_policy((0.0, 0.0))


@pytest.mark.parametrize("num_envs", [1, 2, 5])
def test_every_start_gets_one_episode_whatever_the_num_envs(num_envs: int) -> None:
    """With fewer environments than starts each takes the next; with as many, those that are done stay idle."""
    records = run(DOING_NOTHING, POSES, 0, num_envs=num_envs)
    assert records.path.shape == (5, point_robot.HORIZON + 1, 2)
    check(records, POSES, lambda t: (0.0, 0.0))
    np.testing.assert_array_equal(records.path[:, 0], POSES[:, :2])


def test_what_the_starts_are_made_for() -> None:
    records = run(DOING_NOTHING, POSES, 0, num_envs=2)
    assert np.asarray(records.reached_goal).tolist() == [True, False, False, False, False]
    # (2.5, 0) at 2 m/s: 0.1 m a step, beyond 3 after 6 steps if 5 end just at it; standing lasts to the horizon.
    assert int(records.length[1]) in (5, 6)
    assert int(records.length[4]) == point_robot.HORIZON
    # Through a hazard of 1.6 m at 0.05 m a step: 31 or 32 steps inside, 0.8 m deep in its centre.
    assert 31 <= float(records.cost[2]) <= 32
    assert float(records.max_constraint[2]) == pytest.approx(0.8, abs=0.03)
    # Standing: no reward; towards the goal: the way there plus 1.
    assert float(records.episode_return[4]) == 0.0
    assert float(records.episode_return[0]) == pytest.approx(np.hypot(0.2, 0.7) - 0.3 + 1.0, abs=0.06)


def test_idle_environments_write_nothing() -> None:
    """One short and one long episode: the idle environment steps on for 290 steps and leaves no trace."""
    poses = POSES[[1, 4]]
    both, alone = run(DOING_NOTHING, poses, 0, num_envs=2), run(DOING_NOTHING, poses[:1], 0, num_envs=1)
    for ours, theirs in zip(both, alone, strict=True):
        np.testing.assert_array_equal(ours[:1], theirs)
    # Starts end at the same moment and there is one for only one of them.
    three = run(DOING_NOTHING, POSES[[1, 1, 4]], 0, num_envs=2)
    assert np.asarray(three.length).tolist() == [int(both.length[0]), int(both.length[0]), 300]


def test_an_environment_starts_its_next_episode_with_a_fresh_carry() -> None:
    """A policy whose actions depend on its memory, in one environment: the third episode counts from 0 again."""
    check(run(counting_policy(), POSES[[1, 3, 1]], 0, num_envs=1), POSES[[1, 3, 1]], lambda t: (float(t < 3), 0.0))


def test_the_key_reaches_the_policy_at_every_step() -> None:
    def act(carry, inputs, key):
        return carry, jax.random.uniform(key, (inputs.observation.shape[0], 2), minval=-1.0, maxval=1.0)

    policy = Policy(initial=lambda n: None, act=act)
    poses = POSES[[4, 4]]
    first, again, other = (run(policy, poses, seed, num_envs=2) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.path, again.path)
    assert not np.array_equal(first.path, other.path, equal_nan=True)
    assert not np.array_equal(first.path[0], first.path[1], equal_nan=True)  # episodes draw their own noise
    turns = np.diff(np.asarray(first.path[0, :50]), 2, axis=0)
    assert (np.abs(turns).max(1) > 0).all()  # a fresh action at each step
