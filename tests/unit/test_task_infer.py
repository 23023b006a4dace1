"""First task files from logs and environments."""

from pathlib import Path

import numpy as np
import pytest
from tests import own_plant
from tests.own_log import tank_columns, write_csv, write_task

import surefoot
from surefoot import data
from surefoot.cli.main import main
from surefoot.data.logs import import_log, open_log
from surefoot.data.logs.infer import infer_task_file
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.tasks import get_task
from surefoot.tasks.read_task_file import open_task_file

STARTER = Path(__file__).parents[1] / "data" / "ballrun_starter.hdf5"


def test_dsrl_s_file_imported_by_its_inferred_task_file_is_the_same_data(tmp_path: Path) -> None:
    log, task = open_log([STARTER]), tmp_path / "ball.toml"
    task.write_text(infer_task_file(log, name="ball", paths=[str(STARTER)]))
    file, reader = open_task_file(task)
    assert (file.task.horizon, file.observation.next_prefix, file.episodes.terminated) == (100, "next_", "terminals")
    found = import_log(log, file, reader, tmp_path / "out.hdf5")
    expected, imported = data.load(STARTER, get_task("BallRun")), data.load(tmp_path / "out.hdf5", found.task)
    for (name, one), (_, other) in zip(imported.arrays(), expected.arrays(), strict=True):
        if name == "actions":  # physical bounds were taken from the log
            low, high = np.array(file.action.low), np.array(file.action.high)
            np.testing.assert_allclose((one + 1) / 2 * (high - low) + low, other, atol=1e-5)
            continue
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_csv_log_s_roles(tmp_path: Path) -> None:
    columns = tank_columns(episodes=3, steps=7)
    log = open_log([write_csv(tmp_path / "log.csv", columns)])
    (tmp_path / "task.toml").write_text(infer_task_file(log, name="tank", paths=["log.csv"]))
    file, _ = open_task_file(tmp_path / "task.toml")
    assert file.observation.columns == ("level", "flow_1", "flow_2")
    assert file.action.columns == ("valve",)
    assert (file.episodes.by, file.episodes.time, file.episodes.step_seconds) == ("episode", "t", 2.0)
    assert (file.constraint[0].column, file.constraint[0].kind) == ("trip", "cost")
    assert file.task.horizon == 7
    assert main(["task", "check", str(tmp_path / "task.toml")]) == 0


def test_an_environment_s_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["task", "infer", "Pendulum-v1", "--out", "swing.toml"]) == 0
    text = Path("swing.toml").read_text()
    Path("swing.toml").write_text(text.replace("abs(COLUMN) - LIMIT", "abs(column('observation[2]')) - 6"))
    file, _ = open_task_file(Path("swing.toml"))
    assert file.observation.columns == ("observation[0]", "observation[1]", "observation[2]")
    assert (file.action.low, file.action.high, file.task.horizon) == ((-2.0,), (2.0,), 200)
    assert file.environment is not None
    assert file.environment.make == "Pendulum-v1"
    for name, part in {
        "CartPole-v1": "CartPole-v1: expected actions of a Box, found Discrete(2): the algorithms choose real numbers",
        "NoSuch-v0": "NoSuch-v0: expected an environment of NoSuch-v0, found NameNotFound",
        "tests.own_plant:Nothing": "expected a module and a function or class in it, found no tests.own_plant:Nothing",
    }.items():
        assert main(["task", "infer", name, "--out", "x.toml"]) == 2
        error = capsys.readouterr().err.replace("\n", " ")
        assert part in error
        assert "a log is not at that place either" in error
    assert not Path("x.toml").exists()


def test_dicts_and_tuples_are_flattened_with_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["task", "infer", "tests.own_plant:Nested", "--out", "nested.toml"]) == 0
    text = Path("nested.toml").read_text()
    assert "# they must be finite: write the plant's bounds" not in text
    Path("nested.toml").write_text(text.replace("abs(COLUMN) - LIMIT", "level - 0.8"))
    file, _ = open_task_file(Path("nested.toml"))
    expected = ("level", "pumps.0", "pumps.1[0]", "pumps.1[1]", "observation.reward")
    assert file.observation.columns == expected
    assert main(["task", "check", "nested.toml"]) == 0
    task = surefoot.Task.from_env(own_plant.Nested, horizon=8)
    assert task.file is not None
    assert task.file.observation.columns == expected
    with VectorSimulator(get_task("nested.toml"), num_envs=1, workers=0) as env:
        level, *pumps, reward = env.reset(np.array([3]))[0]
    assert (pumps, reward) == ([1.0, 2.0, 3.0], -1.0)
    assert 0.5 <= level <= 0.51


def test_one_constraint_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, task, out = write_csv(tmp_path / "log.csv", tank_columns()), write_task(tmp_path), tmp_path / "out.hdf5"
    words = ["data", "import", str(log), "--task", str(task), "--out", str(out), "--constraints"]
    assert main([*words, "levl"]) == 2
    assert "did you mean level?" in capsys.readouterr().err
    assert main([*words, "trip"]) == 0
    assert [one["name"] for one in data.read_card(out)["task_file"]["constraint"]] == ["trip"]
    assert main(["data", "info", str(out), "--task", "tank"]) == 0
