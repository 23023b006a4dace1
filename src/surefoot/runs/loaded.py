"""All seeds of a trained run, as the commands that measure it need them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from surefoot.errors import ConfigError, option
from surefoot.hyperparameters import change, flat
from surefoot.protocols import Algorithm
from surefoot.runs.origin import check_spec
from surefoot.training import LoadedPolicy, RunConfig, RunDirectory, load_policy

FOLDER = "evaluation"
"""In the run's folder: what an evaluation leaves beside the summary."""
MARGINS = ("cost_margin", "margin_level")
"""Hyper-parameters of a planner under budgets that need no training and may be given to each command."""


class LoadedRun(NamedTuple):
    """All seeds of a run."""

    directory: RunDirectory
    config: RunConfig
    algorithm: Algorithm
    states: Any
    """With a leading seed axis."""
    step: int
    """Updates trained."""
    sha256: str = ""
    """Of the checkpoint's arrays."""


def given_overrides(options: Any, names: Sequence[str]) -> dict[str, Any]:
    """Those of a command's options that were given (None: not) and so take the place of the run's hyper-parameters."""
    given = {name: getattr(options, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def load_run(path: Path, overrides: dict[str, Any]) -> LoadedRun:
    """The states of all seeds, and the algorithm with `overrides`, which it must know (`ConfigError`)."""
    directory = RunDirectory(path)
    config = directory.read_config()
    check_spec(directory, config)
    policies: list[LoadedPolicy] = [load_policy(path, seed=seed) for seed in config.seeds]
    algorithm = policies[0].algorithm
    for name in overrides:
        if name not in flat(algorithm):
            raise ConfigError(f"{path}: algorithm '{config.algorithm}' has no {name}; leave {option(name)} out.")
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[policy.state for policy in policies])
    changed = change(algorithm, **overrides)
    return LoadedRun(directory, config, changed, states, policies[0].step, policies[0].checkpoint_sha256)
