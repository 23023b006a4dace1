"""What the data commands read and write: a dataset by file or by task, and a new file with its card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from surefoot import data
from surefoot.checkpoint import versions
from surefoot.cli.collect import coverage
from surefoot.cli.terminal import say
from surefoot.data import Dataset, library
from surefoot.errors import ConfigError, DataError
from surefoot.tasks import TASKS, Task, get_task


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which dataset."""

    source: tyro.conf.Positional[str]
    """HDF5 file (DSRL's or D4RL's), folder of a Minari dataset, or a task's name: its file in DSRL's folder."""
    task: str | None = None
    """Name of the task; by default as the data's card or the published file's name says."""

    def resolve(self) -> tuple[Path, Task]:
        """Where the data lie, and their task. Raises `ConfigError` where the task is not known."""
        path = Path(self.source)
        named = {task.dsrl_id for task in TASKS.values()} | set(TASKS)
        if not path.exists() and self.source in named:
            task = get_task(self.source)
            return library.find(task), task
        if not path.exists():
            raise DataError(f"{path}: expected a file, a folder or a task's name, found nothing of that name.")
        found = get_task(self.task) if self.task is not None else library.task_of(path)
        if found is None:
            raise ConfigError(
                f"{path}: neither a card nor its name says whose data they are; name the task with --task."
            )
        return path, found


@dataclass(frozen=True)
class Opened:
    """A dataset and where it came from."""

    path: Path
    task: Task
    dataset: Dataset
    card: dict[str, Any]


def open_source(options: Source) -> Opened:
    """Read and check the dataset."""
    path, task = options.resolve()
    dataset = library.read(path, task)
    return Opened(path, task, dataset, library.card_of(path))


def check_output(out: Path, *, overwrite: bool) -> None:
    """`ConfigError` before any work where `out` exists and must not be replaced."""
    if out.exists() and not overwrite:
        raise ConfigError(f"{out}: it exists already; add --overwrite to replace a file, or choose another with --out.")


def write_result(out: Path, result: Dataset, opened: Opened, what: str, settings: dict[str, Any]) -> None:
    """Write a filtered dataset with a card that says how it was made, and of what."""
    card = {
        "task": opened.task.name,
        "recipe": f"surefoot data {what}",
        "settings": settings,
        "versions": versions(),
        "coverage": coverage(result),
        "made_from": {"file": opened.path.name, "fingerprint": opened.dataset.fingerprint(), "card": opened.card},
    }
    data.save(out, result, card=card)
    before, after = len(opened.dataset.lengths), len(result.lengths)
    say(f"{out}: {after:,} of {before:,} episodes, {len(result):,} transitions.")
