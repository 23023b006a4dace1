"""What the commands do with the files of a run: checking the folder, merging the summary, finding the data."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import data
from surefoot.cli.selection import select
from surefoot.data import Dataset, episode_files, library, pixels
from surefoot.data.frames import FrameData
from surefoot.data.npz_files import Field, check_fields, read_npz
from surefoot.errors import ConfigError, DataError
from surefoot.files import replacement, sweep, write_json
from surefoot.tasks import Task, get_task
from surefoot.training import RunConfig, RunDirectory

SUMMARY = "summary.json"


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, without locks and half-written files; nothing where it does not exist.

    Raises `ConfigError` where something else than a folder has its name.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: expected a folder to write to, found a file.")
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []


def check_output_folder(out: Path, *, resume: bool) -> None:
    """`ConfigError` where `out` holds something and is not to be, or cannot be, resumed. Touches nothing."""
    if not visible(out):
        return
    if not resume:
        raise ConfigError(
            f"{out}: expected an empty or new folder, found files; add --resume to go on with the run in it, "
            f"or choose another folder with --out."
        )
    if not RunDirectory(out).config_path.exists():
        raise ConfigError(f"{out}: expected a run to resume, found other files; choose another folder with --out.")


def read_summary(run: Path) -> dict[str, Any]:
    """The run's summary; empty where none was written. Raises `ConfigError` where it is not one."""
    path = run / SUMMARY
    if not path.exists():
        return {}
    try:
        summary = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected JSON, found something that cannot be read.") from error
    if not isinstance(summary, dict):
        raise ConfigError(f"{path}: expected a table of keys, found JSON of a {type(summary).__name__}.")
    return summary


def merge_summary(run: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the given keys of the run's summary, in one step; returns the whole."""
    summary = {**read_summary(run), **changes}
    write_json(run / SUMMARY, summary)
    return summary


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An .npz file in one step."""
    sweep(path.parent)
    with replacement(path) as temporary, temporary.open("xb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())


def read_arrays(path: Path, *groups: Mapping[str, Field], what: str = "arrays") -> dict[str, np.ndarray]:
    """The arrays of such a file that `groups` declare, each group as a whole or not at all; empty where there is none.

    Raises `ConfigError` where it cannot be read as `what`.
    """
    if not path.exists():
        return {}
    try:
        arrays = read_npz(path, only=set().union(*groups))
        for group in groups:
            if group.keys() & arrays.keys():
                check_fields(path, arrays, group)
    except DataError as error:
        detail = str(error).removeprefix(f"{path}: ").removesuffix(".")
        raise ConfigError(
            f"{path}: expected {what}, found a file that cannot be read ({detail}); evaluate again."
        ) from error
    return arrays


def run_data(run: RunDirectory, config: RunConfig) -> Dataset | None:
    """The transitions that a run was trained on, its selection of the file; None where they are gone, no longer the
    same, or images (`run_frames`).

    They are looked for where they were, then in the run's folder, which may have been moved as a whole.
    """
    if get_task(config.task).image_shape is not None:
        return None
    for path in (Path(config.data_path), run.path / Path(config.data_path).name):
        if path.is_file():
            dataset = select(library.read(path, get_task(config.task)), config.data_selection)
            if dataset.fingerprint() == config.data_fingerprint:
                return dataset
    return None


def run_frames(run: RunDirectory, config: RunConfig) -> FrameData | None:
    """The same for a run on images."""
    task = get_task(config.data_selection.get("data_task", config.task))  # a fine-tuned run's data are another task's
    if task.image_shape is None:
        return None
    for path in (Path(config.data_path), run.path / Path(config.data_path).name):
        if path.is_file() or episode_files.is_folder_of_episodes(path):
            frames = load_frames(path, task)
            if frames.fingerprint() == config.data_fingerprint:
                return frames
    return None


def load_frames(path: Path, task: Task) -> FrameData:
    """The frames of a file or of a folder of episodes; the images stay there."""
    if episode_files.is_folder_of_episodes(path):
        return episode_files.load(path, task, in_memory=False)
    return pixels.load(path, task, mapped=True)


def data_card(run: RunDirectory, config: RunConfig) -> dict[str, Any]:
    """The card of the run's data; empty where the file is gone."""
    for path in (Path(config.data_path), run.path / Path(config.data_path).name):
        if path.is_file():
            return data.read_card(path)
        if episode_files.is_folder_of_episodes(path):
            return episode_files.read_card(path)
    return {}
