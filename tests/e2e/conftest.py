"""One small run through the command line, shared by all tests."""

from pathlib import Path

import pytest
from tests.e2e.tiny import TINY, TRANSITIONS
from tests.memory import drop_programs

from surefoot.cli.main import main
from surefoot.evaluation import images


@pytest.fixture(scope="session")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 transitions from `surefoot collect`."""
    path = tmp_path_factory.mktemp("data") / "point_robot.hdf5"
    assert main(["collect", "--transitions", str(TRANSITIONS), "--seed", "1", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, data_file: Path) -> Path:
    """A run of two seeds from `surefoot train`."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    drop_programs()  # of one command before the next: together they take more than a test may hold
    assert main(["train", "--data", str(data_file), "--out", str(run), *TINY]) == 0
    return run


@pytest.fixture(scope="session")
def finished_run(trained_run: Path) -> Path:
    """The same after `surefoot evaluate` and `surefoot report`."""
    drop_programs()
    assert main(["evaluate", str(trained_run), "--episodes", "8"]) == 0
    drop_programs()
    assert main(["report", str(trained_run)]) == 0
    return trained_run


@pytest.fixture(autouse=True)
def few_episodes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes of images are gone through 4 at a time: of 64, as users have them, a piece takes some gigabytes."""
    monkeypatch.setattr(images, "_AT_ONCE", 4)
