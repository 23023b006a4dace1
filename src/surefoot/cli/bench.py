"""`surefoot bench act RUN`: how long a policy takes to act, in a control loop as a user would run it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from surefoot.cli.options import gathering
from surefoot.cli.progress import Terminal
from surefoot.cli.terminal import say, say_lines
from surefoot.errors import check_name
from surefoot.evaluation.latency import LatencyRequest, measure_latency
from surefoot.report.found_rows import latency_rows
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
    name, words = (arguments[0], arguments[1:]) if arguments else ("--help", ())
    if name in ("-h", "--help"):
        say("usage: surefoot bench act RUN [options]")
        return
    check_name("bench", name, BENCHES)
    with gathering(BenchActOptions, words, command="bench act") as (options, given, faults):
        found = measure_latency(options.run, options, given=given, observer=Terminal(), faults=faults)
    say_lines(plain_table(latency_rows(found)))
    merge_summary(options.run, {"latency": found})
