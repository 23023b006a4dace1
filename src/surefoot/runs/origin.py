"""Checks that a run's configuration, checkpoint, summary and data are of one training."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from surefoot.checkpoint import as_json, difference, read_metadata
from surefoot.errors import CheckpointError, ConfigError
from surefoot.training import RunConfig, RunDirectory


def check_spec(run: RunDirectory, config: RunConfig) -> None:
    """Refuse a run whose data have other shapes or another horizon than its task.

    Args:
        run: Files of the run.
        config: Its configuration.

    Raises:
        ConfigError: Shapes or horizon differ.
    """
    task = config.known_task()
    expected, found = as_json(dataclasses.asdict(task.spec)), as_json(dataclasses.asdict(config.spec))
    if expected != found:
        raise ConfigError(f"{run.config_path}: task {task.name}: {difference('spec', expected, found)}.")


def check_origin(run: RunDirectory, config: RunConfig, summary: Mapping[str, Any]) -> None:
    """Check that a run's configuration agrees with its task, its checkpoint and its summary.

    Args:
        run: Folder of the run.
        config: Its configuration.
        summary: Its summary.

    Raises:
        ConfigError: They are of different trainings.
    """
    check_spec(run, config)
    try:
        latest = run.latest()
    except CheckpointError:  # what was measured with them is there still
        latest = None
    if latest is not None:
        _check_same(run, read_metadata(latest), config.identity_of(latest), "checkpoint")
    names = ("task", "algorithm", "seeds")
    named = {name: config.identity[name] for name in names} | {"preset": config.preset}
    _check_same(run, summary, named, "summary")
    if "fingerprint" in (data := summary.get("data", {})):
        names = ("filter", "cost_limit", "fraction", "fraction_seed", "held_out", "held_out_seed")
        chosen = {name: data[name] for name in names if name in data}
        found = {name: config.data_selection[name] for name in names if name in config.data_selection}
        _check_same(run, {"data_selection": chosen}, {"data_selection": found}, "summary")


def _check_same(run: RunDirectory, there: Mapping[str, Any], configured: Mapping[str, Any], what: str) -> None:
    for name, value in configured.items():
        if name in there and there[name] != value:
            sentence = difference(name, there[name], value)
            raise ConfigError(f"{run.config_path}: it is not that of the run's {what}: {sentence}.")
