"""The data that a run was trained on, opened again in whatever format they are."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from surefoot.data import Dataset, library
from surefoot.data.frames import FrameData
from surefoot.data.selection import select
from surefoot.errors import SurefootError
from surefoot.tasks import Task, get_task
from surefoot.training import RunConfig, RunDirectory

_UP, _DOWN = 3, 3
"""Folders above a moved run, and parts of the data's old path, that are tried together."""


class RunData(NamedTuple):
    """Training data of a run, as transitions or frames, or the reason why there are none."""

    path: Path | None
    """File or folder of the data."""
    transitions: Dataset | None
    """Transitions of the selected episodes; None for images."""
    frames: FrameData | None
    """Frames of images, left in their file where the format allows it; None for vectors."""
    card: dict[str, Any]
    """Card of the data; empty where they have none."""
    reason: str
    """Reason why there are no data, a clause; empty where there are some."""


def run_data(run: RunDirectory, config: RunConfig) -> RunData:
    """Open the training data of a run, at their old path or near the run where both were moved together.

    Args:
        run: Folder of the run.
        config: Its configuration.

    Returns:
        The data if their fingerprint is the run's, else the reason why there are none.
    """
    if config.data_selection.get("offline_data") is False:
        return _none(f"{run.path} was fine-tuned without offline data")
    reasons = []
    for path in data_places(run, config):
        try:
            found = _opened(path, config)
        except SurefootError as error:
            reasons.append(str(error).rstrip("."))
            continue
        if found is not None:
            return found
        reasons.append(f"{path} holds other data than those that {run.path} was trained on")
    return _none(reasons[0] if reasons else f"{config.data_path or 'its place'} is gone")


def data_task(config: RunConfig) -> Task:
    """Task whose data a run was trained on; a fine-tuned run may have another task's."""
    named = config.data_selection.get("data_task", config.task)
    return config.known_task() if named == config.task else get_task(str(named))


def data_places(run: RunDirectory, config: RunConfig) -> Iterator[Path]:
    """Existing paths at which a run's data may be: their old path, then their name near the run.

    Args:
        run: Files of the run.
        config: Its configuration.

    Yields:
        Each path once.
    """
    if not config.data_path:
        return
    old = Path(config.data_path)
    folders = [run.path.resolve(), *run.path.resolve().parents][: _UP + 1]
    tails = [Path(*old.parts[-length:]) for length in range(1, min(_DOWN, len(old.parts) - 1) + 1)]
    seen: set[Path] = set()
    for path in (old, *(folder / tail for folder, tail in product(folders, tails))):
        if path not in seen and _exists(path):
            seen.add(path)
            yield path


def _exists(path: Path) -> bool:
    """Whether something lies there that this user may see."""
    try:
        return path.is_file() or path.is_dir()
    except (OSError, ValueError):
        return False


def _opened(path: Path, config: RunConfig) -> RunData | None:
    """The data at a path; None where they are not the run's."""
    task = data_task(config)
    card = library.card_of(path)
    if task.image_shape is None:
        transitions = select(library.load(path, task), config.data_selection)
        same = transitions.fingerprint() == config.data_fingerprint
        return RunData(path, transitions, None, card, "") if same else None
    frames = library.read_frames(path, task, in_files=True)
    same = frames.fingerprint() == config.data_fingerprint
    return RunData(path, None, frames, card, "") if same else None


def _none(reason: str) -> RunData:
    return RunData(None, None, None, {}, reason)
