"""Whether this process was forked from one in which JAX ran: JAX's threads are not in the copy, where it waits for them
for ever."""

import os
import sys
from functools import cache

from surefoot.errors import ConfigError

_IMPORTED_BY = os.getpid()


@cache
def inherited_jax(process: int) -> bool:
    """Whether JAX had been started as the process of this number began. It is asked as a fork returns in the child,
    before anything there could start JAX, and remembered."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return process != _IMPORTED_BY and bridge is not None and bridge.backends_are_initialized()


def refuse_forked_child() -> None:
    """Raise `ConfigError` in a process where JAX would wait for ever."""
    if inherited_jax(os.getpid()):
        raise ConfigError(
            "this process was forked after JAX had started, and JAX would wait in it for ever; start processes by "
            "'spawn' or 'forkserver' (multiprocessing.get_context), or fork before JAX is used."
        )


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=lambda: inherited_jax(os.getpid()))
