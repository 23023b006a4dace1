"""`surefoot bench act RUN`: how long a policy takes to act, in a control loop as a user would run it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from surefoot.cli.options import parse
from surefoot.cli.progress import Terminal
from surefoot.cli.routes import given_options
from surefoot.cli.terminal import say, say_lines
from surefoot.errors import check_name
from surefoot.evaluation.latency import LatencyRequest, measure_latency
from surefoot.faults import Faults
from surefoot.report.tables import plain_table
from surefoot.runs.summary import merge_summary

BENCHES = ("act",)


@dataclass(frozen=True, kw_only=True)
class BenchActOptions(LatencyRequest):
    """Time `act` of a run's policy in a control loop: what compiles before the first call, and the median, the 95th and
    the 99th percentile of the calls. Weights and observations do not change the time of most policies; observations are
    drawn at random."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    words = list(arguments)
    if not words or words[0] in ("-h", "--help"):
        say("usage: surefoot bench act RUN [options]")
        return
    check_name("bench", words[0], BENCHES)
    with Faults() as faults:
        options = parse(BenchActOptions, words[1:], command="bench act", faults=faults)
        given = given_options(BenchActOptions, words[1:], refused=faults.flags)
        found = measure_latency(options.run, options, given=given, observer=Terminal(), faults=faults)
    say_lines(_table(found))
    merge_summary(options.run, {"latency": found})


def _table(found: dict[str, Any]) -> str:
    return plain_table([_row(record) for record in found["batches"]])


def _row(record: dict[str, Any]) -> dict[str, str]:
    return {
        "environments": str(record["batch"]),
        "calls": str(record["calls"]),
        "compiling": f"{record['first_call_seconds']:.2f} s",
        "median": f"{record['p50_ms']:.3g} ms",
        "95th percentile": f"{record['p95_ms']:.3g} ms",
        "99th percentile": f"{record['p99_ms']:.3g} ms",
        "median for each": f"{record['p50_ms'] / record['batch']:.3g} ms",
    }
