"""Latency of a policy in a control loop as a user would run it."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np

from surefoot.checkpoint import versions
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.observer import Counter, Observer
from surefoot.ranges import Range, Ranged
from surefoot.routes import Routes, refuse_others
from surefoot.runs.origin import check_spec
from surefoot.training import LoadedPolicy, RunDirectory, load_policy

FEWEST_CALLS = 3


@dataclass(frozen=True, kw_only=True)
class LatencyRequest(Ranged):
    """Options of a latency measurement."""

    batch: Annotated[tuple[int, ...], Range("[1, 2^20]", fewest=1)] = (1, 40)
    """Environments that step together."""
    calls: Annotated[int, Range("[3, 10^7]")] = 100
    """Calls of each batch size that are timed, at most."""
    seconds: Annotated[float, Range("[0, inf)")] = 30.0
    """Wall time for each batch size, about; three calls are timed in any case."""
    budget: Annotated[float, Range("[0, inf]")] = 1.0
    """What is left to a planner under budgets, in its own units; inf for no limit."""


_COMMON = frozenset(("run", "batch", "calls", "seconds"))
ROUTES: Routes = {"without a budget": _COMMON, "under a budget": _COMMON | {"budget"}}
"""Options that are read, for a policy without and with a budget."""


def measure_latency(
    run: Path,
    request: LatencyRequest,
    *,
    given: Collection[str] = (),
    observer: Observer | None = None,
    faults: Faults | None = None,
) -> dict[str, Any]:
    """Time the policy of a run's first seed; nothing is written.

    Args:
        run: Folder of the run.
        request: Batches, calls and seconds.
        given: Options that the user named, which are refused where nothing reads them.
        observer: Receives progress.
        faults: Faults of the request found so far.

    Returns:
        The summary's "latency": times for each batch size, devices, versions.
    """
    with faults or Faults():
        check_writable(run)
        policy = load_policy(run)
        check_spec(RunDirectory(run), policy.config)
        route = "under a budget" if policy.needs_budget else "without a budget"
        refuse_others(request, ROUTES[route], f"{policy.config.algorithm}, which plans under no budget", given=given)
    with (observer or Observer()).progress("timing", unit="calls") as line:
        records = [_time(policy, batch, request, line) for batch in request.batch]
    return {
        "batches": records,
        "devices": [device.device_kind for device in jax.devices()],
        "step": policy.step,
        "budget": request.budget if policy.needs_budget and np.isfinite(request.budget) else None,
        "versions": versions(),
    }


def _time(policy: LoadedPolicy, batch: int, request: LatencyRequest, line: Counter) -> dict[str, Any]:
    random = np.random.default_rng(0)
    session = policy.session(np.full(batch, request.budget) if policy.needs_budget else None)
    first = session.warm_up(batch)
    milliseconds: list[float] = []
    end = time.perf_counter() + request.seconds
    while len(milliseconds) < request.calls and (len(milliseconds) < FEWEST_CALLS or time.perf_counter() < end):
        observation = _observations(policy, batch, random)
        began = time.perf_counter()
        session.act(observation)
        milliseconds.append(1e3 * (time.perf_counter() - began))
        line.report(len(milliseconds), request.calls, phase=f"batch {batch}")
    return {
        "batch": batch,
        "calls": len(milliseconds),
        "first_call_seconds": first,
        "p50_ms": float(np.quantile(milliseconds, 0.5)),
        "p95_ms": float(np.quantile(milliseconds, 0.95)),
        "p99_ms": float(np.quantile(milliseconds, 0.99)),
    }


def _observations(policy: LoadedPolicy, batch: int, random: np.random.Generator) -> np.ndarray:
    """Vectors, or images where the policy sees."""
    spec = policy.config.spec
    if spec.image_shape is not None:
        return random.integers(256, size=(batch, *spec.image_shape), dtype=np.uint8)
    return random.standard_normal((batch, spec.observation_dim), dtype=np.float32)
