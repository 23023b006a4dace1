"""W&B on request: a clear sentence where it is missing, the right calls where it is there."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from surefoot.errors import ConfigError
from surefoot.training import WandbLogger


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"pip install 'surefoot\[wandb\]'"):
        WandbLogger("project")


def test_metrics_go_to_the_run_that_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    run = SimpleNamespace(
        log=lambda metrics, step: calls.append((step, metrics)), finish=lambda: calls.append("finished")
    )

    def init(**options: Any) -> Any:
        calls.append(options)
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    logger = WandbLogger("safe", name="one", run_id="x1", config={"rate": 0.1})
    logger.log(4, {"seed_0/loss": 1.5})
    logger.close()
    assert calls == [
        {"project": "safe", "name": "one", "id": "x1", "resume": "allow", "config": {"rate": 0.1}, "dir": None},
        (4, {"seed_0/loss": 1.5}),
        "finished",
    ]
