"""SafePendulum: its arithmetic by hand, and the protocol that the pure tasks share."""

import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from surefoot.envs import safe_pendulum
from surefoot.envs.entered import Entered
from surefoot.envs.gymnasium_pendulum import SafePendulumEnv, draw
from surefoot.envs.pure import PURE_TASKS
from surefoot.envs.registration import SAFE_PENDULUM_ID, register
from surefoot.errors import ConfigError, UnknownNameError
from surefoot.tasks import get_task

DEGREE = np.pi / 180


def after(angle: float, speed: float, action: float) -> tuple[float, float, Entered]:
    """(angle, speed, record) after one step."""
    state, _ = safe_pendulum.reset_to(jnp.float32(angle), jnp.float32(speed))
    entered, step = safe_pendulum.step(state, jnp.array([action], jnp.float32))
    return float(entered.angle), float(entered.speed), step


def test_a_step_by_hand() -> None:
    # At 30 degrees, sin = 1/2, speed 1, action 1/2, so torque 1: 1 + (15 / 2 + 3) 0.05 = 1.525; 30 deg + 1.525 0.05.
    angle, speed, step = after(30 * DEGREE, 1.0, 0.5)
    assert speed == pytest.approx(1.525, rel=1e-6)
    assert angle == pytest.approx(30 * DEGREE + 0.07625, rel=1e-6)
    np.testing.assert_allclose(step.observation, [np.cos(angle), np.sin(angle), 1.525], rtol=1e-5)
    # Of the state left: (17 - ((pi / 6)^2 + 0.1 + 0.001)) / 17, and 1 - 5 / 50.
    assert float(step.reward) == pytest.approx((17 - ((np.pi / 6) ** 2 + 0.101)) / 17, rel=1e-6)
    assert float(step.cost) == pytest.approx(0.9, rel=1e-5)


def test_the_speed_is_clipped_after_it_moved_the_angle() -> None:
    # At 90 degrees with speed 8 and torque 2: 8 + (15 + 6) 0.05 = 9.05 moves the angle by 0.4525, then 8 stays.
    angle, speed, _ = after(90 * DEGREE, 8.0, 1.0)
    assert speed == 8.0
    assert angle == pytest.approx(np.pi / 2 + 0.4525, rel=1e-6)


def test_the_torque_ends_at_two_newton_metres() -> None:
    # From rest upright, 3 u 0.05 = 0.3 at u = 2, whatever an action beyond 1 asks for; 0.15 at half of it.
    assert [after(0.0, 0.0, action)[1] for action in (1.0, 7.0, 0.5, -7.0)] == pytest.approx([0.3, 0.3, 0.15, -0.3])


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(25, 1.0), (0, 0.5), (50, 0.5), (75, 0.0), (-25, 0.0), (76, 0.0), (-26, 0.0), (180, 0.0), (385, 1.0)],
)
def test_costs_by_hand(degrees: float, expected: float) -> None:
    assert float(safe_pendulum.cost(jnp.float32(degrees * DEGREE))) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", sorted(PURE_TASKS))
def test_the_pure_tasks_keep_their_protocol(name: str) -> None:
    """Shapes as in the table of tasks, starts that follow from their keys, and an end at the horizon at the latest."""
    task, pure = get_task(name), PURE_TASKS[name]
    keys = jax.random.split(jax.random.key(0), 3)
    state, observation = jax.jit(pure.reset)(keys)
    alone = jax.jit(pure.reset)(keys[2:])[1]
    np.testing.assert_array_equal(alone, observation[2:])
    assert not np.array_equal(observation[0], observation[1])
    assert (observation.shape, pure.horizon) == ((3, *task.spec.observation_shape), task.horizon)

    def one_step(state, _):
        entered, step = pure.step(state, jnp.full((3, task.action_dim), 0.3))
        return entered, (step.observation, step.reward, step.cost, step.terminated, step.truncated)

    rows = jax.jit(lambda state: jax.lax.scan(one_step, state, length=task.horizon))(state)[1]
    observations, rewards, costs, terminated, truncated = map(np.asarray, rows)
    assert observations.shape == (task.horizon, 3, *task.spec.observation_shape)
    assert rewards.shape == costs.shape == terminated.shape == truncated.shape == (task.horizon, 3)
    assert (terminated | truncated).any(0).all()
    assert not (terminated & truncated).any()
    assert not truncated[:-1].any()
    assert (costs >= 0).all()


def test_episodes_start_hanging_and_never_terminate() -> None:
    pure = PURE_TASKS["SafePendulum"]
    state, observation = pure.reset(jax.random.split(jax.random.key(1), 500))
    # cos(pi +- 0.2) lies in [-1, -0.98]; angles on both sides of pi, all over the range.
    assert observation[:, 0].max() <= np.cos(np.pi - 0.2) + 1e-6
    assert (float(observation[:, 1].min()), float(observation[:, 1].max())) == pytest.approx((-0.2, 0.2), abs=0.02)
    assert (float(state.speed.min()), float(state.speed.max())) == pytest.approx((-0.1, 0.1), abs=0.01)


def test_gymnasium_accepts_it_and_it_is_the_pure_task() -> None:
    register()
    env = gymnasium.make(SAFE_PENDULUM_ID, render_mode="rgb_array").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)
    observation, _ = env.reset(seed=0)
    angle, speed = np.arctan2(observation[1], observation[0]), observation[2]
    found = env.step(np.array([0.7], np.float32))
    _, _, expected = after(float(angle), float(speed), 0.7)
    np.testing.assert_allclose(found[0], expected.observation, rtol=1e-4, atol=1e-5)
    assert (found[1], found[4]["cost"]) == pytest.approx((float(expected.reward), float(expected.cost)), abs=1e-5)
    ends = [env.step(np.array([0.7], np.float32))[2:4] for _ in range(199)]
    assert ends == [(False, False)] * 198 + [(False, True)]


def test_bad_input_to_the_environment_is_refused() -> None:
    env = SafePendulumEnv()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(1, np.float32))
    with pytest.raises(ConfigError, match="expected no options, found \\['pose'\\]"):
        env.reset(options={"pose": 1})
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="expected 1 finite number"):
        env.step(np.zeros(2, np.float32))
    with pytest.raises(UnknownNameError, match="render mode"):
        SafePendulumEnv(render_mode="human")


def test_the_picture_shows_the_rod_where_it_is() -> None:
    """At 90 degrees the rod lies to the left (positive angles turn to the left), on row 160 of 320."""
    blue = (draw(np.pi / 2) == (50, 90, 180)).all(-1)
    rows, columns = np.nonzero(blue)
    assert (abs(rows.mean() - 159.5) < 1, columns.max() <= 167) == (True, True)
    assert columns.min() == pytest.approx(160 - 1.06 / 1.4 * 160, abs=2)
