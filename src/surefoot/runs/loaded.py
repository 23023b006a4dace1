"""All seeds of a trained run, for the commands that evaluate it."""

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
"""Folder of the run that holds an evaluation's files; its figures are in the summary."""
MARGINS = ("cost_margin", "margin_level")
"""Hyper-parameters of a planner under budgets that need no training, and that each command accepts."""


class LoadedRun(NamedTuple):
    """All seeds of a run, loaded from its latest checkpoint."""

    directory: RunDirectory
    config: RunConfig
    algorithm: Algorithm
    states: Any
    """States with a leading seed axis."""
    step: int
    """Updates trained."""
    sha256: str = ""
    """SHA-256 of the checkpoint's arrays."""


def given_overrides(options: Any, names: Sequence[str]) -> dict[str, Any]:
    """Hyper-parameters that a command's options override.

    Args:
        options: Options of a command; None: not given.
        names: Names of hyper-parameters among them.

    Returns:
        The given values by name.
    """
    given = {name: getattr(options, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def load_run(path: Path, overrides: dict[str, Any]) -> LoadedRun:
    """Load all seeds of a run.

    Args:
        path: Folder of the run.
        overrides: Hyper-parameters that replace the run's.

    Returns:
        States of all seeds, and the algorithm with `overrides`.

    Raises:
        ConfigError: The folder holds no such run, or the algorithm does not have such a hyper-parameter.
    """
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
