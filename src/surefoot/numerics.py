"""Mode of JAX in which surefoot computes: every public function that computes runs in `pinned()`.

The mode holds whatever a process has set. Trained arrays are float32 and random numbers come from one generator. In
another mode a policy would act differently from the trained one, or arrays would not fit a checkpoint.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import jax
import numpy as np

from surefoot.errors import ConfigError, DeviceMemoryError, OutputError
from surefoot.forks import refuse_forked_child

GENERATOR = "threefry2x32"
"""Generator of all random numbers."""


@contextmanager
def pinned(*, start: bool = True) -> Iterator[None]:
    """Context, or decorator, with the mode of JAX in which everything is computed, for the calling thread alone.

    `start`: whether JAX is started. Raises `ConfigError` where JAX's platform is missing, and in a process that was
    forked after JAX had started.
    """
    refuse_forked_child()
    if start:
        start_jax()
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.default_prng_impl(GENERATOR),
        jax.threefry_partitionable(True),
        jax.transfer_guard("allow"),
    ):
        yield


@cache
def start_jax() -> None:
    """Start JAX's platform. Raises `ConfigError` where the platform that the environment asks for is missing."""
    try:
        jax.devices()
    except RuntimeError as error:
        raise ConfigError(platform_sentence(error) or f"JAX: its platform does not start ({_first(error)}).") from error
    except AssertionError as error:  # CUDA without its plugin
        raise ConfigError(_no_platform("the plugin for it is not installed")) from error


def platform_sentence(error: BaseException) -> str | None:
    """Sentence for an exception of JAX on a missing platform; None for another exception."""
    known = ("Unable to initialize backend", "Unknown backend")
    return _no_platform(_first(error)) if isinstance(error, RuntimeError) and str(error).startswith(known) else None


def _no_platform(reason: str) -> str:
    asked = [name for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_DEFAULT_DEVICE") if os.environ.get(name)]
    named = " and ".join(f"{name}={os.environ[name]}" for name in asked) or "JAX"
    return f"{named}: expected a platform that is here, found none ({reason})."


def _first(error: BaseException) -> str:
    advice = " (set JAX_PLATFORMS='' to automatically choose an available backend)"
    return next(iter(str(error).splitlines()), "").removesuffix(advice).rstrip(".")


def check_finite(name: str, values: Any, reason: str) -> np.ndarray:
    """Check numbers that a policy or its values gave.

    Args:
        name: Name of the numbers, for the message.
        values: Array.
        reason: Reason for the fault, a part of the message.

    Returns:
        The numbers as NumPy.

    Raises:
        OutputError: A number is not finite; the message tells which and where.
    """
    array = np.asarray(values)
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(np.argwhere(~finite)[0].tolist())
        where = f" at {list(place)}" if place else ""
        raise OutputError(f"{name}: expected finite numbers, found {array[place]}{where}; {reason}.")
    return array


@contextmanager
def enough_memory(work: str, way_out: str) -> Iterator[None]:
    """Context in which running out of memory, on the device or the host, becomes `DeviceMemoryError`.

    Args:
        work: Computation, a part of the message, such as "an update of 3 seeds on batches of 256".
        way_out: Remedy, a part of the message, such as "lower the batch size".

    Yields:
        None.

    Raises:
        DeviceMemoryError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceMemoryError(f"out of memory: {work} does not fit; {way_out}.") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on the device or the host."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
    return isinstance(error, MemoryError)
