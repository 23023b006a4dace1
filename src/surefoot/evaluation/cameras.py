"""Choice of a renderer for the cameras of a task."""

from surefoot.observer import Observer
from surefoot.tasks import Task


def choose_renderer(task: Task, observer: Observer) -> str:
    """Choose a renderer that works on this machine, and tell the observer.

    Args:
        task: Task of images.
        observer: Receives a note.

    Returns:
        Name of the renderer.

    Raises:
        SimulatorError: This machine cannot draw.
    """
    from surefoot.envs.simulators import drawing

    renderer = drawing.choose_renderer(task.name).upper()
    observer.note(f"{task.name}: drawn by {renderer}.")
    return renderer
