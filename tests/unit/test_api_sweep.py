"""A sweep from Python, and the algorithms as public names."""

import sys
from pathlib import Path
from typing import Any

import pytest
from tests.stub_planner import StubPlanner
from tests.stub_run import know_the_stub, stub_run

import surefoot
from surefoot.algorithms import ALGORITHMS
from surefoot.errors import ConfigError, UnknownNameError
from surefoot.experiments import sweep as sweeping


def test_a_sweep_is_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of shares that are trained and measured already: their runs."""
    know_the_stub(monkeypatch)
    data, out = tmp_path / "none.hdf5", tmp_path / "sweep"
    with pytest.raises(ConfigError) as refused:
        surefoot.sweep("bc", data, "SafePendulum", out=out, seeds=0, fraction=[1.0, 1.0], workers=2)
    for part in (
        "seeds: expected a number of seeds, or a list of different ones, found 0",
        "workers: expected none for SafePendulum, which has no simulator, found 2",
        "fraction: expected different shares, found [1.0, 1.0]",
    ):
        assert part in str(refused.value)
    with pytest.raises(UnknownNameError, match="unknown option 'fractions'; did you mean fraction"):
        surefoot.sweep("bc", data, "SafePendulum", out=out, fractions=[1.0])
    asked: list[Any] = []

    def train_run(request: Any, **_: Any) -> None:
        asked.append(request)
        stub_run(request.out, StubPlanner())

    monkeypatch.setattr(sweeping, "train_run", train_run)
    monkeypatch.setattr(sweeping, "_measured", lambda path, request, observer: {"protocol": {"path": path.name}})
    monkeypatch.setattr(sweeping, "evaluation_rows_of", lambda path: [{"seed": 3}])
    monkeypatch.setattr(sweeping, "save_figure", lambda *_, **__: None)
    monkeypatch.setattr(sweeping, "quantity_bars", lambda bars: None)
    found = surefoot.sweep("bc", data, "SafePendulum", out=out, seeds=[3], fraction=[0.5, 1.0], episodes=4)
    assert [(one.name, one.fraction, one.seeds, one.task.name) for one in asked] == [
        ("bc", 0.5, (3,), "SafePendulum"), ("bc", 1.0, (3,), "SafePendulum")
    ]  # fmt: skip
    assert {share: run.path.name for share, run in found.items()} == {0.5: "fraction_0.5", 1.0: "fraction_1"}
    assert "surefoot.sweep bc SafePendulum" in (out / "data_quantity.json").read_text()


def test_every_algorithm_is_a_public_name() -> None:
    for kind in ALGORITHMS.values():
        assert vars(sys.modules[kind.__module__])[kind.__name__] is getattr(surefoot, kind.__name__)
        assert kind.__name__ in surefoot.__all__
