"""Whether a task looks to a policy like the one that it was trained for, and takes its actions alike."""

from surefoot.errors import CheckpointError, ConfigError, option
from surefoot.runs.loaded import LoadedRun
from surefoot.tasks import Task
from surefoot.vision import from_json


def check_alike(loaded: LoadedRun, task: Task) -> None:
    """Refuse a run on a task that is another one to its policy: `ConfigError`, with the reason.

    A published checkpoint was once scored on the wrong robot, whose images and actions have the same shapes. Also
    `CheckpointError` where the run was trained with other cameras than its task has now.
    """
    trained = loaded.config.known_task()
    path = loaded.directory.path
    if task.spec != trained.spec:
        raise ConfigError(
            f"{option('task')}: expected a task that looks like {trained.name} ({trained.spec.worded}), found "
            f"{task.name} ({task.spec.worded})."
        )
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
