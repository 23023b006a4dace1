"""PointRobot through Gymnasium."""

import subprocess
import sys
import warnings

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from surefoot.envs import point_robot
from surefoot.envs.gymnasium_env import PointRobotEnv, draw
from surefoot.envs.registration import POINT_ROBOT_ID, register
from surefoot.errors import ConfigError, UnknownNameError

START = [-1.8, 0.0, 2.0, np.pi / 4]


@pytest.fixture
def env() -> PointRobotEnv:
    return PointRobotEnv(render_mode="rgb_array")


def rollout(env: PointRobotEnv, seed: int) -> list[bytes]:
    observation, info = env.reset(seed=seed)
    seen = [observation.tobytes(), repr(info)]
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 2)).astype(np.float32)
    for action in actions:
        observation, *rest = env.step(action)
        seen += [observation.tobytes(), repr(rest)]
    return seen


def test_gymnasium_accepts_it_without_warnings():
    register()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(POINT_ROBOT_ID).unwrapped)


def test_registering_twice_is_silent_and_imports_no_jax():
    # In a process of its own: this one has JAX already.
    program = (
        "import sys, surefoot.envs.registration as r; r.register(); r.register(); import gymnasium; "
        "assert 'surefoot/PointRobot-v0' in gymnasium.registry; assert 'jax' not in sys.modules, 'jax was imported'"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_same_seed_same_bits(env):
    first = rollout(env, 3)
    assert rollout(env, 3) == first
    assert rollout(PointRobotEnv(), 3) == first
    assert rollout(env, 4) != first


def test_a_seed_carries_over_to_later_resets(env):
    env.reset(seed=3)
    second = env.reset()[0]
    assert (second != env.reset(seed=3)[0]).any()
    np.testing.assert_array_equal(env.reset()[0], second)


def test_it_is_the_pure_environment(env):
    observation, info = env.reset(options={"pose": START})
    state, expected = point_robot.reset_to(jnp.array(START, jnp.float32))
    np.testing.assert_allclose(observation, expected, atol=1e-6)
    # h of (-1.8, 0): 0.8 - hypot(1.4, 1.2).
    assert info == {"cost": 0.0, "constraint": pytest.approx(0.8 - np.hypot(1.4, 1.2), abs=1e-6)}
    for action in np.array([[-1, 1], [0.5, -0.2], [3, 0]], np.float32):
        state, step = point_robot.step(state, jnp.asarray(action))
        observation, reward, terminated, truncated, info = env.step(action)
        np.testing.assert_allclose(observation, step.observation, atol=1e-6)
        assert reward == pytest.approx(float(step.reward), abs=1e-6)
        assert (terminated, truncated) == (False, False)
        assert info == {"cost": 0.0, "constraint": pytest.approx(float(np.asarray(step.constraint)), abs=1e-6)}


def test_it_truncates_itself_after_300_steps(env):
    env.reset(options={"pose": [0.0, 0.0, 0.0, 0.0]})
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(300)]
    assert ends == [(False, False)] * 299 + [(False, True)]


def test_cost_is_reported_inside_a_hazard(env):
    env.reset(options={"pose": [0.4, -1.2, 0.0, 0.0]})
    info = env.step(np.zeros(2, np.float32))[4]
    assert info == {"cost": 1.0, "constraint": pytest.approx(0.8)}


def test_observations_stay_in_the_space_at_full_throttle(env):
    observation, _ = env.reset(options={"pose": [-3.0, -3.0, 5.0, np.pi / 4]})
    ended = False
    while not ended:
        assert env.observation_space.contains(observation)
        observation, _, terminated, truncated, _ = env.step(np.array([1, 0], np.float32))
        ended = terminated or truncated
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"pose": [9, 0, 0, 0]}, ConfigError, r"'pose': expected x and y within 3 m of 0, found \[9.0, 0.0\]"),
        ({"pose": [0, 0, 6, 0]}, ConfigError, "'pose': expected a speed within 5 m/s of 0, found 6"),
        ({"pose": [0, 0, 0]}, ConfigError, r"'pose': expected 4 finite numbers, x, y, v and theta, found \[0, 0, 0\]"),
        ({"pose": [0, 0, np.nan, 0]}, ConfigError, "expected 4 finite numbers"),
        ({"pose": "north"}, ConfigError, "expected 4 finite numbers, x, y, v and theta, found 'north'"),
        ({"poes": START}, UnknownNameError, "unknown reset option 'poes'; did you mean pose?"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(env, options, error, sentence):
    with pytest.raises(error, match=sentence):
        env.reset(options=options)


def test_reset_and_step_give_the_same_keys_of_the_same_types(env):
    # Minari's collector and Gymnasium's vector environments stack them.
    keys = [{key: type(value) for key, value in info.items()} for info in (env.reset(seed=0)[1], env.step([0, 0])[4])]
    assert keys == [{"cost": float, "constraint": float}] * 2


@pytest.mark.parametrize("action", [np.zeros(3), np.array([np.nan, 0]), None])
def test_bad_actions_are_refused(env, action):
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="action: expected 2 finite numbers, acceleration and turn rate"):
        env.step(action)


def test_unknown_render_modes_are_refused_and_reset_comes_first(env):
    with pytest.raises(UnknownNameError, match="render mode 'human'"):
        PointRobotEnv(render_mode="human")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(2))
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
    assert PointRobotEnv().render() is None


def test_the_picture_shows_what_is_where():
    def pixel(image, x, y):  # 320 pixels over 6.4 m, north up
        return tuple(image[int((3.2 - y) / 0.02), int((x + 3.2) / 0.02)])

    image = draw(np.array([-1.8, 0.0, 2.0, np.pi / 2]))
    assert (image.shape, image.dtype) == ((320, 320, 3), np.uint8)
    red, green, blue, dark = (230, 120, 110), (120, 190, 120), (50, 90, 180), (20, 30, 60)
    assert pixel(image, 0.4, -1.2) == red
    assert pixel(image, -0.4, 1.2) == red
    assert pixel(image, 2.2, 2.2) == green
    assert pixel(image, -1.8, 0.0) == blue
    assert pixel(image, -1.8, 0.25) == dark  # the heading, north
    assert pixel(image, -1.8, -0.25) == (255, 255, 255)
