"""PointRobot whose drive fails at times: its steps, and the chance of a violation by dynamic programming."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import _noisy_robot as noisy_robot
from _exact_noisy import ChanceSet, gain_of_not_braking, solve_noisy_robot
from surefoot.envs import point_robot
from surefoot.errors import ConfigError
from surefoot.safety.exact import solve_point_robot

GRID = {"spacing": 0.15, "headings": 32, "top_speed": 1.0}


@pytest.fixture(scope="module")
def sets() -> dict[float, ChanceSet]:
    return {failure: solve_noisy_robot(failure, **GRID) for failure in (0.0, 0.5)}  # pyright: ignore[reportArgumentType]


def test_the_acceleration_fails_and_nothing_else_does() -> None:
    """From 1 m/s at full acceleration: 1.05 m/s, or still 1 in a quarter of the steps."""
    pose = jnp.array([0.1, -0.2, 1.0, 0.3])
    action = jnp.array([1.0, 0.5])

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        robot, _ = point_robot.reset_to(pose)
        entered, result = noisy_robot.step(noisy_robot.NoisyState(robot, key), action, failure=0.25)
        return entered.robot.pose, result.observation

    poses, observations = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 400))
    plain = np.asarray(point_robot.move(pose, action))
    np.testing.assert_allclose(np.delete(poses, 2, axis=1), np.tile(np.delete(plain, 2), (400, 1)), rtol=1e-6)
    speeds = np.round(np.asarray(poses[:, 2]), 4)
    assert set(speeds.tolist()) == {np.float32(1.0), np.float32(1.05)}
    assert np.mean(speeds == 1.0) == pytest.approx(0.25, abs=0.07)
    np.testing.assert_allclose(point_robot.pose_of(observations), poses, atol=1e-5)
    state, observation = noisy_robot.reset(jax.random.key(1))
    np.testing.assert_array_equal(observation, point_robot.observe(state.robot.pose))


def test_without_failures_it_is_the_exact_set(sets: dict[float, ChanceSet]) -> None:
    """Away from its border, where both grids are coarse."""
    exact = solve_point_robot(**GRID)  # pyright: ignore[reportArgumentType]
    random = np.random.default_rng(0)
    poses = random.uniform([-2.5, -2.5, 0.0, 0.0], [2.5, 2.5, 1.0, 6.2], (4000, 4))
    value = exact.value(poses)
    chance = sets[0.0].chance(poses)
    assert chance[value > 0.1].min() > 0.5
    assert chance[value < -0.15].max() < 0.5
    assert ((chance >= 0) & (chance <= 1)).all()


def test_no_robot_that_brakes_straight_ahead_does_better(sets: dict[float, ChanceSet]) -> None:
    """Towards the middle of a hazard at 1 m/s: it stops within 0.5 m where nothing fails, in about twice that where
    half of the steps do; turning away helps as well."""
    hazard = np.asarray(point_robot.HAZARDS[0])
    step = partial(noisy_robot.step, failure=0.5)

    def brake(pose: jax.Array, key: jax.Array) -> jax.Array:
        robot, _ = point_robot.reset_to(pose)

        def one(state: noisy_robot.NoisyState, _: None) -> tuple[noisy_robot.NoisyState, jax.Array]:
            entered, result = step(state, jnp.array([-1.0, 0.0]) * (state.robot.pose[2] > 0.01))
            return entered, jnp.asarray(result.constraint)

        return jax.lax.scan(one, noisy_robot.NoisyState(robot, key), length=80)[1].max()

    gaps = np.array([0.3, 0.6, 0.9, 1.1, 1.5])
    poses = np.stack([hazard[0] - 0.8 - gaps, 0 * gaps + hazard[1], 0 * gaps + 1.0, 0 * gaps], 1).astype(np.float32)
    worst = jax.jit(jax.vmap(jax.vmap(brake, (None, 0)), (0, None)))(poses, jax.random.split(jax.random.key(2), 200))
    simulated, said = (np.asarray(worst) > 0).mean(1), sets[0.5].chance(poses)
    assert simulated[0] > 0.95 > 0.05 > simulated[-1]
    assert (said <= simulated + 0.05).all()
    assert said[0] > 0.9 > 0.4 > said[2] > said[3] > said[4]
    assert sets[0.0].chance(poses)[1] < 0.2 < 0.5 < said[1]


def test_braking_is_as_good_as_rolling_on(sets: dict[float, ChanceSet]) -> None:
    gains = gain_of_not_braking(sets[0.5])
    assert gains.max() < 0.01
    assert gains.mean() < 1e-4


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^failure: expected .* found -1"):
        solve_noisy_robot(-1.0)
    with pytest.raises(ConfigError, match=r"headings: expected .* found 8"):
        solve_noisy_robot(0.5, headings=8)
