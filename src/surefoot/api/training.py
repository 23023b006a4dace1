"""`surefoot.train`: training of an algorithm on episodes, into a run."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surefoot import presets
from surefoot.algorithms import algorithm_class, name_of
from surefoot.api.options import seeds_of, training_options
from surefoot.api.run import Run
from surefoot.data.episodes import Episodes
from surefoot.data.own_tasks import find_task, kept_file
from surefoot.errors import ConfigError
from surefoot.experiments.agreement import check_agreement
from surefoot.experiments.train import train_run
from surefoot.experiments.train_request import TrainRequest, TrainSettings
from surefoot.experiments.unread import refuse_unread
from surefoot.faults import Faults
from surefoot.hyperparameters import change, flat
from surefoot.observer import Observer
from surefoot.protocols import Algorithm
from surefoot.runs.origin import check_spec
from surefoot.runs.output_folder import check_output_folder
from surefoot.tasks import Task
from surefoot.tasks.own_task import difference_of, task_of
from surefoot.training import RunDirectory


def train(
    algorithm: Algorithm | str,
    episodes: Episodes | str | os.PathLike[str] | None,
    task: Task | str | None = None,
    *,
    out: str | os.PathLike[str],
    seeds: int | Sequence[int] = 1,
    preset: str | None = presets.DEFAULT_PRESET,
    resume: bool = False,
    wandb: bool = False,
    observer: Observer | None = None,
    **settings: Any,
) -> Run:
    """Train all seeds side by side, as `surefoot train` does. Warns of suspicious data.

    Args:
        algorithm: Algorithm, such as `surefoot.FISOR()`, or its name. Fields that differ from the algorithm's own
            defaults, as in `surefoot.FISOR(num_candidates=4)`, stay; the others come from `preset` and the task.
        episodes: Training data: `Episodes`, of which the run keeps a copy; a file or folder; or None for the task's
            published file.
        task: A `Task`, or a name; None: that of the episodes.
        out: Folder of the run, made if missing.
        seeds: Number of seeds, where 3 means 0, 1 and 2, or the seeds.
        preset: Name of the hyper-parameters to begin with; None: the algorithm exactly as it is.
        resume: Whether to resume the run in the folder, which ends with the same bits.
        wandb: Whether metrics are also sent to Weights & Biases.
        observer: Is told progress, remarks and results; None: remarks become Python warnings.
        settings: As in `TrainSettings`: `held_out`, `data_filter`, `fraction`, `log_interval`, `checkpoint_interval`,
            `stream`, `share`.

    Returns:
        The run.

    Raises:
        ConfigError: Options cannot be used; one sentence names all of them.
        DataError: The data cannot be used.
        UnknownNameError: A name or an option is not known.
    """
    with Faults() as faults:
        source = episodes if isinstance(episodes, Episodes) or episodes is None else Path(episodes)
        found = _task(source, task)
        name, exact, defaults = algorithm_by_preset(algorithm, found, preset)
        given = training_options(TrainSettings, settings, name, exact)
        refuse_unread(exact, defaults, faults)
        place, directory = Path(out), RunDirectory(Path(out))
        with faults.also():
            check_output_folder(place, resume=resume)
        request = TrainRequest(
            **given, algorithm=exact, name=name, preset=preset, task=found, out=place,
            data=source.dataset if isinstance(source, Episodes) else source,
            seeds=faults.attempt(lambda: seeds_of(seeds), (0,)), resume=resume, wandb=wandb,
        )  # fmt: skip
        if resume and directory.config_path.exists():
            with faults.also():
                check_spec(directory, directory.read_config())
            check_agreement(directory, request, faults)
        train_run(request, command=("surefoot.train", name, found.name), observer=observer, faults=faults)
    return Run(place)


def _task(episodes: Episodes | Path | None, task: Task | str | None) -> Task:
    """The task of the data, which must be the one that is given."""
    if task is None and not isinstance(episodes, Episodes):
        raise ConfigError("task: expected one beside a file, found none.")
    place = episodes if isinstance(episodes, Path) else None
    given = find_task(task, data=place) if isinstance(task, str) else task
    if place is not None and isinstance(task, Task) and task.file is not None:
        kept = kept_file(place)
        there = None if kept is None or kept.task.name != task.name else task_of(kept)
    else:
        there = episodes.task if isinstance(episodes, Episodes) else None
    if given is None or there is None or given == there:
        found = there or given
        assert found is not None
        return task_of(found.file) if found.file is not None else found  # refused where columns are still patterns
    if given.file is None or there.file is None or difference_of(given.file, there.file) is not None:
        raise ConfigError(f"task: expected the task {there.name} as the data were read with, found another one.")
    return there


def algorithm_by_preset(algorithm: Algorithm | str, task: Task, preset: str | None) -> tuple[str, Algorithm, Algorithm]:
    """Algorithm with the hyper-parameters of a preset.

    Args:
        algorithm: Algorithm, whose fields that differ from its defaults stay, or its name.
        task: Task of the data.
        preset: Name of a preset; None: the algorithm exactly as it is.

    Returns:
        (name, algorithm to train, algorithm as the preset alone makes it).
    """
    kind = algorithm_class(algorithm) if isinstance(algorithm, str) else type(algorithm)
    given = kind() if isinstance(algorithm, str) else algorithm
    name = algorithm if isinstance(algorithm, str) else name_of(algorithm)
    if preset is None:
        return name, given, given
    defaults, own = presets.build(name, task, preset=preset), flat(kind())
    changes = {field: value for field, value in flat(given).items() if value != own[field]}
    return name, change(defaults, **changes), defaults
