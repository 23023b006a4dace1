"""A cell of a benchmark as it is trained and measured: what an interrupt leaves is gone on with."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.tiny import rows_of

from surefoot.cli.main import main
from surefoot.evaluation import evaluation
from surefoot.experiments.plan import HELD_OUT, read_plan
from surefoot.experiments.resolve import resolve_methods
from surefoot.experiments.store import Store

TOP = Path(__file__).parents[2]
PLAN = f"""
name = "tiny"
seeds = [0, 1]
episodes = 1
tasks.BallRun = "{TOP / "tests" / "data" / "ballrun_starter.hdf5"}"
[methods.bc]
algorithm = "bc"
[methods.bc.overrides]
policy_updates = 20
policy_batch_size = 32
diffusion.network = {{ width = 16, blocks = 1, time_width = 16 }}
"""


def test_a_cell_is_a_run_that_goes_on_after_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patches:
        patches.setattr(evaluation, "evaluate", interrupted)
        assert main(["benchmark", str(path)]) == 130
    (folder,) = (tmp_path / "plan" / "cells").iterdir()
    assert [one.name for one in (folder / "run" / "checkpoints").iterdir()] == ["000000020"]
    assert not (folder / "cell.json").exists()
    checkpoint = folder / "run" / "checkpoints" / "000000020" / "checkpoint.json"
    trained = checkpoint.stat().st_mtime_ns
    assert main(["benchmark", str(path)]) == 0
    assert checkpoint.stat().st_mtime_ns == trained
    store = Store(tmp_path / "plan")
    rows = store.rows(folder.name)
    assert rows == rows_of(folder / "run" / "evaluation" / "episodes.jsonl")
    assert [(row["seed"], row["episode"], row["simulator_seed"]) for row in rows] == [(0, 0, 10**6), (1, 0, 10**6)]
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["hyperparameters"]["diffusion"]["network"]["width"] == 16
    record = store.record(folder.name)
    assert record is not None
    assert record.details["train_seconds"] > 0


def test_the_flagships_plan_is_what_the_issue_says() -> None:
    path = TOP / "benchmarks" / "plans" / "flagship.toml"
    plan = read_plan(path)
    held_out = [name for name, entry in plan.tasks.items() if entry.role == HELD_OUT]
    assert (len(plan.tasks), len(held_out)) == (21, 11)
    assert list(plan.methods) == ["fisor", "bc_safe", "bc", "fisor_published"]
    assert (plan.seeds, plan.episodes, plan.protocols, plan.held_out_looks) == ((0, 1, 2), 20, ("strict",), 3)
    found = resolve_methods(plan, str(path))
    # One configuration, but for what the task alone decides.
    for key, decided in (("bc", set()), ("bc_safe", set()), ("fisor_published", {"horizon", "cost_limit"})):
        values = [found[name, key].hyperparameters for name in plan.tasks]
        assert {field for one in values for field in one if one[field] != values[0][field]} == decided
    published, ours = found["DroneRun", "fisor_published"].hyperparameters, found["DroneRun", "fisor"].hyperparameters
    expected = {"violation_scale": 25.0, "constraint_expectile": 0.9, "extraction": "minqc", "margin": 0.0}
    assert {name: published[name] for name in expected} == expected
    assert published["value_hidden"] == ours["value_hidden"]
    assert published["diffusion"]["network"] == ours["diffusion"]["network"]
