"""Safety-Gymnasium through a robot's cameras: what is seen, what a decision sums up, which layouts there are."""

import ctypes.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from surefoot.envs.simulators import compat, drawing, make
from surefoot.envs.simulators.eyes import SKY, sky_faces
from surefoot.envs.simulators.layouts import LAYOUTS
from surefoot.envs.simulators.scripted_policies import BEHAVIORS, ScriptedPolicy
from surefoot.envs.simulators.surroundings import Surroundings
from surefoot.envs.simulators.vision import VisionBackend
from surefoot.errors import SimulatorError
from surefoot.tasks import get_task
from surefoot.tasks.vision import VISION_TASKS
from surefoot.vision import Vision, from_json


def test_the_five_tasks_decide_on_every_fourth_step_and_have_a_moved_layout() -> None:
    published = [name for name in VISION_TASKS if name.endswith("Vision")]
    assert published == [
        f"{name}Vision" for name in ("PointGoal1", "PointGoal2", "PointButton1", "PointPush1", "CarGoal2")
    ]
    for name in published:
        task, moved = get_task(name), get_task(f"{name}Moved")
        assert (task.horizon, task.image_shape, task.observation_dim) == (250, (64, 64, 6), 24576)
        assert task.vision is not None
        assert moved.vision is not None
        assert moved.vision == task.vision._replace(layout=f"{name.removesuffix('Vision')}Moved")
        assert LAYOUTS[moved.vision.layout]
        assert from_json({**task.vision._asdict(), "cameras": list(task.vision.cameras)}) == task.vision


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"robot": "Car"}, "robot Point, found Car"),
        ({"kind": "Push"}, "kind of task Goal, found Push"),
        ({"cameras": ("vision",)}, "cameras vision and vision_back, found vision"),
        ({"size": 32}, "image size 64, found 32"),
        ({"action_repeat": 5}, "action repeat 4, found 5"),
        ({"layout": "PointGoal1Moved"}, None),
    ],
)
def test_what_another_task_is_to_a_policy_is_said(changes: dict[str, Any], why: str | None) -> None:
    vision = Vision("Point", "Goal", "published")
    assert vision.differs(vision._replace(**changes)) == why


def test_a_decision_is_four_steps_of_the_same_world() -> None:
    seen, plain = make(get_task("PointGoal1Vision"), render_mode="rgb_array"), make(get_task("PointGoal1"))
    first, _ = seen.reset(seed=5)
    plain.reset(seed=5)
    assert (first.shape, first.dtype) == ((64, 64, 6), np.uint8)
    # Two cameras that look to opposite sides: both show something, and not the same.
    assert min(first[..., :3].std(), first[..., 3:].std()) > 10
    assert np.abs(first[..., :3].astype(int) - first[..., 3:]).mean() > 5
    image, rewards, costs = first, [], []
    for action in np.random.default_rng(0).uniform(0, 1, (8, 2)):
        image, reward, _, _, info = seen.step(action)
        steps = [plain.step(action) for _ in range(4)]
        np.testing.assert_allclose(reward, sum(step[1] for step in steps), rtol=1e-12)
        assert info["cost"] == sum(step[4]["cost"] for step in steps)
        rewards.append(reward)
        costs.append(info["cost"])
    assert np.std(rewards) > 0
    picture = seen.render()
    assert picture is not None
    np.testing.assert_array_equal(picture, np.concatenate([image[..., :3], image[..., 3:]], 1))
    # The context outlives the first world, and the same seed looks the same in a world compiled anew.
    again, _ = seen.reset(seed=5)
    np.testing.assert_array_equal(again, first)
    backend = seen.backend
    assert isinstance(backend, VisionBackend)
    assert backend.renderer().startswith(("EGL (", "OSMESA ("))
    assert sky_faces(SKY).shape == (6, SKY, SKY, 3)
    seen.close()
    seen.close()
    plain.close()


def test_a_moved_layout_moves_hazards() -> None:
    env = make(get_task("PointGoal1VisionMoved"))
    env.reset(seed=0)
    backend = env.backend
    assert isinstance(backend, VisionBackend)
    places = np.array(backend._env.task.hazards.pos)[:, :2]
    assert places.shape == (8, 2)
    assert np.abs(places).max() <= 1.0
    env.close()


def test_the_camera_behind_is_the_one_in_front_turned_by_half() -> None:
    front = {"@name": "vision", "@pos": "0 0.1 .2", "@xyaxes": "-1 0 0 0 -.4 1"}
    tree = {"mujoco": {"worldbody": {"body": [{"camera": [front]}]}}}
    written: list[Any] = []
    trees = compat._Trees(SimpleNamespace(parse=None, unparse=lambda found: written.append(found) or ""))
    trees.unparse(tree)
    assert len(written[0]["mujoco"]["worldbody"]["body"][0]["camera"]) == 1
    trees.looks_back = True
    trees.unparse(tree)
    first, second = written[1]["mujoco"]["worldbody"]["body"][0]["camera"]
    assert first["@fovy"] == second["@fovy"] == "90"
    assert second["@name"] == "vision_back"
    assert [float(number) for number in second["@pos"].split()] == [0, -0.1, 0.2]
    assert [float(number) for number in second["@xyaxes"].split()] == [1, 0, 0, 0, 0.4, 1]


def test_a_library_of_egl_without_a_device_gives_way_to_osmesa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(drawing.sys, "platform", "linux")
    monkeypatch.setattr(drawing.ctypes.util, "find_library", lambda name: f"lib{name}.so")
    monkeypatch.setattr(drawing, "_egl_has_a_device", lambda library: False)
    monkeypatch.setattr(drawing.os, "environ", {})
    assert drawing.choose_renderer("PointGoal1Vision") == "osmesa"
    assert drawing.os.environ["MUJOCO_GL"] == "osmesa"


DRAW = """
import sys, numpy
from surefoot.envs.simulators import make
from surefoot.tasks import get_task
pictures = []
for task in ("PointGoal1Vision", "SafeReacher"):
    env = make(get_task(task), render_mode="rgb_array")
    env.reset(seed=0)
    pictures.append(env.render())
numpy.savez(sys.argv[1], *pictures)
"""
"""Two kinds of pictures, and nothing closed: the interpreter's end has to do that."""


@pytest.mark.skipif(
    not all(map(ctypes.util.find_library, ("EGL", "OSMesa"))), reason="needs EGL and OSMesa (libegl1, libosmesa6)"
)
def test_osmesa_draws_what_egl_draws_and_ends_without_a_word(tmp_path: Path) -> None:
    # MuJoCo tells PyOpenGL what it has chosen in this process.
    others = {name: value for name, value in os.environ.items() if name != "PYOPENGL_PLATFORM"}
    files = []
    for renderer in ("egl", "osmesa"):
        files.append(tmp_path / f"{renderer}.npz")
        ended = subprocess.run(
            [sys.executable, "-c", DRAW, str(files[-1])],
            check=False, env={**others, "MUJOCO_GL": renderer}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert (ended.returncode, ended.stderr) == (0, "")
    egl, osmesa = map(np.load, files)
    assert egl.files == osmesa.files
    for name in egl.files:
        # The two may come from builds of Mesa that round differently.
        assert np.abs(egl[name].astype(int) - osmesa[name]).mean() < 1.0
        assert egl[name].std() > 10


def test_without_a_renderer_one_sentence_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing.os, "environ", {})
    monkeypatch.setattr(drawing.sys, "platform", "linux")
    monkeypatch.setattr(drawing.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(SimulatorError, match=r"PointGoal1Vision: this machine cannot draw it .* apt install libegl1"):
        make(get_task("PointGoal1Vision"))


def privileged_state(target: tuple[float, float], dangers: list[tuple[float, float]]) -> Surroundings:
    return Surroundings(
        np.array(target), None, np.zeros(2), 0.0, np.array(dangers, float).reshape(-1, 2), np.full(len(dangers), 0.2)
    )


def actions_of(behavior: str, robot: str, seen: Surroundings) -> np.ndarray:
    """The mean action of many episodes, whose noise and random stretches then hardly count."""
    vision = Vision(robot, "Goal", "published")
    chosen = [ScriptedPolicy(vision, behavior, np.random.default_rng(number)).act(seen) for number in range(200)]
    assert np.abs(chosen).max() <= 1.0
    return np.mean(chosen, 0)


def test_the_careful_turn_from_a_hazard_ahead_and_the_careless_do_not() -> None:
    free, blocked = privileged_state((1.0, 0.0), []), privileged_state((1.0, 0.0), [(0.5, 0.02)])
    for behavior in ("careless", "careful"):
        assert abs(actions_of(behavior, "Point", free)[1]) < 0.1
    assert abs(actions_of("careless", "Point", blocked)[1]) < 0.1
    # The hazard's centre lies a little to the left, so the way round it is to the right.
    assert actions_of("careful", "Point", blocked)[1] < -0.2


def test_both_robots_turn_to_a_target_on_their_left() -> None:
    left = privileged_state((0.0, 1.0), [])
    assert actions_of("careless", "Point", left)[1] > 0.8
    first, second = actions_of("careless", "Car", left)
    assert first - second > 1.0  # the right wheel is the first one


def test_random_actions_are_held() -> None:
    scripted_policy = ScriptedPolicy(Vision("Point", "Goal", "published"), BEHAVIORS[0], np.random.default_rng(0))
    chosen = np.array([scripted_policy.act(privileged_state((1.0, 0.0), [])) for _ in range(100)])
    held = (np.diff(chosen, axis=0) == 0).all(1).mean()
    assert 0.5 < held < 0.99
    assert abs(chosen.mean()) < 0.4
