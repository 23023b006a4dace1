"""Arrays of different rank never broadcast by accident here; where it is meant, the code adds the axis itself.

Strict dtypes ("jax_numpy_dtype_promotion") are out of reach: optax computes `decay**count` with an int32 count.

Compiled programs are what fills the memory of a test process: 5.6 GB by the end of the suite. They are dropped after a
test once the process holds more than `MOST_MEMORY`, and found again on the disk where a later test needs them.
"""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache as programs
from tests.memory import drop_programs, status

jax.config.update("jax_numpy_rank_promotion", "raise")

# A commit passes or fails whenever it is tested. HYPOTHESIS_PROFILE=explore looks for what no run has tried yet.
hypothesis.settings.register_profile("fixed", derandomize=True, database=None)
hypothesis.settings.register_profile("explore", derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

MOST_MEMORY, PEAK_MEMORY = 1.1e9, 2e9
"""Bytes of a test process from which on its compiled programs are dropped, and those that it must never hold: two
processes fit beside a system of 8 GB."""
CACHE_OPTIONS = {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_persistent_cache_min_entry_size_bytes": -1}
_FOREIGN = {"test_exact_set"}
"""Tests that run the package hj_reachability, which broadcasts as NumPy does, or our benchmark beside it."""


def pytest_collection_finish() -> None:
    """What was imported and collected stays: looking through it takes the garbage collector half a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _ranks(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.path.stem not in _FOREIGN:
        yield
        return
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of compiled programs, which subprocesses may use as well."""
    folder = tmp_path_factory.mktemp("programs")
    before = {name: getattr(jax.config, name) for name in CACHE_OPTIONS}
    for name, value in (CACHE_OPTIONS | {"jax_compilation_cache_dir": str(folder)}).items():
        jax.config.update(name, value)
    programs.reset_cache()
    yield folder
    for name, value in (before | {"jax_compilation_cache_dir": None}).items():
        jax.config.update(name, value)
    programs.reset_cache()


@pytest.fixture
def much_memory() -> None:
    """For a test that needs more than a gigabyte for itself."""
    drop_programs()


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    before = status("VmHWM")
    yield
    drop_programs(above=MOST_MEMORY)
    peak = status("VmHWM")
    assert peak < PEAK_MEMORY or peak == before, f"this test process held {peak / 1e9:.2f} GB in this test"
