"""A run of the stub planner on its task, as training would leave it, and the tables that know both."""

from pathlib import Path

import jax.numpy as jnp
import pytest
from tests.stub_planner import SPEND, TASK, StubPlanner

from surefoot.algorithms import ALGORITHMS
from surefoot.envs.pure import PURE_TASKS
from surefoot.tasks import TASKS
from surefoot.training import RunDirectory, make_config


def know_the_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the task and the planner into the tables."""
    monkeypatch.setitem(ALGORITHMS, "stub", StubPlanner)
    monkeypatch.setitem(TASKS, TASK.name, TASK)
    monkeypatch.setitem(PURE_TASKS, TASK.name, SPEND)


def stub_run(path: Path, planner: StubPlanner, *, seeds: tuple[int, ...] = (0, 1), gain: float = 1.0) -> Path:
    """A run directory with a checkpoint of 2 updates."""
    config = make_config(
        planner, name="stub", task=TASK.name, spec=TASK.spec, seeds=seeds, data_path="nowhere.hdf5",
        data_fingerprint="none", log_interval=1, checkpoint_interval=1,
    )  # fmt: skip
    run = RunDirectory(path)
    run.start(config, resume=False)
    run.save_checkpoint(2, {"gain": jnp.full(len(seeds), gain)}, config.identity)
    return path
