"""The task of tests/own_plant.py, with changes to its file."""

from pathlib import Path

from tests import own_plant

from surefoot.tasks import Task, get_task


def plant(folder: Path, *changes: tuple[str, str]) -> Task:
    """The task of a file in the folder, in which each first text is replaced by the second."""
    text = own_plant.TASK
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "plant.toml"
    path.write_text(text)
    return get_task(str(path))
