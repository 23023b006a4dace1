"""Surefoot: safe offline reinforcement learning in JAX.

From logged transitions to a policy that knows where it is safe.
"""

from typing import TYPE_CHECKING, Any

import surefoot.forks as _forks  # noqa: F401  (it must see every fork)
from surefoot.envs.registration import register as _register_environments

if TYPE_CHECKING:
    from surefoot.training.loaded import load_policy as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

_register_environments()


def __getattr__(name: str) -> Any:
    """`surefoot.load(run_directory)`; imported on first use, so that registering environments stays free of JAX."""
    if name == "load":
        from surefoot.training.loaded import load_policy

        return load_policy
    raise AttributeError(f"module 'surefoot' has no attribute '{name}'")
