"""W&B on request: a clear sentence where it is missing, the right calls where it is there."""

import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from surefoot.errors import ConfigError, SurefootWarning
from surefoot.training import WandbLogger, wandb_logger


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


def refuse(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def leave(*_: Any, **__: Any) -> None:
    raise SystemExit(1)


@pytest.mark.parametrize("accident", [refuse, leave])
@pytest.mark.parametrize("place", ["init", "log", "finish"])
def test_whatever_fails_is_said_once_and_nothing_more_is_sent(
    monkeypatch: pytest.MonkeyPatch, place: str, accident: Any
) -> None:
    calls: list[str] = []

    def called(name: str) -> Any:
        return accident if name == place else lambda *_, **__: calls.append(name)

    run = SimpleNamespace(log=called("log"), finish=called("finish"))
    started = called("init") if place == "init" else lambda **_: run
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=started))

    def work() -> None:
        logger = WandbLogger("project")
        for step in (1, 2):
            logger.log(step, {"loss": 1.0})
        logger.close()

    with pytest.warns(SurefootWarning, match=r"^W&B: metrics cannot be written there .*; training goes on") as said:
        work()
    assert len(said) == 1
    assert calls == (["log", "log"] if place == "finish" else [])


def test_a_network_that_takes_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    run = SimpleNamespace(finish=lambda: release.wait(20))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **_: run))
    monkeypatch.setattr(wandb_logger, "CLOSE_SECONDS", 0.01)
    logger = WandbLogger("project")
    with pytest.warns(SurefootWarning, match="W&B: it has not taken all metrics after 0.01 s"):
        logger.close()
    release.set()
