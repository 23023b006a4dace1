"""PointRobot against arithmetic done by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.envs.point_robot import (
    HORIZON,
    ResetDistribution,
    RobotState,
    constraint,
    goal_distance,
    move,
    observe,
    pose_of,
    reset,
    reset_to,
    step,
)


def at(*pose: float) -> jax.Array:
    return jnp.array(pose, jnp.float32)


def test_a_step_moves_with_the_speed_and_heading_it_starts_with():
    # x: 1 + 2 cos(0) 0.05 = 1.1, y unmoved; then v: 2 - 0.5 * 0.05 = 1.975, theta: 0 + 1 * 0.05 = 0.05.
    np.testing.assert_allclose(move(at(1, -1, 2, 0), at(-0.5, 1)), [1.1, -1.0, 1.975, 0.05], rtol=1e-6)
    # Facing north, y: -1 + 2 sin(pi/2) 0.05 = -0.9.
    np.testing.assert_allclose(move(at(1, -1, 2, np.pi / 2), at(0, 0)), [1.0, -0.9, 2.0, np.pi / 2], rtol=1e-6)


def test_actions_are_clipped_and_the_speed_may_turn_negative():
    # v: 0.02 - 1 * 0.05 = -0.03, not 0.02 - 7 * 0.05.
    entered = move(at(0, 0, 0.02, 0), at(-7, 3))
    np.testing.assert_allclose(entered, [0.001, 0.0, -0.03, 0.05], atol=1e-7)
    # Next step backwards: x: 0.001 - 0.03 cos(0.05) 0.05 = 0.001 - 0.001498.
    np.testing.assert_allclose(move(entered, at(0, 0))[0], -0.000498, atol=1e-6)


@pytest.mark.parametrize(
    ("position", "h"),
    [
        ((0.4, -1.2), 0.8),  # at a centre
        ((0.4, -0.4), 0.0),  # 0.8 north of it, on the rim
        ((3.4, -1.2), -2.2),  # 3 east of it: 0.8 - 3; the other centre is further
        ((-0.4, 2.2), -0.2),  # 1 north of the other: 0.8 - 1
        ((0.0, 0.0), 0.8 - np.hypot(0.4, 1.2)),  # both equally far
    ],
)
def test_constraint_is_radius_minus_the_distance_to_the_nearest_centre(position, h):
    assert float(constraint(at(*position))) == pytest.approx(h, abs=1e-6)


def test_observation_by_hand():
    # At (0.4, 0.8) facing east the first hazard lies 2 m south: bearing -90 degrees, cos 0, sin -1;
    # the second, at (-0.4, 1.2), is offset (-0.8, 0.4): distance d = sqrt(0.8) = 0.894427, cos -0.8 / d, sin 0.4 / d.
    expected = [0.4, 0.8, 1.5, 1, 0, 2, 0, -1, 0.894427, -0.894427, 0.447214]
    np.testing.assert_allclose(observe(at(0.4, 0.8, 1.5, 0.0)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("heading", "cos", "sin"),
    [
        (-np.pi / 2, 1, 0),  # the hazard lies south: ahead when facing south,
        (np.pi / 2, -1, 0),  # behind when facing north,
        (np.pi, 0, 1),  # to the left (positive) when facing west,
        (0.0, 0, -1),  # to the right (negative) when facing east
    ],
)
def test_bearing_is_ahead_positive_cosine_and_left_positive_sine(heading, cos, sin):
    observation = observe(at(0.4, 0.8, 0.0, heading))
    np.testing.assert_allclose(observation[6:8], [cos, sin], atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(
    st.floats(-3, 3, width=32),
    st.floats(-3, 3, width=32),
    st.floats(-3, 3, width=32),
    st.floats(-3.125, 3.125, width=32),
)
def test_pose_of_inverts_observe(x, y, speed, heading):
    np.testing.assert_allclose(pose_of(observe(at(x, y, speed, heading))), [x, y, speed, heading], atol=2e-6)


def test_reward_is_the_decrease_of_the_distance_to_the_goal():
    # From (-0.8, 2.2), 3 m west of the goal, east at 2 m/s: 0.1 m nearer. h of (-0.7, 2.2) is 0.8 - hypot(0.3, 1).
    state, result = step(reset_to(at(-0.8, 2.2, 2.0, 0.0))[0], at(0, 0))
    assert float(result.reward) == pytest.approx(0.1, abs=1e-6)
    assert float(np.asarray(result.constraint)) == pytest.approx(0.8 - np.hypot(0.3, 1.0), abs=1e-6)
    assert (float(result.cost), bool(result.terminated), bool(result.truncated), int(state.step)) == (
        0,
        False,
        False,
        1,
    )
    # And away from it: 0.1 m further.
    _, result = step(reset_to(at(-0.8, 2.2, 2.0, np.pi))[0], at(0, 0))
    assert float(result.reward) == pytest.approx(-0.1, abs=1e-6)


def test_reaching_the_goal_adds_one_and_terminates():
    # From 0.35 m west of the goal to 0.25 m: 0.1 + 1; the rim is at 0.3 m.
    state, _ = reset_to(at(1.85, 2.2, 2.0, 0.0))
    _, result = step(state, at(0, 0))
    assert float(result.reward) == pytest.approx(1.1, abs=1e-6)
    assert bool(result.terminated)
    # Half as fast, 0.30 m away after the step would be the rim itself; from 0.36 m it stays out at 0.31 m.
    _, result = step(reset_to(at(1.84, 2.2, 1.0, 0.0))[0], at(0, 0))
    assert float(result.reward) == pytest.approx(0.05, abs=1e-6)
    assert not bool(result.terminated)


@pytest.mark.parametrize(("x", "terminated"), [(2.85, False), (2.95, True), (-2.85, False)])
def test_the_arena_ends_at_three_metres(x, terminated):
    # East at 2 m/s: 2.95 + 0.1 = 3.05 is outside, 2.85 + 0.1 = 2.95 inside.
    _, result = step(reset_to(at(x, 0, 2, 0))[0], at(0, 0))
    assert bool(result.terminated) == terminated
    assert float(result.reward) < 0.1  # no bonus


def test_cost_is_one_inside_a_hazard_and_does_not_terminate():
    # From (-0.45, -1.2) east at 2 m/s to (-0.35, -1.2): 0.75 m from the centre, h = 0.05.
    _, result = step(reset_to(at(-0.45, -1.2, 2, 0))[0], at(0, 0))
    assert float(np.asarray(result.constraint)) == pytest.approx(0.05, abs=1e-6)
    assert (float(result.cost), bool(result.terminated)) == (1.0, False)


def test_step_300_truncates_unless_it_terminates():
    def last(pose):
        _, result = step(RobotState(pose, jnp.int32(HORIZON - 1)), at(0, 0))
        return bool(result.terminated), bool(result.truncated)

    assert last(at(0, 0, 0, 0)) == (False, True)
    assert last(at(2.95, 0, 2, 0)) == (True, False)
    _, result = step(RobotState(at(0, 0, 0, 0), jnp.int32(HORIZON - 2)), at(0, 0))
    assert not bool(result.truncated)


def test_reset_draws_from_its_ranges_and_repeats_with_the_key():
    keys = jax.random.split(jax.random.key(0), 2000)
    states, observations = jax.vmap(reset)(keys)
    low, high = np.array([-3, -3, 0.5, np.pi / 4]), np.array([3, 3, 2, 3 * np.pi / 4])
    poses = np.asarray(states.pose)
    assert (poses >= low - 1e-6).all()
    assert (poses <= high + 1e-6).all()
    # The mean of 2,000 uniform draws lies within 5 standard errors, (high - low) / sqrt(12 * 2000), of the middle.
    np.testing.assert_array_less(np.abs(poses.mean(0) - (low + high) / 2), 5 * (high - low) / np.sqrt(12 * 2000))
    np.testing.assert_array_equal(states.step, 0)
    np.testing.assert_array_equal(np.asarray(observations[7]), np.asarray(reset(keys[7])[1]))
    fixed = ResetDistribution(x=(1, 1), y=(2, 2), speed=(0, 0), heading=(0.5, 0.5))
    np.testing.assert_allclose(reset(keys[0], fixed)[0].pose, [1, 2, 0, 0.5])


def test_leading_axes_are_free():
    poses = jnp.stack([at(1, -1, 2, 0), at(0, 0.5, 1, 2)])
    actions = jnp.array([[0.3, -1.0], [2.0, 0.1]])
    for function, arguments in ((move, (poses, actions)), (observe, (poses,)), (goal_distance, (poses[:, :2],))):
        one_by_one = jnp.stack([function(*(argument[i] for argument in arguments)) for i in range(2)])
        np.testing.assert_allclose(function(*arguments), one_by_one, rtol=1e-6)
