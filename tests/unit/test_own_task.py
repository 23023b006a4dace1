"""A system that is not in the table: the documented way from Python works, and what refuses its name points there."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data_fixtures import BINARY_TASK, file_arrays, make_dataset, write_arrays
from tests.toy_algorithm import ToyAlgorithm

from surefoot.cli.main import main
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.errors import ConfigError
from surefoot.nn.networks import DenoiserConfig
from surefoot.tasks import CostLimit, Environment, Reference, get_task
from surefoot.training import RunDirectory, load_policy, make_config

PAGE = Path(__file__).parents[2] / "docs" / "own-task.md"


def test_the_page_trains_on_a_system_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    tiny = "policy_updates=2, policy_batch_size=8, diffusion=TINY"  # compiled in a second
    smaller = {"policy_updates=20_000": tiny, "2_500": "2", "log_interval=500": "log_interval=2", "(0, 1)": "(0,)"}
    for many, few in smaller.items():
        assert many in code
        code = code.replace(many, few)
    monkeypatch.chdir(tmp_path)
    network = DenoiserConfig(width=8, blocks=1, time_width=8)
    names: dict[str, Any] = {"TINY": DiffusionPolicyConfig(network=network, diffusion_steps=1)}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["action"].shape == (3,)
    assert np.abs(names["action"]).max() <= 1.0
    assert load_policy("runs/own", seed=0).config.task == "MyRobot"
    # 20 episodes of 40 steps, whose rewards are near 6: returns near 240.
    assert names["dataset"].lengths.tolist() == [40] * 20
    np.testing.assert_allclose(names["dataset"].returns.mean(), 240.0, atol=5.0)


@pytest.mark.parametrize("command", [["data", "info"], ["data", "convert", "--out", "out.hdf5"]])
def test_a_card_of_an_unknown_task_points_to_the_page(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.hdf5"
    write_arrays(path, file_arrays(make_dataset(BINARY_TASK)), card=json.dumps({"task": "MyRobot"}))
    assert main([*command, str(path)]) == 2
    error = capsys.readouterr().err
    assert "unknown task 'MyRobot'; did you mean PointRobot, or a system of your own" in error
    assert "docs/own-log.md" in error
    assert main(["data", "info", str(path), "--task", "Nonsense of mine"]) == 2
    assert "or a system of your own: a task file that ends in .toml (docs/own-log.md)." in capsys.readouterr().err


def test_a_run_keeps_a_task_that_is_in_no_table(tmp_path: Path) -> None:
    """Evaluate, report and resume take it from the run, not from the table."""
    facts: dict[str, Any] = {
        "name": "toy", "seeds": (0,), "data_path": "own.hdf5", "data_fingerprint": "abc", "log_interval": 1,
        "checkpoint_interval": 1,
    }  # fmt: skip
    own = replace(BINARY_TASK, environment=Environment(Reference("mine:Plant", (("gain", 2.0),)), "simulator"))
    config = make_config(ToyAlgorithm(), task=own, **facts)
    run = RunDirectory(tmp_path / "run")
    run.start(config, resume=False)
    found = run.read_config()
    assert found == config
    assert found.known_task() == own
    assert found.spec == own.spec
    run.start(config, resume=True)
    stricter = make_config(ToyAlgorithm(), task=replace(own, constraints=(CostLimit(1.0),)), **facts)
    with pytest.raises(ConfigError, match=r"the run there is on another task Binary, constraints.*found"):
        run.start(stricter, resume=True)
    in_table = make_config(ToyAlgorithm(), task=get_task("BallRun"), **facts)
    assert (in_table.task, in_table.definition, in_table.known_task()) == ("BallRun", None, get_task("BallRun"))
    other = json.loads(run.config_path.read_text()) | {"task": "Other"}
    run.config_path.write_text(json.dumps(other))
    with pytest.raises(ConfigError, match="definition: expected that of Other, found that of Binary"):
        run.read_config()


def test_tasks_need_neither_jax_nor_a_simulator() -> None:
    """The table is read by worker processes and before anything is asked for."""
    heavy = ("jax", "gymnasium.envs.mujoco", "mujoco", "pybullet", "safety_gymnasium")
    code = f"import sys, surefoot.tasks; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
