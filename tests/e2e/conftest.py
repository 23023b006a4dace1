"""One small run through the command line, shared by all tests; compiled programs are kept on disk and shared too."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache as programs
from tests.e2e.tiny import TINY, TRANSITIONS

from surefoot.cli.main import main

CACHE_OPTIONS = {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_persistent_cache_min_entry_size_bytes": -1}


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


@pytest.fixture(scope="session")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 transitions from `surefoot collect`."""
    path = tmp_path_factory.mktemp("data") / "point_robot.hdf5"
    assert main(["collect", "--transitions", str(TRANSITIONS), "--seed", "1", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, data_file: Path) -> Path:
    """A run of two seeds from `surefoot train`."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", "--data", str(data_file), "--out", str(run), *TINY]) == 0
    return run


@pytest.fixture(scope="session")
def finished_run(trained_run: Path) -> Path:
    """The same after `surefoot evaluate` and `surefoot report`."""
    assert main(["evaluate", str(trained_run), "--episodes", "8"]) == 0
    assert main(["report", str(trained_run)]) == 0
    return trained_run
