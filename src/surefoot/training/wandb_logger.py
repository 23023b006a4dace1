"""Weights & Biases, on request only: `wandb` is imported when a logger is made."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.errors import ConfigError


class WandbLogger:
    """Sends metrics to one W&B run; hand it to `fit(..., loggers=[...])` and close it at the end.

    `run_id` ties a resumed run to the curves it began. Raises `ConfigError` where wandb is not installed.
    """

    def __init__(
        self, project: str, *, name: str | None = None, run_id: str | None = None,
        config: Mapping[str, Any] | None = None, directory: Path | None = None,
    ) -> None:  # fmt: skip
        try:
            wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise ConfigError("logging to W&B needs the package wandb; install it with: pip install 'surefoot[wandb]'"
                              ) from error  # fmt: skip
        self._run = wandb.init(
            project=project,
            name=name,
            id=run_id,
            resume="allow",
            config=dict(config or {}),
            dir=None if directory is None else str(directory),
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics by name ("seed_0/critic/loss") after `step` updates."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Send what is left and end the run."""
        self._run.finish()
