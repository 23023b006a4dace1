"""What a run does: actions and values on fixed observations, and on which machine they were computed."""

import functools
import hashlib
import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tests.compatibility.recipes import EXPECTED, RUNS

import surefoot
from surefoot.protocols import HasFeasibleValue

BATCH, STEPS = 4, 2
"""Observations at once, and steps of a session."""
SESSIONS = ("fisor_joint", "fosp", "safedreamer", "trebi")
"""Runs whose sessions are looked at: those that remember, and one that does not."""
_VERSIONS = ("jax", "jaxlib", "numpy", "equinox", "optax")


_XLA_FLAGS = os.environ.get("XLA_FLAGS", "")
"""As the process began: commands set them."""


def machine() -> dict[str, str]:
    """What rounding depends on: where it is the same, so are the bits."""
    cpu = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().split("\n\n", 1)[0].splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        kept = {key.strip(): value.strip() for key, value in fields.items()}
        cpu = f"{kept.get('model name')} {hashlib.sha256(kept.get('flags', '').encode()).hexdigest()[:16]}"
    return {
        "cpu": cpu,
        "devices": f"{jax.default_backend()} {jax.device_count()}",
        "xla_flags": _XLA_FLAGS,
        **{name: metadata.version(name) for name in _VERSIONS},
    }


@functools.cache
def same_machine() -> bool:
    """Whether this is the machine of expected/machine.json."""
    return machine() == json.loads((EXPECTED / "machine.json").read_text())


def observations(policy: Any, *, count: int = BATCH) -> np.ndarray:
    """Fixed observations of a policy's task, images where it sees."""
    spec = policy.config.spec
    rng = np.random.default_rng(7)
    if spec.image_shape is not None:
        return rng.integers(0, 256, (count, *spec.image_shape)).astype(np.uint8)
    return rng.uniform(-1, 1, (count, spec.observation_dim)).astype(np.float32)


def act(name: str, *, seed: int) -> dict[str, np.ndarray]:
    """Actions of a batch, feasible values where the algorithm has them, and a session's first steps."""
    policy = surefoot.load(RUNS / name, seed=seed)
    seen = observations(policy)
    budget = np.array([0.0, 5.0, 20.0, np.inf], np.float32) if policy.needs_budget else None
    found = {"actions": policy.act(seen, budget, step=3) if policy.needs_budget else policy.act(seen)}
    if name in SESSIONS:
        session = policy.session(budget)
        found["session"] = np.stack([session.act(seen) for _ in range(STEPS)])
    if isinstance(policy.algorithm, HasFeasibleValue) and policy.config.spec.image_shape is None:
        found["feasible_values"] = policy.feasible_value(seen)
    return found


def seeds_of(name: str) -> list[int]:
    """The seeds of a run."""
    return json.loads((RUNS / name / "config.json").read_text())["seeds"]


def write_expected(names: Sequence[str]) -> None:
    """Write what these runs do, and on which machine."""
    EXPECTED.mkdir(exist_ok=True)
    for name in names:
        found: dict[str, Any] = {
            f"{seed}/{key}": value for seed in seeds_of(name) for key, value in act(name, seed=seed).items()
        }
        np.savez_compressed(EXPECTED / f"{name}.npz", **found)
    (EXPECTED / "machine.json").write_text(json.dumps(machine(), indent=2) + "\n")
