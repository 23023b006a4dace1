"""`surefoot.sweep`: an algorithm on several shares of the data."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surefoot import presets
from surefoot.api.options import known_options, seeds_of
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
    """Train and measure an algorithm on several shares of a task's data, as `surefoot sweep` does, and return the run
    of each share. What is finished in `out` is neither trained nor measured again.

    Args:
        algorithm: As in `train`.
        data: The file to train on.
        task: A `Task`, or a name.
        out: Folder of the runs, the rows of all and the bars of their figures, made if missing.
        seeds: Of every run: how many, 3 being 0, 1 and 2, or which.
        preset: Named hyper-parameters to begin with.
        observer: Hears of progress, remarks and results.
        options: As in `SweepSettings`: `fraction`, `data_filter`, `protocol`, `episodes`, `workers`, `log_interval`,
            `checkpoint_interval`.

    Raises:
        ConfigError: One sentence on everything in the options that cannot be used.
        DataError: Where the data cannot be.
        UnknownNameError: For a name or an option that there is not.
    """
    with Faults() as faults:
        given = known_options(SweepSettings, options)
        found = find_task(task, data=Path(data)) if isinstance(task, str) else task
        name, exact, defaults = algorithm_by_preset(algorithm, found, preset)
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
