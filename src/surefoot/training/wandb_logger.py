"""Weights & Biases, on request only: `wandb` is imported when a logger is made."""

import importlib
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.errors import ConfigError, SurefootWarning
from surefoot.training.second_place import SecondPlace

CLOSE_SECONDS = 120.0


class WandbLogger:
    """Sends metrics to one W&B run; pass it to `fit(..., loggers=[...])` and close it at the end.

    `run_id` ties a resumed run to its curves. Raises `ConfigError` where wandb is not installed. Any error of W&B
    becomes a warning, and nothing more is sent.
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
        self._place = SecondPlace("W&B")
        self._run = self._place.attempt(
            lambda: wandb.init(
                project=project,
                name=name,
                id=run_id,
                resume="allow",
                config=dict(config or {}),
                dir=None if directory is None else str(directory),
            )
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send metrics.

        Args:
            step: Updates done.
            metrics: Values by name, such as "seed_0/critic/loss".
        """
        self._place.attempt(lambda: self._run.log(dict(metrics), step=step))

    def close(self) -> None:
        """Send what is left and end the run; waits at most `CLOSE_SECONDS`."""
        if self._place.failed:
            return
        errors: list[BaseException] = []

        def finish() -> None:
            try:
                self._run.finish()
            except (Exception, SystemExit) as error:
                errors.append(error)

        finishing = threading.Thread(target=finish, daemon=True)
        finishing.start()
        finishing.join(CLOSE_SECONDS)
        if finishing.is_alive():
            sentence = f"W&B: it has not taken all metrics after {CLOSE_SECONDS:g} s; `wandb sync` sends what is left."
            warnings.warn(sentence, SurefootWarning, stacklevel=2)
        elif errors:
            self._place.attempt(lambda: _raise(errors[0]))


def _raise(error: BaseException) -> None:
    raise error
