"""`surefoot.sweep`: an algorithm on several shares of a task's data."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surefoot import presets
from surefoot.api.options import seeds_of, training_options
from surefoot.api.run import Run
from surefoot.api.training import algorithm_by_preset
from surefoot.data.own_tasks import find_task
from surefoot.experiments.sweep import SweepRequest, SweepSettings
from surefoot.experiments.sweep import sweep as train_shares
from surefoot.experiments.unread import refuse_unread
from surefoot.faults import Faults
from surefoot.observer import Observer
from surefoot.protocols import Algorithm
from surefoot.tasks import Task


def sweep(
    algorithm: Algorithm | str,
    data: str | os.PathLike[str],
    task: Task | str,
    *,
    out: str | os.PathLike[str],
    seeds: int | Sequence[int] = 3,
    preset: str = presets.DEFAULT_PRESET,
    observer: Observer | None = None,
    **options: Any,
) -> dict[float, Run]:
    """Train and evaluate an algorithm on several shares of a task's data, as `surefoot sweep` does.

    Runs that are finished in `out` are neither trained nor evaluated again.

    Args:
        algorithm: Algorithm or its name, as of `train`.
        data: File to train on.
        task: A `Task`, or a name.
        out: Folder of the runs, their rows and figures, made if missing.
        seeds: Number of seeds of each run, where 3 means 0, 1 and 2, or the seeds.
        preset: Name of the hyper-parameters to begin with.
        observer: Is told progress, remarks and results; None: remarks become Python warnings.
        options: As in `SweepSettings`: `fraction`, `data_filter`, `protocol`, `episodes`, `workers`, `log_interval`,
            `checkpoint_interval`.

    Returns:
        Share of the data -> run.

    Raises:
        ConfigError: Options cannot be used; one sentence names all of them.
        DataError: The data cannot be used.
        UnknownNameError: A name or an option is not known.
    """
    with Faults() as faults:
        found = find_task(task, data=Path(data)) if isinstance(task, str) else task
        name, exact, defaults = algorithm_by_preset(algorithm, found, preset)
        given = training_options(SweepSettings, options, name, exact)
        refuse_unread(exact, defaults, faults)
        request = SweepRequest(
            **given, algorithm=exact, name=name, preset=preset, task=found, data=Path(data), out=Path(out),
            seeds=faults.attempt(lambda: seeds_of(seeds), (0,)),
        )  # fmt: skip
        records = train_shares(
            request, command=("surefoot.sweep", name, found.name), observer=observer or Observer(),
            given=tuple(options), faults=faults,
        )  # fmt: skip
    return {fraction: Run(request.out / f"fraction_{fraction:g}") for fraction, _ in records}
