"""Checks that a task has the observations and actions of the task that a policy was trained for."""

from surefoot.errors import CheckpointError, ConfigError, option
from surefoot.runs.loaded import LoadedRun
from surefoot.tasks import TASKS, Task, get_task
from surefoot.tasks.own_task import completed, is_task_file, task_of
from surefoot.tasks.read_task_file import read_task_file
from surefoot.tasks.task_file import TaskFile
from surefoot.vision import from_json


def name_of(other: str) -> str:
    """Name of a task given by name or as a task file; the file may leave entries to a log."""
    return read_task_file(other).task.name if is_task_file(other) else get_task(other).name


def task_beside(loaded: LoadedRun, other: str | Task | None) -> Task:
    """The task to evaluate a run's policy in: its own, or another.

    Args:
        loaded: The run.
        other: Name, task file or task; None: the run's. Entries that a file leaves to a log are taken from the run's
            task file.

    Returns:
        The task.

    Raises:
        ConfigError: There is no such task, or its file cannot be used.
    """
    trained = loaded.config.known_task()
    if other is None:
        return trained
    if trained.file is None:
        return get_task(other)
    if isinstance(other, str) and is_task_file(other):
        return task_of(completed(read_task_file(other, taken=list(TASKS)), trained.file))
    task = get_task(other)
    return task if task.file is None else task_of(completed(task.file, trained.file))


def check_alike(loaded: LoadedRun, task: Task) -> None:
    """Refuse a task whose observations or actions differ from those of a run.

    Observations and actions of two task files must agree by name, unit and bounds; rewards and costs may differ. Shapes
    alone are not enough: a published checkpoint was once scored on the wrong robot.

    Args:
        loaded: The run.
        task: Task to evaluate it in.

    Raises:
        ConfigError: Observations or actions differ.
        CheckpointError: The run was trained with other cameras than its task has now.
    """
    trained = loaded.config.known_task()
    path = loaded.directory.path
    if task.spec != trained.spec:
        raise ConfigError(
            f"{option('task')}: expected a task that looks like {trained.name} ({trained.spec.worded}), found "
            f"{task.name} ({task.spec.worded})."
        )
    if trained.file is not None and task.file is not None:
        _check_files(trained.file, task.file, task.name)
        return
    learned = from_json(loaded.config.data_selection.get("vision"))
    if trained.vision is not None and (learned is None or learned.differs(trained.vision)):
        reason = (
            f"{trained.name} with {learned.differs(trained.vision)}"
            if learned
            else "a record of its cameras, found none"
        )
        raise CheckpointError(f"{path}: expected {reason}; train it again, for another camera is another task.")
    if trained.vision is None or task.name == trained.name:
        if trained.vision is None and task.name != trained.name and task.image_shape is None:
            raise ConfigError(f"{option('task')}: expected none for a run on {trained.name}, found {task.name}.")
        return
    if (why := trained.vision.differs(task.vision)) is not None:
        raise ConfigError(f"{option('task')} {task.name}: expected the task of {path}, {trained.name}, with {why}.")


def rate_remarks(loaded: LoadedRun, task: Task) -> list[str]:
    """Remarks on rate limits of actions other than those that a policy was trained with, a sentence each.

    Args:
        loaded: The run.
        task: Task to act in, alike as of `check_alike`.

    Returns:
        Sentences; none without another task file.
    """
    trained, found = loaded.config.known_task().file, task.file
    if trained is None or found is None or trained.action.rate_limit == found.action.rate_limit:
        return []
    there, here = _listed(trained.action.rate_limit), _listed(found.action.rate_limit)
    return [
        f"{option('task')} {task.name}: action.rate_limit: {here}, where the policy was trained with {there}; "
        f"its values know the plant at the rates of its log."
    ]


def _check_files(trained: TaskFile, found: TaskFile, name: str) -> None:
    """Refuse a task file whose observations or actions are others than those that a policy was trained with."""
    for (key, there), here in zip(_seen_and_done(trained).items(), _seen_and_done(found).values(), strict=True):
        if there != here:
            raise ConfigError(
                f"{option('task')} {name}: {key}: expected {_listed(there)}, as the policy was trained with, found "
                f"{_listed(here)}."
            )


def _seen_and_done(file: TaskFile) -> dict[str, tuple[object, ...]]:
    """What a task file says of a policy's inputs and outputs, by its keys."""
    seen, done = file.observation, file.action
    low, high = done.bounds
    return {
        "observation.columns": seen.columns, "observation.units": tuple(sorted(seen.units.items())),
        "action.columns": done.columns, "action.units": tuple(sorted(done.units.items())),
        "action.low": low, "action.high": high,
    }  # fmt: skip


def _listed(values: tuple[object, ...]) -> str:
    """Entries of a key as a sentence has them; none are "none"."""
    return ", ".join(" = ".join(one) if isinstance(one, tuple) else f"{one}" for one in values) or "none"
