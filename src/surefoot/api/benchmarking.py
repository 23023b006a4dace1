"""`surefoot.benchmark`: the methods of a plan on its tasks."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from surefoot.api.options import known_options
from surefoot.experiments.benchmark import BenchmarkRequest, run_benchmark
from surefoot.experiments.cell_work import train_and_measure
from surefoot.experiments.publish import publish
from surefoot.observer import Observer


def benchmark(plan: str | os.PathLike[str], *, observer: Observer | None = None, **options: Any) -> Path:
    """Run the unfinished cells of a plan in this process, and return the page of its results. `surefoot benchmark` runs
    cells in several processes, or on a cluster.

    Args:
        plan: The plan, a TOML file (docs/benchmark.md).
        observer: Hears of progress and results.
        options: As in `BenchmarkRequest`: `out`, `data`, `tasks`, `methods`, `held_out_look`, `workers` and so on.

    Raises:
        ConfigError: Where the plan or an option cannot be used.
    """
    request = BenchmarkRequest(**{"plan": Path(plan), **known_options(BenchmarkRequest, options)})
    done = run_benchmark(request, work=partial(train_and_measure, observer=observer or Observer()), observer=observer)
    return publish(done.results, done.store.results_path)
