"""The simulators themselves: episodes follow from their seeds to the bit, and are the original simulators' own."""

import gc
import importlib.util
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.mujoco import MujocoEnv
from tests.isolated import isolated

from surefoot.envs.simulators import Simulator, compat, make
from surefoot.errors import SimulatorError
from surefoot.tasks import get_task

# One of each agent and world of Bullet, and of each kind of task of Safety-Gymnasium.
BULLET = ("BallRun", "CarCircle", "AntRun", "DroneCircle")
SAFETY_GYMNASIUM = ("PointGoal1", "CarPush1", "PointCircle2", "HalfCheetahVelocity", "HopperVelocity")


def actions(task: str, steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, get_task(task).action_dim)).astype(np.float32)


def episode(env: Simulator, seed: int, given: np.ndarray) -> list[bytes]:
    """The bits of all that an episode says, until its end or that of the actions."""
    observation, _ = env.reset(seed=seed)
    seen = [observation.tobytes()]
    for action in given:
        observation, reward, terminated, truncated, info = env.step(action)
        seen += [observation.tobytes(), np.array([reward, info["cost"], terminated, truncated]).tobytes()]
        if terminated or truncated:
            break
    return seen


@pytest.mark.parametrize("task", [*BULLET, *SAFETY_GYMNASIUM])
def test_an_episode_is_a_function_of_its_seed_and_actions(task: str) -> None:
    given = actions(task, 40)
    fresh, used = make(get_task(task)), make(get_task(task))
    expected = episode(fresh, 3, given)
    # What came before must not matter: other seeds, broken off early (a ball still lies near its start), other actions.
    for seed, steps in ((5, 40), (8, 4), (3, 1)):
        episode(used, seed, actions(task, steps, seed))
    assert episode(used, 3, given) == expected
    assert episode(fresh, 3, given) == expected
    assert episode(fresh, 4, given) != expected
    fresh.close()
    used.close()


@pytest.mark.parametrize("task", BULLET)
def test_bullets_episodes_are_those_of_a_fresh_original(task: str) -> None:
    from bullet_safety_gym.envs.builder import EnvironmentBuilder

    make(get_task(task)).close()  # puts the package's handling of output right
    given = actions(task, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original: Any = EnvironmentBuilder(**gymnasium.spec(f"Safety{task}-v0").kwargs)
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    observation = original.reset()[0]
    np.random.set_state(state)  # noqa: NPY002
    expected = [observation.astype(np.float32).tobytes()]
    for action in given:
        observation, reward, terminated, _, info = original.step(action.astype(np.float64))
        step = np.array([reward, info["cost"], terminated, False])
        expected += [observation.astype(np.float32).tobytes(), step.tobytes()]
        if terminated:
            break
    original.close()
    env = make(get_task(task))
    assert episode(env, 3, given) == expected
    env.close()


@pytest.mark.parametrize("task", ["PointGoal1", "CarButton1"])
@isolated
def test_fast_resets_change_no_bit(task: str) -> None:
    fast = make(get_task(task))
    given = actions(task, 30)
    found = [episode(fast, seed, given) for seed in (1, 2)]
    fast.close()
    # The original's way: the sky that it has where pictures are asked for, and its own drawing of layouts.
    compat.load()
    from safety_gymnasium.utils import random_generator

    spec = importlib.util.spec_from_file_location("original_random_generator", random_generator.__file__)
    assert spec is not None
    assert spec.loader is not None
    original: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(original)
    assert original.RandomGenerator.sample_layout is not random_generator.RandomGenerator.sample_layout
    # For good: this process ends with the test.
    random_generator.RandomGenerator.sample_layout = original.RandomGenerator.sample_layout
    slow = make(get_task(task), render_mode="rgb_array")
    assert [episode(slow, seed, given) for seed in (1, 2)] == found
    slow.close()


def test_a_velocity_tasks_step_is_the_originals_to_the_bit() -> None:
    """Ours leaves out the copy of each action by which Gymnasium checks its shape."""
    env, other = make(get_task("HalfCheetahVelocity")), make(get_task("HalfCheetahVelocity"))
    original: Any = other._backend._env  # pyright: ignore[reportAttributeAccessIssue]
    del original.do_simulation
    assert original.do_simulation.__func__ is MujocoEnv.do_simulation
    given = actions("HalfCheetahVelocity", 30)
    seen = episode(env, 4, given)
    expected = [original.reset(seed=4)[0].astype(np.float32).tobytes()]
    for action in given:
        observation, reward, cost, _, _, _ = original.step(action.astype(np.float64))
        expected += [observation.astype(np.float32).tobytes(), np.array([reward, cost, 0.0, 0.0]).tobytes()]
    assert seen == expected


@pytest.mark.parametrize("task", ["BallRun", "PointGoal1"])
@isolated
def test_pictures_change_no_bit(task: str) -> None:
    plain, drawn = make(get_task(task)), make(get_task(task), render_mode="rgb_array")
    observations = [plain.reset(seed=3)[0], drawn.reset(seed=3)[0]]
    for action in actions(task, 5):
        picture = drawn.render()
        assert picture is not None
        assert (picture.shape, picture.dtype) == ((360, 480, 3), np.uint8)
        assert picture.std() > 10  # there is something to see
        observations += [plain.step(action)[0], drawn.step(action)[0]]
    assert all((a == b).all() for a, b in zip(observations[::2], observations[1::2], strict=True))
    before = drawn.render()
    drawn.reset(seed=4)
    after = drawn.render()
    assert before is not None
    assert after is not None
    assert (before != after).any()
    plain.close()
    drawn.close()
    drawn.close()


@pytest.mark.parametrize("task", ["PointCircle1", "HopperVelocity"])
@isolated
def test_simulators_draw_side_by_side(task: str) -> None:
    def first_picture(env: Simulator, seed: int) -> np.ndarray:
        env.reset(seed=seed)
        picture = env.render()
        assert picture is not None
        return picture

    left, right = (make(get_task(task), render_mode="rgb_array") for _ in range(2))
    expected = first_picture(left, 3)
    assert (first_picture(right, 5) != expected).any()
    np.testing.assert_array_equal(left.render(), expected)
    right.close()
    del right
    gc.collect()
    np.testing.assert_array_equal(left.render(), expected)
    left.close()


def test_a_step_with_a_cost_has_a_red_edge_in_bullets_pictures() -> None:
    env = make(get_task("BallRun"), render_mode="rgb_array")
    env.reset(seed=0)
    cost, edges = 0.0, []
    for _ in range(60):
        if cost == 0:
            cost = env.step(np.array([1.0, 0.0]))[4]["cost"]
            picture = env.render()
            assert picture is not None
            edges.append(tuple(picture[0, 0]) == (220, 40, 40))
    # Full speed ahead breaks the speed limit of 2.5 m/s at some time, and not at once.
    assert cost == 1.0
    assert edges == [False] * (len(edges) - 1) + [True]
    env.close()


@pytest.mark.parametrize("task", ["BallRun", "PointGoal1"])
def test_the_callers_random_generators_are_left_alone(task: str) -> None:
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    expected = np.random.random(), random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    env = make(get_task(task))
    env.reset(seed=5)
    env.step(np.zeros(2))
    env.close()
    assert (np.random.random(), random.random()) == expected  # noqa: NPY002


def test_importing_the_interface_imports_no_simulator_and_no_jax() -> None:
    code = (
        "import sys, surefoot.envs.workers.vector, surefoot.envs.simulators, surefoot.envs.workers.main\n"
        "print({'mujoco', 'pybullet', 'safety_gymnasium', 'bullet_safety_gym', 'jax'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("task", "missing", "sentence"),
    [
        ("BallRun", "pybullet", "the Bullet simulator is not installed (import of pybullet halted; None in "
         "sys.modules); install it with `surefoot simulators install bullet`."),
        ("PointGoal1", "mujoco", "the simulator Safety-Gymnasium is not installed (import of mujoco halted; None in "
         "sys.modules); install it with `surefoot simulators install safety-gymnasium`."),
        ("AntVelocity", "xmltodict", "the simulator Safety-Gymnasium is not installed (import of xmltodict halted; "
         "None in sys.modules); install it with `surefoot simulators install safety-gymnasium`."),
    ],
)  # fmt: skip
def test_a_missing_simulator_is_one_sentence(task: str, missing: str, sentence: str) -> None:
    # In a process of its own: this one has them already.
    code = (
        f"import sys; sys.modules['{missing}'] = None\n"
        "from surefoot.envs.simulators import make; from surefoot.errors import SimulatorError\n"
        "from surefoot.tasks import get_task\n"
        f"try: make(get_task('{task}'))\n"
        "except SimulatorError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == sentence + "\n"


def test_metadrive_says_how_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    with pytest.raises(SimulatorError, match=r"MetaDrive is not installed .* `surefoot simulators install metadrive`"):
        make(get_task("easysparse"))
    with pytest.raises(SimulatorError, match="task easysparse: MetaDrive runs without pictures"):
        make(get_task("easysparse"), render_mode="rgb_array")


def test_a_machine_that_cannot_draw_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from surefoot.envs.simulators import drawing

    for variable in ("MUJOCO_GL", "DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(drawing.sys, "platform", "linux")
    monkeypatch.setattr(drawing.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(SimulatorError, match=r"task PointGoal1: this machine cannot draw it .* apt install libegl1"):
        make(get_task("PointGoal1"), render_mode="rgb_array")


def test_a_driver_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(get_task("HopperVelocity"), render_mode="rgb_array")
    env.reset(seed=0)

    def fail(*_: object) -> None:
        raise RuntimeError("no display")

    monkeypatch.setattr(env._backend._env.mujoco_renderer, "render", fail)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(
        SimulatorError, match=r"task HopperVelocity: this machine cannot draw it \(RuntimeError: no disp"
    ):
        env.render()
    env.close()
