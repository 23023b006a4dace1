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
    """Run the unfinished cells of a benchmark plan in this process. `surefoot benchmark` runs cells in parallel.

    Args:
        plan: Plan, a TOML file (docs/benchmark.md).
        observer: Is told progress and results; None: remarks become Python warnings.
        options: As in `BenchmarkRequest`: `out`, `data`, `tasks`, `methods`, `held_out_look`, `workers` and so on.

    Returns:
        Page of the results.

    Raises:
        ConfigError: The plan or an option cannot be used.
    """
    request = BenchmarkRequest(**{"plan": Path(plan), **known_options(BenchmarkRequest, options)})
    done = run_benchmark(request, work=partial(train_and_measure, observer=observer or Observer()), observer=observer)
    return publish(done.results, done.store.results_path)
