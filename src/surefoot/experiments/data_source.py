"""Source and target of commands on data files: the dataset to read, and the new file with its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from surefoot.checkpoint import versions
from surefoot.data import Dataset, library, save
from surefoot.data.describe import Description, coverage, image_range
from surefoot.data.frames import FrameData
from surefoot.data.own_tasks import find_task
from surefoot.data.remarks import few_episodes, remarks
from surefoot.errors import ConfigError, DataError, option
from surefoot.file_sets import check_file_place, check_writable
from surefoot.observer import Observer, StrictOption
from surefoot.routes import POSITIONAL, SWITCH
from surefoot.tasks import TASKS, Task, get_task


@dataclass(frozen=True, kw_only=True)
class Source(StrictOption):
    """Which dataset."""

    source: Annotated[str, POSITIONAL]
    """HDF5 file (DSRL's or D4RL's, or frames of images), folder of a Minari dataset, of episodes of images or of their
    chunks, or a task's name: its file in DSRL's folder."""
    task: str | None = None
    """Name of the task, or a task file that ends in .toml; by default as the data's card or the published file's name
    says."""

    def resolve(self) -> tuple[Path, Task]:
        """Path of the data, and their task. Raises `ConfigError` where the task is not known, `DataError` where there
        are no data."""
        path = Path(self.source)
        named = {task.dsrl_id for task in TASKS.values()} | set(TASKS)
        if not path.exists() and self.source in named:
            task = get_task(self.source)
            if self.task is not None and get_task(self.task) != task:
                raise ConfigError(
                    f"{option('task')}: expected none for the published data of {task.name}, found {self.task}."
                )
            return library.find(task), task
        if not path.exists():
            raise DataError(f"{path}: expected a file, a folder or a task's name, found nothing of that name.")
        found = find_task(self.task, data=path) if self.task is not None else library.task_of(path)
        if found is None:
            library.format_of(path)  # says so where there are no data at all
            raise ConfigError(
                f"{path}: neither a card nor its name says whose data they are; name the task with {option('task')}."
            )
        return path, found


@dataclass(frozen=True, kw_only=True)
class Written(Source):
    """Which dataset, and the file that becomes of it."""

    out: Path
    """HDF5 file to write."""
    overwrite: Annotated[bool, SWITCH] = False
    """Replace the file if it exists."""


@dataclass(frozen=True)
class Opened:
    """A dataset with its origin."""

    path: Path
    task: Task
    data: Dataset | FrameData
    card: dict[str, Any]
    remarks: list[str]
    """Remarks on suspicious data, a sentence each."""

    @property
    def dataset(self) -> Dataset:
        """The transitions. Raises `DataError` for images."""
        if isinstance(self.data, FrameData):
            raise DataError(f"{self.path}: expected transitions of vectors, found images of {self.task.name}.")
        return self.data


def open_source(options: Source, observer: Observer) -> Opened:
    """Read and check a dataset, with remarks on suspicious data.

    Args:
        options: Source of the data.
        observer: Receives progress and remarks.

    Returns:
        The dataset.

    Raises:
        DataError: The data cannot be read.
    """
    path, task = options.resolve()
    data: Dataset | FrameData
    if task.image_shape is None:
        data = library.load(path, task)
    else:
        with observer.progress(f"reading {path.name}", unit="episodes") as line:
            data = library.read_frames(path, task, in_files=True, on_progress=line.report)
    found = remarks(data, task, place=str(path))
    observer.remark(found)
    return Opened(path, task, data, library.card_of(path), found)


def check_outside(out: Path, source: Path) -> None:
    """Refuse a file in the source's folder, in which it would count as a part of the data.

    Args:
        out: Path of the file.
        source: Path of the source.

    Raises:
        ConfigError: The file would lie in the source's folder.
    """
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{option('out')}: expected a place outside of the folder {source}, found {out}.")


def check_output(out: Path, *, overwrite: bool, suffixes: Sequence[str] = ()) -> None:
    """Check a file to write before any work.

    Args:
        out: The file.
        overwrite: Replace it if it exists.
        suffixes: Accepted suffixes; none: all.

    Raises:
        ConfigError: It exists and must not be replaced, cannot be written, or has another suffix.
    """
    if suffixes and out.suffix.lower() not in suffixes:
        raise ConfigError(f"{option('out')}: expected a name that ends in {' or '.join(suffixes)}, found {out}.")
    if out.exists() and not overwrite:
        raise ConfigError(
            f"{out}: it exists already; add {option('overwrite')} to replace a file, or choose another with "
            f"{option('out')}."
        )
    if overwrite:
        check_file_place(out)
    check_writable(out.parent)


def write_result(
    out: Path, result: Dataset, opened: Opened, what: str, settings: dict[str, Any], observer: Observer
) -> None:
    """Write a filtered dataset with a card of its making and its origin.

    Args:
        out: File to write.
        result: The new dataset.
        opened: The source.
        what: Name of the filter.
        settings: Settings of the filter.
        observer: Receives remarks and the result.

    Raises:
        DataError: The dataset cannot be written.
    """
    check_outside(out, opened.path)
    card = {
        "task": opened.task.name,
        "recipe": f"surefoot data {what}",
        "settings": settings,
        "versions": versions(),
        "coverage": coverage(result),
        "made_from": {"file": opened.path.name, "fingerprint": opened.dataset.fingerprint(), "card": opened.card},
    }
    if library.TASK_FILE in opened.card:
        card[library.TASK_FILE] = opened.card[library.TASK_FILE]
    if opened.remarks:
        card["remarks"] = opened.remarks
    before, after = len(opened.dataset.lengths), len(result.lengths)
    observer.remark(few_episodes(after, before, what=f"{opened.path}: {what}"))
    save(out, result, card=card)
    observer.say(f"{out}: {after:,} of {before:,} episodes, {len(result):,} transitions.")


def facts_of(found: Description, opened: Opened) -> dict[str, str]:
    """Facts of a dataset in words, by name.

    Args:
        found: Counts of the dataset.
        opened: The dataset.

    Returns:
        Name -> text.
    """
    facts: dict[str, Any] = {
        "transitions": f"{found.transitions:,}",
        "episodes": _episodes(found, opened.task.horizon),
        "after the last end": f"{found.unfinished_rows:,} transitions of an unfinished episode",
        "steps with a cost": f"{found.costly_steps:.1%}",
        **_images(opened),
        "origin": opened.card.get("origin") or opened.card.get("recipe") or "no card",
    }
    return {name: str(value) for name, value in facts.items()}


def _episodes(found: Description, horizon: int) -> str:
    ends = f"{found.terminated:,} terminated, the others cut"
    if found.limit_length is not None:
        limit = "the horizon" if found.limit_length == horizon else "one length for all"
        ends += f"; those after {found.limit_length} steps, {limit}, look cut by a time limit"
    return f"{found.episodes:,} ({ends})"


def _images(opened: Opened) -> dict[str, str]:
    """What the observations are, where they are images."""
    if not isinstance(opened.data, FrameData):
        return {}
    count, *shape = opened.data.observations.shape
    low, high = image_range(opened.data)
    return {"images": f"{count:,} of {' x '.join(map(str, shape))}, values {low} to {high}"}
