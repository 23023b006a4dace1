"""PointRobotSlow against arithmetic done by hand: the lag, what is observed, what is collected."""

import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fake_vector import Fixed

import surefoot
from surefoot.data import load, save
from surefoot.envs import behaviors, point_robot
from surefoot.envs.point_robot import (
    HORIZON,
    POINT_ROBOT,
    ROBOTS,
    SLOW_ROBOT,
    Robot,
    follow_share,
    move,
    observe,
    pose_of,
    reset,
    reset_to,
)
from surefoot.envs.pure import PURE_TASKS
from surefoot.errors import ConfigError
from surefoot.evaluation import collect
from surefoot.evaluation.collect import collect_point_robot
from surefoot.evaluation.evaluate import roll_out_seeds
from surefoot.safety import exact_sets
from surefoot.tasks import TASKS, get_task
from surefoot.types import Policy

LAG = SLOW_ROBOT.lag
step_of_slow = jax.jit(partial(point_robot.step, lag=LAG))


def at(*pose: float) -> jax.Array:
    return jnp.array(pose, jnp.float32)


def test_the_acceleration_follows_the_command_with_a_lag() -> None:
    # 1 - exp(-0.05 / 1) = 0.0487706 of the way from 0 to 1; v: 1 + 0.0487706 * 0.05 = 1.00243853; x: 1 * 0.05.
    entered = move(at(0, 0, 1, 0, 0), at(1, 0), lag=LAG)
    np.testing.assert_allclose(entered, [0.05, 0.0, 1.00243853, 0.0, 0.0487706], rtol=1e-6)
    # From a = 0.5 with full braking: 0.5 - 0.0487706 * 1.5 = 0.4268441, and the robot still speeds up.
    entered = move(at(0, 0, 1, 0, 0.5), at(-1, 0), lag=LAG)
    np.testing.assert_allclose(entered[jnp.array([2, 4])], [1.0 + 0.4268441 * 0.05, 0.4268441], rtol=1e-6)


def test_after_one_time_constant_the_acceleration_is_1_minus_1_over_e() -> None:
    pose = at(0, 0, 0, 0, 0)
    for _ in range(20):  # 20 * 0.05 s = 1 s
        pose = move(pose, at(1, 0), lag=LAG)
    assert float(pose[4]) == pytest.approx(1 - np.exp(-1), abs=1e-6)


def test_braking_takes_a_second_longer_than_without_lag() -> None:
    pose, steps = at(0, 0, 1.5, 0, 0), 0
    while pose[2] > 0:
        pose, steps = move(pose, at(-1, 0), lag=LAG), steps + 1
    # v = 1.5 - t + (1 - exp(-t)) is 0 at t = 2.41 s, where PointRobot needs 1.5 s; the way is 2.2 m, not 1.1.
    assert steps * 0.05 == pytest.approx(2.41, abs=0.08)
    assert float(pose[0]) == pytest.approx(2.2, abs=0.1)


@settings(max_examples=30, deadline=None)
@given(
    pose=st.tuples(*[st.floats(-3, 3, width=32)] * 4),
    acceleration=st.floats(-1, 1),
    action=st.tuples(*[st.floats(-2, 2)] * 2),
)
def test_without_lag_it_moves_as_point_robot(
    pose: tuple[float, ...], acceleration: float, action: tuple[float, float]
) -> None:
    slow = move(at(*pose, acceleration), at(*action), lag=0.0)
    np.testing.assert_allclose(slow[:4], move(at(*pose), at(*action)), rtol=1e-6, atol=1e-6)
    assert float(slow[4]) == pytest.approx(float(np.clip(action[0], -1, 1)), abs=1e-6)
    assert follow_share(1e-9) == 1.0  # and a lag near 0 is none


def test_the_acceleration_is_observed_last_and_a_pose_is_recovered() -> None:
    pose = at(0.4, 0.8, 1.5, -0.7, 0.3)
    observation = observe(pose)
    assert observation.shape == (12,)
    np.testing.assert_array_equal(observation[:11], observe(pose[:4]))
    assert float(observation[11]) == pytest.approx(0.3)
    np.testing.assert_allclose(pose_of(observation), pose, rtol=1e-6)


def test_first_states_are_drawn_from_its_own_distribution() -> None:
    keys = jax.random.split(jax.random.key(0), 500)
    poses = np.asarray(jax.vmap(lambda key: reset(key, robot=SLOW_ROBOT)[0].pose)(keys))
    assert poses.shape == (500, 5)
    low, high = poses.min(0), poses.max(0)
    np.testing.assert_allclose(low, [-3, -3, 0.5, np.pi / 4, -0.5], atol=0.05)
    np.testing.assert_allclose(high, [3, 3, 2.0, 3 * np.pi / 4, 0.5], atol=0.05)


def test_a_lag_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lag: expected .* found -1"):
        Robot(lag=-1.0)


def test_the_table_of_pure_tasks_steps_it_with_its_lag() -> None:
    pure = PURE_TASKS["PointRobotSlow"]
    state, observation = pure.reset(jax.random.split(jax.random.key(0), 2))
    entered, step = pure.step(state, jnp.ones((2, 2)))
    share = follow_share(LAG)
    np.testing.assert_allclose(step.observation[:, 11], observation[:, 11] * (1 - share) + share, rtol=1e-5)
    assert entered.pose.shape == (2, 5)


@pytest.mark.parametrize("name", sorted(ROBOTS))
def test_every_robot_is_a_task_of_its_poses(name: str) -> None:
    robot, task = ROBOTS[name], TASKS[name]
    numbers = 5 if robot.lag else 4
    assert all(len(pose) == numbers for pose in robot.fixed_starts)
    assert observe(jnp.zeros(numbers)).shape == (task.observation_dim,)
    assert task.horizon == PURE_TASKS[name].horizon
    assert exact_sets.top_speed(name) >= robot.resets.speed[1]  # so that every start has a value


def test_no_source_asks_for_point_robot_by_name() -> None:
    """What is special about a robot is asked of `ROBOTS`."""
    sources = (Path(surefoot.__file__).parent).rglob("*.py")
    assert [path.name for path in sources if re.search(r'[=!]= "PointRobot(Slow\w*)?"', path.read_text())] == []


def test_rollouts_step_it_with_its_lag() -> None:
    """Against a plain loop: full throttle away from the hazards until it leaves the arena."""
    pose = np.array([[-2.0, 2.5, 0.0, np.pi, 0.0]], np.float32)
    policy = Policy(initial=lambda n: None, act=lambda carry, inputs, key: (carry, jnp.array([[1.0, 0.0]])))
    records = roll_out_seeds(Fixed(policy), np.zeros(1), pose, seeds=(0,), task=PURE_TASKS["PointRobotSlow"])
    state, length = reset_to(jnp.asarray(pose[0]))[0], 0
    ended = False
    while not ended:
        state, step = step_of_slow(state, at(1, 0))
        length, ended = length + 1, bool(step.terminated)
    assert int(records.length[0, 0]) == length
    # 1 m from a stand: t^2 / 2 - t + 1 - exp(-t) = 1 at t = 2.09 s; without lag it would be sqrt(2) s.
    assert length * 0.05 == pytest.approx(2.09, abs=0.1)
    np.testing.assert_allclose(records.path[0, 0, length], state.pose[:2], atol=1e-5)


def test_the_data_are_mixed_and_whole() -> None:
    keys = jax.random.split(jax.random.key(0), 64)
    episodes = jax.tree.map(np.asarray, behaviors.roll_out(keys, jnp.arange(64) >= 32, SLOW_ROBOT))
    cost = (episodes.step.cost * episodes.valid).sum(1)
    for kind in (slice(None, 32), slice(32, None)):
        assert (cost[kind] > 0).any()
        assert (cost[kind] == 0).any()
    assert (episodes.step.reward * episodes.valid > 0.5).any(1)[32:].mean() > 0.3  # the seekers reach the goal
    assert episodes.valid.shape == (64, HORIZON)


def test_seekers_brake_for_what_they_will_be_as_fast_as() -> None:
    """At 0.5 m/s and speeding up by 1 m/s^2 a seeker will come to 0.5 + 1 * 1 = 1.5 m/s, above its 1 m/s: it brakes."""
    traits = behaviors.Traits(jnp.bool_(True), jnp.float32(0.0), jnp.float32(1.0), jnp.float32(0.0))
    pose = [-2.5, 2.2, 0.5, 0.0]  # the goal lies straight ahead
    action = behaviors.seek_goal(at(*pose, 1.0), traits, lag=LAG)
    assert float(action[0]) == pytest.approx(-1.0)  # 3 (1 - 1.5) = -1.5, clipped
    assert float(behaviors.seek_goal(at(*pose), traits)[0]) == pytest.approx(1.0)  # 3 (1 - 0.5) = 1.5, clipped


def test_both_tasks_have_the_same_steps_and_one_of_them_h(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(collect, "_EPISODES_AT_ONCE", 4)
    known, costs = (
        collect_point_robot(transitions=600, seed=0, task=name) for name in ("PointRobotSlow", "PointRobotSlowCosts")
    )
    assert known.constraints is not None
    assert costs.constraints is None
    np.testing.assert_array_equal(known.costs, known.constraints > 0)
    np.testing.assert_array_equal(known.observations, costs.observations)
    np.testing.assert_array_equal(known.costs, costs.costs)
    save(tmp_path / "data.hdf5", costs)
    assert load(tmp_path / "data.hdf5", get_task("PointRobotSlowCosts")).fingerprint() == costs.fingerprint()
    assert POINT_ROBOT.lag == 0.0
