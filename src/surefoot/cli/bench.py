"""`surefoot bench act RUN`: how long a policy takes to act, in a control loop as a user would run it."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from surefoot.checkpoint import versions
from surefoot.cli.options import parse
from surefoot.cli.progress import ProgressLine
from surefoot.cli.routes import Routes, given_options, refuse_others
from surefoot.cli.terminal import say, say_lines
from surefoot.errors import check_name, flag
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.ranges import Range, check_fields
from surefoot.report.tables import plain_table
from surefoot.runs.origin import check_spec
from surefoot.runs.summary import merge_summary
from surefoot.training import LoadedPolicy, RunDirectory, load_policy

BENCHES = ("act",)
FEWEST_CALLS = 3


@dataclass(frozen=True, kw_only=True)
class BenchActOptions:
    """Time `act` of a run's policy in a control loop: the first call, which compiles, and the median and the 95th
    percentile of those after it. Weights and observations do not change the time of most policies; observations are
    drawn at random."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    batch: Annotated[tuple[int, ...], Range("[1, 2^20]", fewest=1)] = (1, 40)
    """Environments that step together."""
    calls: Annotated[int, Range("[3, 10^7]")] = 100
    """Calls of each batch size that are timed, at most."""
    seconds: Annotated[float, Range("[0, inf)")] = 30.0
    """Wall time for each batch size, about; three calls are timed in any case."""
    budget: Annotated[float, Range("[0, inf]")] = 1.0
    """What is left to a planner under budgets, in its own units; inf for no limit."""

    def __post_init__(self) -> None:
        check_fields(self, called=flag)


_COMMON = frozenset(("run", "batch", "calls", "seconds"))
ROUTES: Routes = {"without a budget": _COMMON, "under a budget": _COMMON | {"budget"}}
"""How a policy acts -> the options that are read."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    words = list(arguments)
    if not words or words[0] in ("-h", "--help"):
        say("usage: surefoot bench act RUN [options]")
        return
    check_name("bench", words[0], BENCHES)
    with Faults() as faults:
        options = parse(BenchActOptions, words[1:], command="bench act", faults=faults)
        found = bench_act(options, given=given_options(BenchActOptions, words[1:], refused=faults.flags), faults=faults)
    say_lines(_table(found))


def bench_act(options: BenchActOptions, *, given: Collection[str] = (), faults: Faults | None = None) -> dict[str, Any]:
    """Time the policy and note the figures in the run's summary, under "latency". `given`: the options that a command
    line names; `faults`: what is wrong with it so far."""
    with faults or Faults():
        check_writable(options.run)
        policy = load_policy(options.run)
        check_spec(RunDirectory(options.run), policy.config)
        route = "under a budget" if policy.needs_budget else "without a budget"
        refuse_others(options, ROUTES[route], f"{policy.config.algorithm}, which plans under no budget", given=given)
    with ProgressLine("timing", unit="calls") as line:
        records = [_time(policy, batch, options, line) for batch in options.batch]
    found = {
        "batches": records,
        "devices": [device.device_kind for device in jax.devices()],
        "step": policy.step,
        "budget": options.budget if policy.needs_budget and np.isfinite(options.budget) else None,
        "versions": versions(),
    }
    try:
        merge_summary(options.run, {"latency": found})
    except OSError:
        say_lines(_table(found))
        raise
    return found


def _time(policy: LoadedPolicy, batch: int, options: BenchActOptions, line: ProgressLine) -> dict[str, Any]:
    random = np.random.default_rng(0)
    session = policy.session(np.full(batch, options.budget) if policy.needs_budget else None)
    began = time.perf_counter()
    session.act(_observations(policy, batch, random))
    first = time.perf_counter() - began
    milliseconds: list[float] = []
    end = time.perf_counter() + options.seconds
    while len(milliseconds) < options.calls and (len(milliseconds) < FEWEST_CALLS or time.perf_counter() < end):
        observation = _observations(policy, batch, random)
        began = time.perf_counter()
        session.act(observation)
        milliseconds.append(1e3 * (time.perf_counter() - began))
        line.report(len(milliseconds), options.calls, phase=f"batch {batch}")
    return {
        "batch": batch,
        "calls": len(milliseconds),
        "first_call_seconds": first,
        "p50_ms": float(np.quantile(milliseconds, 0.5)),
        "p95_ms": float(np.quantile(milliseconds, 0.95)),
    }


def _observations(policy: LoadedPolicy, batch: int, random: np.random.Generator) -> np.ndarray:
    """Vectors, or images where the policy sees."""
    spec = policy.config.spec
    if spec.image_shape is not None:
        return random.integers(256, size=(batch, *spec.image_shape), dtype=np.uint8)
    return random.standard_normal((batch, spec.observation_dim), dtype=np.float32)


def _table(found: dict[str, Any]) -> str:
    return plain_table([_row(record) for record in found["batches"]])


def _row(record: dict[str, Any]) -> dict[str, str]:
    return {
        "environments": str(record["batch"]),
        "calls": str(record["calls"]),
        "first call, compiling": f"{record['first_call_seconds']:.2f} s",
        "median": f"{record['p50_ms']:.3g} ms",
        "95th percentile": f"{record['p95_ms']:.3g} ms",
        "median for each": f"{record['p50_ms'] / record['batch']:.3g} ms",
    }
