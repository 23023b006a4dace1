"""What draws for the cameras of a task."""

from surefoot.observer import Observer
from surefoot.tasks import Task


def choose_renderer(task: Task, observer: Observer) -> str:
    """Choose what draws, and tell it; its name. Raises `SimulatorError` where this machine cannot draw."""
    from surefoot.envs.simulators import drawing

    renderer = drawing.choose_renderer(task.name).upper()
    observer.note(f"{task.name}: drawn by {renderer}.")
    return renderer
