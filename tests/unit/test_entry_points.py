"""Tasks and algorithms that other packages offer by entry points."""

from pathlib import Path

import pytest
from tests.own_log import TANK, write_task

from surefoot import presets
from surefoot.algorithms import BC, algorithm_class
from surefoot.errors import ConfigError, UnknownNameError
from surefoot.tasks import get_task

MODULE = """\
from dataclasses import dataclass

from surefoot.algorithms import BC


@dataclass(frozen=True)
class MyBC(BC):
    slack: float = 0.5


TASK = {path!r}
WRONG = 3
"""
POINTS = """\
[surefoot.tasks]
factory-tank = tank_package:TASK
bad-tank = tank_package:WRONG

[surefoot.algorithms]
my-bc = tank_package:MyBC
bad-bc = tank_package:WRONG
"""


@pytest.fixture
def task_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The task file of an installed package that offers a task and an algorithm."""
    path = write_task(tmp_path, TANK.replace('"level", "flow_*"', '"level", "flow_1"'))
    (tmp_path / "tank_package.py").write_text(MODULE.format(path=str(path)))
    info = tmp_path / "tank_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tank-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    return path


def test_another_package_s_task(task_path: Path) -> None:
    found = get_task("factory-tank")
    assert (found.name, found.observation_dim) == ("tank", 2)
    assert found == get_task(str(task_path))
    with pytest.raises(ConfigError, match=r"surefoot\.tasks: bad-tank: expected a Task or the path of a task file"):
        get_task("bad-tank")


def test_another_package_s_algorithm(task_path: Path) -> None:
    kind = algorithm_class("my-bc")
    assert issubclass(kind, BC)
    built = presets.build("my-bc", get_task(str(task_path)))
    assert built == kind()  # its own defaults, by the preset's usual name
    with pytest.raises(ConfigError, match=r"surefoot\.algorithms: bad-bc: expected a dataclass, found 3"):
        algorithm_class("bad-bc")
    with pytest.raises(UnknownNameError, match="unknown algorithm 'my-bd'"):
        algorithm_class("my-bd")
