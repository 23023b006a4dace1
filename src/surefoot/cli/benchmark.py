"""`surefoot benchmark PLAN.toml`: methods on tasks, each cell trained and measured once, into one store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from surefoot.cli.benchmark_cell import work
from surefoot.cli.options import given_options, parse
from surefoot.cli.progress import Terminal
from surefoot.cli.terminal import say, say_lines, warn
from surefoot.experiments.benchmark import ROUTES, BenchmarkRequest, run_benchmark
from surefoot.experiments.publish import publish
from surefoot.jax_start import one_thread_a_device
from surefoot.observer import StrictOption
from surefoot.report.benchmark_tables import CAPTION, benchmark_rows, failures, overall_rows
from surefoot.report.tables import plain_table
from surefoot.routes import refuse_others


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(BenchmarkRequest, StrictOption):
    """Train and measure the methods of a plan on its tasks, and write tables, figure and page. Killed and started again
    it goes on; a finished cell is never run again. Held-out tasks are left out unless a look at them is asked for."""

    plan: tyro.conf.Positional[Path]
    """The plan, a TOML file (docs/benchmark.md)."""
    results_only: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run nothing: write the results of what is done."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    one_thread_a_device()
    options = parse(BenchmarkOptions, arguments, command="benchmark")
    given = given_options(BenchmarkOptions, arguments)
    refuse_others(options, ROUTES[options.executor], f"the executor {options.executor}", given=given)
    plan, results, store = run_benchmark(options, work=work, observer=Terminal())
    for protocol in plan.protocols:
        say_lines(plain_table(benchmark_rows(results.summary, protocol)))
        say(CAPTION)
        if rows := overall_rows(results.summary, protocol):
            say_lines(f"\n{plain_table(rows)}")
    for sentence in failures(results.summary):
        warn(sentence)
    page = publish(results, store.results_path)  # last: a full disk takes no table from the screen
    say(f"The page lies at {page}")
