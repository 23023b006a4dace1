"""The page about logs of one's own runs as it is printed, and its run knows its whole task."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.e2e.tiny import HYPERPARAMETERS, INTERVALS
from tests.own_log import TANK, tank_columns, write_csv, write_task
from tests.pages import programs_of

import surefoot
from surefoot.cli.main import main
from surefoot.hyperparameters import change
from surefoot.training import RunDirectory

TOP = Path(__file__).parents[2]


def commands() -> list[list[str]]:
    """The page's commands, in order."""
    text = (TOP / "docs" / "own-log.md").read_text()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.S) for line in block.splitlines()]
    return [shlex.split(line) for line in lines]


def test_the_start_page_runs_as_it_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands are those of the page below but for the task file, which lies beside the log's program."""
    monkeypatch.chdir(tmp_path)
    for name in ("pendulum_log.py", "pendulum.toml"):
        shutil.copy(TOP / "examples" / "own_systems" / name, tmp_path)
    subprocess.run([sys.executable, "pendulum_log.py", "pendulum.csv", "--episodes", "20"], check=True)
    assert main(["task", "check", "pendulum.toml"]) == 0
    (code,) = programs_of("index.md")
    assert len([line for line in code.splitlines() if line]) == 10
    tiny = change(
        surefoot.FISOR(), constraint_updates=40, reward_updates=20, policy_updates=20, value_hidden=(16, 16),
        value_batch_size=32, policy_batch_size=32, num_candidates=4,
    )  # fmt: skip
    names: dict[str, Any] = {"TINY": tiny}
    smaller = {"surefoot.FISOR()": "TINY", "seeds=3": "seeds=1, log_interval=10, checkpoint_interval=20"}
    for many, few in smaller.items():
        assert many in code
        code = code.replace(many, few)
    exec(compile(code, "index.md", "exec"), names)
    assert names["action"].shape == (1,)
    assert np.abs(names["action"]).max() <= 2.0  # N m: a session speaks the plant's units
    assert np.isfinite(names["value"]).all()
    assert names["run"].config.task == "pendulum"


def test_the_page_runs_as_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(TOP / "examples" / "own_systems" / "pendulum_log.py", tmp_path)
    smaller = {"train": [*HYPERPARAMETERS, *INTERVALS, "--seeds", "0:1"]}
    names = []
    for words in commands():
        names.append(words[1])
        if words[0] == "surefoot":
            assert main([*words[1:], *smaller.get(words[1], [])]) == 0, (words, capsys.readouterr().err)
        else:
            fewer = ["20" if word == "100" else word for word in words]
            program = [sys.executable] if words[0] == "python" else [words[0]]
            subprocess.run([*program, *fewer[1:]], check=True)
    assert names == ["pendulum_log.py", "task", "-i", "task", "data", "data", "train", "audit", "report"]
    shown = capsys.readouterr().out
    assert "pendulum.toml: pendulum: good." in shown
    assert "pendulum.hdf5: 20 episodes, 3,980 transitions of pendulum." in shown  # 20 of 200 rows: 199 steps each
    config = RunDirectory(tmp_path / "runs" / "pendulum").read_config()
    assert config.task_file is not None
    (tmp_path / "pendulum.toml").unlink()  # the run needs no table and no file
    task = config.known_task()
    assert (task.name, task.observation_dim, task.has_signal) == ("pendulum", 3, True)
    # The same run goes on without the file, and refuses data that were imported with another one.
    assert main(["train", "--out", "runs/pendulum", "--resume"]) == 0
    assert main(["evaluate", "runs/pendulum"]) == 2
    assert "expected a task with an environment to act in, found pendulum" in capsys.readouterr().err
    (tmp_path / "pendulum.toml").write_text(TANK.replace('"tank"', '"pendulum"'))
    train = ["train", "--task", "pendulum.toml", "--data", "pendulum.hdf5", "--out", "runs/other"]
    assert main(train) == 2
    error = capsys.readouterr().err
    assert "pendulum.toml: task: expected the task file with which pendulum.hdf5 was imported, found another" in error


MAKE = len(TANK.splitlines()) + 2
"""Line of `make` behind the task file of the tank."""


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["task", "check", "none.toml"], "none.toml: expected a task file, found no such file"),
        (["task", "infer", "none.csv", "--out", "new.toml"], "none.csv: expected a log"),
        (["task", "infer", "log.csv", "--out", "task.toml"], "task.toml: it exists already"),
        (["task", "guess"], "unknown task command 'guess'"),
        (["data", "import", "--task", "task.toml", "--out", "out.hdf5"], "task.toml: log.paths: expected the files"),
        (["data", "import", "bad.csv", "--task", "task.toml", "--out", "out.hdf5"], "bad.csv: line 3: level: expected"),
        (["task", "check", "id.toml"], f"id.toml: line {MAKE}: environment.make: expected the id"),
        (["task", "check", "maker.toml"], f"maker.toml: line {MAKE}: environment.make: expected a module"),
        (["task", "infer", "log.csv", "--out", "new.txt"], "--out: expected a name that ends in .toml, found new.txt"),
        (["data", "import", "--task", "task.toml", "--out", "o.csv"], "ends in .hdf5 or .h5, found o.csv"),
        (["data", "check", "log.csv"], "log.csv: expected an HDF5 file"),
        (
            ["train", "--task", "task.toml", "--data", "log.csv", "--out", "run"],
            "log.csv: expected data that were imported, found a log",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    words: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    columns = tank_columns()
    write_csv(tmp_path / "log.csv", columns)
    levels = columns["level"].astype(object)
    levels[1] = "high"
    write_csv(tmp_path / "bad.csv", {**columns, "level": levels})
    write_task(tmp_path)
    for name, make in (("id", "NoSuch-v0"), ("maker", "no_such_module:make")):
        (tmp_path / f"{name}.toml").write_text(f'{TANK}[environment]\nmake = "{make}"\n')
    before = sorted(tmp_path.iterdir())
    assert main(words) == 2
    text = capsys.readouterr().err
    sentence = text.removeprefix("error: ").rstrip("\n")
    assert part in sentence
    assert is_one_sentence(sentence) or sentence.startswith("unknown"), sentence
    assert sorted(tmp_path.iterdir()) == before


def test_strict_import_leaves_no_file_where_the_log_is_suspicious(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_csv(tmp_path / "log.csv", tank_columns(episodes=40))
    reversed_sign = TANK.replace('unit = "m"\n\n[[c', 'unit = "m"\nsafe = "above 0"\n\n[[c')
    task, out = write_task(tmp_path, reversed_sign), tmp_path / "out.hdf5"
    words = ["data", "import", str(log), "--task", str(task), "--out", str(out)]
    assert main([*words, "--strict"]) == 2
    assert "constraint level looks reversed" in capsys.readouterr().err
    assert not out.exists()
    assert main(words) == 0
    assert "warning: " in capsys.readouterr().err
    assert main(["data", "check", str(out), "--strict"]) == 2
