"""JAX's start in a process of the command line: the mode of our numbers, and one sentence where it cannot be had."""

import importlib
import logging
import os
import subprocess
import sys

from surefoot.errors import ConfigError

PINNED = {
    "JAX_ENABLE_X64": "0",
    "JAX_NUMPY_DTYPE_PROMOTION": "standard",
    "JAX_DEFAULT_PRNG_IMPL": "threefry2x32",
    "JAX_THREEFRY_PARTITIONABLE": "1",
    "JAX_TRANSFER_GUARD": "allow",
}
"""As `surefoot.numerics.pinned`, which holds for one thread, in every thread of a command and in its processes."""
MOST_DEVICES = 1024
"""Of a CPU; JAX takes minutes for a hundred thousand."""
ABORTS = "import jaxlib._jax as j; j.get_tfrt_cpu_client()"
"""XLA reads its flags as the first client starts, and aborts the process where it does not know one."""


def prepare_jax(*, devices: int | None = None) -> None:
    """Set up JAX's environment and import it. Raises `ConfigError` where a variable has a value that JAX refuses.

    The CPU has `devices`, by default one per core, and no word is said about accelerators that are not there. Which
    platform it takes stays JAX's choice. Where JAX is there already, a caller of `main` in the same process has set it
    up.
    """
    if "jax" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Seeds train side by side on devices of their own.
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(devices or min(os.cpu_count() or 1, MOST_DEVICES)))
    os.environ.update(PINNED)
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.ERROR)
    _check_devices(os.environ["JAX_NUM_CPU_DEVICES"])
    _check_flags()
    try:
        importlib.import_module("jax")
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"JAX cannot start: {_first_line(error)}.") from error


def one_thread_a_device() -> None:
    """Let XLA use one thread for each of the CPU's devices, which are one a core, unless the user has set its flags; to
    be called before its backend starts.

    Networks of the preset `small` do not gain from several threads. Measured on two cores, three seeds of FISOR: 153 s
    of training with a device a core and one thread each, 235 s with one device of two threads.
    """
    flags = "--xla_cpu_multi_thread_eigen=false --xla_cpu_enable_concurrency_optimized_scheduler=false"
    os.environ.setdefault("XLA_FLAGS", flags)


def _check_devices(asked: str) -> None:
    if not (asked.strip().isdecimal() and 1 <= int(asked) <= MOST_DEVICES):
        raise ConfigError(f"JAX_NUM_CPU_DEVICES: expected a whole number from 1 to {MOST_DEVICES}, found '{asked}'.")


def _check_flags() -> None:
    """Try flags that the user has set for XLA in a process of their own."""
    if not (flags := os.environ.get("XLA_FLAGS", "").strip()):
        return
    tried = subprocess.run([sys.executable, "-c", ABORTS], capture_output=True, check=False)
    if tried.returncode:
        said = tried.stderr.decode(errors="replace").splitlines()
        # "F1130 07:10:37.002984 7972 parse_flags_from_env.cc:234] Unknown flag in XLA_FLAGS: --nonsense=1"
        fatal = [line.split("] ", 1)[-1] for line in said if line.startswith("F") and "] " in line]
        reason = fatal[0] if fatal else f"XLA refuses a value in '{flags}'"
        raise ConfigError(f"XLA_FLAGS: {reason.rstrip('.')}.")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
