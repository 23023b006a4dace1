"""The data that a run was trained on, opened again: one way for all commands, whatever the format."""

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
    """What a run was trained on, of which one of transitions and frames is there, or why neither is."""

    path: Path | None
    """Where the data lie."""
    transitions: Dataset | None
    """The episodes that the run selected."""
    frames: FrameData | None
    """Images, left in their file where the format allows it."""
    card: dict[str, Any]
    """Of the data; empty where they have none."""
    reason: str
    """Why there are no data, as a sentence without its end; empty where there are some."""


def run_data(run: RunDirectory, config: RunConfig) -> RunData:
    """Open the data of a run: those that lie where they lay, or beside the run where both were moved together.

    Only data of the fingerprint that the run was trained on are taken.
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
    """Whose data a run was trained on: a fine-tuned run's are another task's."""
    named = config.data_selection.get("data_task", config.task)
    return config.known_task() if named == config.task else get_task(str(named))


def data_places(run: RunDirectory, config: RunConfig) -> Iterator[Path]:
    """Where the data of a run may lie: at their old path, or under their name near the run, as far as anything does."""
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
        transitions = select(library.read(path, task), config.data_selection)
        same = transitions.fingerprint() == config.data_fingerprint
        return RunData(path, transitions, None, card, "") if same else None
    frames = library.read_frames(path, task, in_files=True)
    same = frames.fingerprint() == config.data_fingerprint
    return RunData(path, None, frames, card, "") if same else None


def _none(reason: str) -> RunData:
    return RunData(None, None, None, {}, reason)
