"""A system that is not in the table: the documented way from Python works, and what refuses its name points there."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data_fixtures import BINARY_TASK, file_arrays, make_dataset, write_arrays

from surefoot.cli.main import main
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.nn.denoiser import DenoiserConfig
from surefoot.training import load_policy

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
