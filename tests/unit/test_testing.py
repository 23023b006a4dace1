"""The suite that algorithms from outside are tested by: it passes for a good one and names what a bad one breaks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
BROKEN = """
from dataclasses import dataclass

import jax.numpy as jnp

from surefoot.types import Policy
from tests.toy_algorithm import ToyAlgorithm


@dataclass(frozen=True)
class Loud(ToyAlgorithm):
    def policy(self, state):
        return Policy(initial=lambda n: None, act=lambda carry, inputs, key: (carry, 3.0 + inputs.observation[:, :2]))

    def feasible_value(self, state, observations):
        return jnp.full(len(observations), jnp.nan)
"""


def suite(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """pytest on `surefoot.testing` in a folder, as a user runs it."""
    command = [sys.executable, "-m", "pytest", "-p", "surefoot.testing.plugin", "-p", "no:cacheprovider", "-q"]
    paths = os.pathsep.join([str(TOP / "src"), str(TOP), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*command, "--pyargs", "surefoot.testing", *words],
        check=False, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, text=True, capture_output=True,
    )  # fmt: skip


def test_an_algorithm_from_outside_passes(tmp_path: Path) -> None:
    done = suite(tmp_path, "--algorithm", "tests.toy_algorithm:ToyAlgorithm")
    assert done.returncode == 0, done.stdout
    assert "12 passed, 1 skipped" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        (
            ["--algorithm", "mine:Loud", "-k", "actions or feasible"],
            ["AssertionError: actions leave [-1, 1]", "AssertionError: feasible values are not finite"],
        ),
        (["-k", "inputs"], ["--algorithm: expected MODULE:NAME of an algorithm, found none."]),
    ],
)
def test_what_is_broken_is_named(words: list[str], sentences: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    done = suite(tmp_path, *words)
    assert done.returncode == 1
    for sentence in sentences:
        assert sentence in done.stdout
