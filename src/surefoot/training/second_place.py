"""Optional places for metrics beside metrics.jsonl: where one fails, training goes on."""

import warnings
from collections.abc import Callable
from typing import Any

from surefoot.errors import SurefootWarning


class SecondPlace:
    """TensorBoard's events, W&B, or a caller's logger. The first failure becomes a warning; later metrics are not sent
    there."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.failed = False

    def attempt(self, action: Callable[[], Any]) -> Any:
        """The result of `action`; None where it fails, or something failed before."""
        if self.failed:
            return None
        try:
            return action()
        # Of any kind: what a service, its network or its disk raises is its own affair. W&B may even leave the process.
        except (Exception, SystemExit) as error:
            self.failed = True
            reason = next(iter(str(error).splitlines()), "")
            said = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
            warnings.warn(
                f"{self._name}: metrics cannot be written there ({said.rstrip('.')}); training goes on without it.",
                SurefootWarning,
                stacklevel=2,
            )
            return None
