"""The adapter over a simulator that the test sees through."""

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

from surefoot.envs.simulators import make
from surefoot.envs.simulators.adapter import Simulator
from surefoot.errors import ConfigError, SimulatorError, UnknownNameError


class Counter:
    """Observations (seed, steps); reward is the first action; ends by itself after `ends_after` steps."""

    observation_dim = 2
    frames_per_second = 10.0
    horizon = 5

    def __init__(self, *, low: float = -1.0, high: float = 1.0, ends_after: int = 100) -> None:
        self.action_low, self.action_high = np.full(2, low), np.full(2, high)
        self.ends_after = ends_after
        self.seeds: list[int] = []
        self.actions: list[np.ndarray] = []
        self.closed = 0

    def reset(self, seed: int) -> np.ndarray:
        self.seeds.append(seed)
        self.actions = []
        return np.array([seed, 0.0])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float, bool]:
        self.actions.append(action)
        steps = len(self.actions)
        return np.array([self.seeds[-1], steps]), action[0], 0.25 * steps, steps == self.ends_after

    def render(self) -> np.ndarray:
        return np.zeros((4, 4, 3), np.uint8)

    def cpu_seconds(self) -> float:
        return 0.0

    def close(self) -> None:
        self.closed += 1


def task(**changes: Any) -> Any:
    facts = {
        "name": "Counter",
        "environment": None,
        "image_shape": None,
        "observation_dim": 2,
        "action_dim": 2,
        "horizon": 5,
    }
    return SimpleNamespace(**(facts | changes))


def test_steps_are_float32_with_their_cost() -> None:
    env = Simulator(task(), Counter())
    observation, info = env.reset(seed=7)
    assert (observation.dtype, observation.tolist(), info) == (np.float32, [7.0, 0.0], {"cost": 0.0})
    observation, reward, terminated, truncated, info = env.step(np.array([0.5, 0.0], np.float32))
    assert (observation.dtype, observation.tolist()) == (np.float32, [7.0, 1.0])
    assert (reward, terminated, truncated, info) == (0.5, False, False, {"cost": 0.25})
    assert [type(value) for value in (reward, terminated, truncated, info["cost"])] == [float, bool, bool, float]
    assert env.observation_space.contains(observation)
    assert env.metadata["render_fps"] == 10.0


def test_actions_are_clipped_and_rescaled_to_the_simulators_box() -> None:
    backend = Counter(low=-3.0, high=5.0)
    env = Simulator(task(), backend)
    env.reset(seed=0)
    for action in ([-1, 1], [0, 0.5], [-9, 9]):
        env.step(np.array(action, np.float32))
    # From [-1, 1] to [-3, 5]: -3 + (a + 1) * 4.
    assert [action.tolist() for action in backend.actions] == [[-3.0, 5.0], [1.0, 3.0], [-3.0, 5.0]]


def test_actions_inside_a_box_of_ones_pass_as_they_are() -> None:
    backend = Counter()
    env = Simulator(task(), backend)
    env.reset(seed=0)
    given = np.array([0.1, -0.7], np.float32)
    env.step(given)
    assert (backend.actions[0].dtype, backend.actions[0].tolist()) == (np.float64, given.tolist())


def test_the_horizon_truncates() -> None:
    env = Simulator(task(horizon=3), Counter())
    env.reset(seed=0)
    assert [env.step(np.zeros(2))[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]


def test_an_end_at_the_horizon_is_no_truncation() -> None:
    env = Simulator(task(horizon=3), Counter(ends_after=3))
    env.reset(seed=0)
    assert [env.step(np.zeros(2))[2:4] for _ in range(3)][-1] == (True, False)


def test_a_seed_is_passed_on_and_later_resets_follow_from_it() -> None:
    first, second = Counter(), Counter()
    for backend in (first, second):
        env = Simulator(task(), backend)
        env.reset(seed=11)
        env.reset()
        env.reset()
    assert first.seeds == second.seeds
    assert first.seeds[0] == 11
    assert len(set(first.seeds)) == 3


@pytest.mark.parametrize("action", [[0.0], [0.0, np.nan], [np.inf, 0.0], [[0.0, 0.0]]])
def test_bad_actions_are_refused(action: Any) -> None:
    env = Simulator(task(), Counter())
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"action: expected 2 finite numbers in \[-1, 1\], found array"):
        env.step(np.array(action))


def test_reset_and_step_refuse_what_they_do_not_know() -> None:
    env = Simulator(task(), Counter())
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(2))
    with pytest.raises(ConfigError, match=r"reset of Counter: expected no options, found \['pose'\]"):
        env.reset(options={"pose": 1})
    for seed in (-1, 2**31):
        with pytest.raises(ConfigError, match=rf"expected a seed from 0 to 2\*\*31 - 1, found {seed}"):
            env.reset(seed=seed)


def test_pictures_come_with_a_render_mode_and_after_a_reset() -> None:
    assert Simulator(task(), Counter()).render() is None
    env = Simulator(task(), Counter(), render_mode="rgb_array")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
    env.reset(seed=0)
    picture = env.render()
    assert picture is not None
    assert picture.shape == (4, 4, 3)


def test_a_simulator_of_other_dimensions_is_refused_and_closed() -> None:
    backend = Counter()
    with pytest.raises(
        SimulatorError, match="task Counter: expected 3 numbers in an observation and 2 in an action, found 2"
    ):
        Simulator(task(observation_dim=3), backend)
    assert backend.closed == 1


def test_make_refuses_tasks_of_no_simulator_and_other_render_modes() -> None:
    with pytest.raises(ConfigError, match="task Counter: expected one of a simulator, found one without"):
        make(task())
    with pytest.raises(UnknownNameError, match="unknown render mode 'human'"):
        make(task(), render_mode="human")  # pyright: ignore[reportArgumentType]
