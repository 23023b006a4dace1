"""The examples of other people's systems: task files that are read, and an environment of one that runs here."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import own_systems
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.tasks import TASKS, get_task
from surefoot.tasks.read_task_file import read_task_file

FOLDER = Path(__file__).parents[2] / "examples" / "own_systems"


@pytest.mark.parametrize("name", ["pendulum", "boiler", "cstr"])
def test_the_task_files_are_good(name: str) -> None:
    file = read_task_file(FOLDER / f"{name}.toml", taken=list(TASKS))
    assert file.task.name == name
    assert file.environment is not None
    assert file.signals


def test_the_pendulum_swings_as_gymnasiums() -> None:
    """Its torque is the action times 2 N m, its cost 1 above 6 rad/s."""
    with VectorSimulator(get_task(str(FOLDER / "pendulum.toml")), num_envs=1, workers=0) as env:
        cosine, sine, speed = env.reset([5])[0].tolist()
        step = env.step(np.array([[0.5]]), [-1])
    # Gymnasium: speed' = speed + (15 sin(angle) + 3 torque) 0.05; sine is that of the angle from upright.
    expected = speed + (15 * sine + 3 * 1.0) * 0.05
    np.testing.assert_allclose(step.observation[0, 2], expected, atol=1e-5)
    assert step.cost[0] == float(abs(expected) > 6)
    np.testing.assert_allclose(cosine**2 + sine**2, 1, atol=1e-5)


@pytest.mark.parametrize("name", own_systems.FILES)
def test_the_pages_files_and_commands_are_those_that_were_measured(name: str) -> None:
    assert all((FOLDER / file).is_file() for file in own_systems.FILES[name])
    words = [shlex.split(command) for command in own_systems.commands(name)]
    assert {word for command in words for word in command if word.endswith(".toml")} == {f"{name}.toml"}
    measured = json.loads((own_systems.RESULTS / "summary.json").read_text(encoding="utf-8"))["systems"]
    if name in measured:
        assert [step["command"] for step in measured[name]["steps"]] == own_systems.commands(name)
