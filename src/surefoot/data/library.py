"""Reading of data by task and format, and DSRL's folder: `~/.dsrl/datasets`, or the folder that DSRL_DATASET_DIR names.

The folder's manifest holds size and SHA-256 of every downloaded file. A file that is not in it is recorded at its first
download; later its bytes must be equal.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from surefoot.data import episode_files, hdf5, npz_chunks, pixels
from surefoot.data.checks import refuse
from surefoot.data.d4rl import labeller_of, load_d4rl
from surefoot.data.dataset import Dataset
from surefoot.data.download import Known, OnBytes, fetch, sha256_of
from surefoot.data.frames import FrameData
from surefoot.data.minari import is_minari, load_minari, read_minari_card
from surefoot.data.storage import has_key, reading
from surefoot.data.writing import replacing
from surefoot.errors import ConfigError, DataError, option
from surefoot.files import write_json
from surefoot.json_files import read_json
from surefoot.locks import holding_file
from surefoot.tasks import TASKS, Task, get_task
from surefoot.tasks.own_task import kept_task_file
from surefoot.tasks.own_task import task_of as task_of_file

MANIFEST = "manifest.json"
TASK_FILE = "task_file"
"""Card's key for the task file of an imported log, with the log's columns and numbers filled in."""
_MANIFEST_SECONDS = 30.0
"""Seconds that another process may take to write its entry."""
Format = Literal["dsrl", "d4rl", "minari", "frames", "episodes", "chunks"]
"""Formats of transitions: HDF5 files with DSRL's or D4RL's keys, folders of Minari's. Formats of images: one HDF5 file
of frames, a folder of compressed episodes, a folder of the NPZ chunks of FOSP's public code."""
IMAGE_FORMATS: tuple[Format, ...] = ("frames", "episodes", "chunks")
REPOSITORY = "datasets/YYY-45/DSRL/resolve/main"
"""Place of the files below the endpoint."""
DEFAULT_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True)
class Fetched:
    """Result of fetching one published file."""

    path: Path
    known: Known
    news: str
    """Source of the file: downloaded, copied or present."""
    recorded: bool
    """Whether its hash was not known before, and is now in the manifest."""


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """DSRL's folder of this user."""
    return Path(environment.get("DSRL_DATASET_DIR") or Path.home() / ".dsrl" / "datasets")


def endpoint(environment: Mapping[str, str] = os.environ) -> str:
    """Address to download from: HF_ENDPOINT, or Hugging Face itself."""
    return (environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def file_name(task: Task) -> str:
    """Name of a task's published file. Raises `ConfigError` where the task is none of DSRL's."""
    if task.dsrl_file is None:
        raise ConfigError(f"{task.name}: expected a task of DSRL's, whose data are published, found one of our own.")
    return task.dsrl_file


def find(task: Task, *, directory: Path | None = None) -> Path:
    """Path of a task's published file in DSRL's folder.

    Args:
        task: Task of DSRL.
        directory: Folder of published files; None: DSRL's folder of this user.

    Returns:
        The file.

    Raises:
        DataError: The file is not there; the sentence says how to get it.
    """
    path = (directory or folder()) / file_name(task)
    if not path.is_file():
        refuse(
            path, "", expected=f"the data of {task.name}",
            found=f"no such file; get it with: surefoot data download {task.name}",
        )  # fmt: skip
    return path


def load(
    source: str | os.PathLike[str] | Task,
    task: Task | None = None,
    *,
    mapped: bool | None = None,
    checked: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Read the transitions of a task: `load(path, task)` in any format, `load(task)` from its published file.

    Args:
        source: File or folder in DSRL's, D4RL's or Minari's format, or the task itself.
        task: Task of a file or folder.
        mapped: Whether arrays stay in the file and are read where they are used, for data larger than the memory; for
            DSRL's format only. None: where they take more than 2 GiB and lie in the file as they would in memory, as in
            the files that `save` writes.
        checked: Whether the values of mapped arrays are checked; False for data whose fingerprint is compared later
            with that of checked data.
        on_progress: Called with (bytes of mapped arrays checked, bytes in all).

    Returns:
        Transitions, float32 arrays [N, ...], actions in [-1, 1].

    Raises:
        DataError: The data are not such transitions, or are images (`read_frames`); the sentence names file, key,
            expected and found.
    """
    if isinstance(source, Task):
        return hdf5.load(find(source), source, mapped=mapped, checked=checked, on_progress=on_progress)
    if task is None:
        raise TypeError("load: a path needs the task whose data lie there")
    path = Path(source)
    found = format_of(path, task)
    if found in IMAGE_FORMATS:
        key = hdf5.CARD if found == "frames" else ""
        refuse(path, key, expected="transitions of vectors", found="frames of images, as surefoot train takes them")
    if found == "minari":
        return load_minari(path, task, labeller=labeller_of(task))
    if found == "d4rl":
        return load_d4rl(path, task)
    return hdf5.load(path, task, mapped=mapped, checked=checked, on_progress=on_progress)


def card_of(path: Path) -> dict[str, Any]:
    """Data card of data in any format; empty where there is none."""
    if episode_files.is_folder_of_episodes(path):
        return episode_files.read_card(path)
    if path.is_dir():
        return read_minari_card(path) if is_minari(path) else {}
    return hdf5.read_card(path)


def task_of(path: Path) -> Task | None:
    """Task of a data file, by its card, or by the name of a published file; None where neither tells."""
    card = card_of(path)
    if TASK_FILE in card:
        return task_of_file(kept_task_file(card[TASK_FILE], place=f"{path}: card: {TASK_FILE}"))
    if "task" in card:
        return get_task(str(card["task"]))
    return next((task for task in TASKS.values() if task.dsrl_file == path.name), None)


def format_of(path: Path, task: Task | None = None) -> Format:
    """Format of the data at a path.

    D4RL's data have no costs; their task then has a labeller.

    Args:
        path: Data file or folder.
        task: Task of the data; None: not known.

    Returns:
        Name of the format.

    Raises:
        DataError: There are no data.
    """
    if episode_files.is_folder_of_episodes(path):
        return "episodes"
    if path.is_dir():
        if is_minari(path):
            return "minari"
        if any(path.glob("[!.]*.npz")):
            return "chunks"
        expected = "an HDF5 file, or a folder of Minari's, of episodes of images or of their chunks"
        empty = next(path.iterdir(), None) is None
        refuse(path, "", expected=expected, found="an empty folder" if empty else "a folder of another kind")
    with reading(path) as file:
        if hdf5.card_of(path, file).get("layout") == pixels.LAYOUT or (task and task.image_shape is not None):
            return "frames"
        costless = not has_key(path, file, "costs") and has_key(path, file, "actions")
    return "d4rl" if costless and task is not None and labeller_of(task) is not None else "dsrl"


def read_frames(
    path: Path, task: Task, *, in_files: bool, on_progress: Callable[[int, int], None] | None = None
) -> FrameData:
    """Read the images of a task, in any format of images.

    Args:
        path: Data file or folder.
        task: Task of images.
        in_files: Whether images stay in their files where the format allows it.
        on_progress: Called with (files read, files in all) of a folder of episodes.

    Returns:
        Frames of all episodes.

    Raises:
        DataError: The data are not such images.
        ConfigError: The task is not one of images.
    """
    if task.image_shape is None:
        raise ConfigError(f"{option('task')}: expected one of images for {path}, found {task.name}.")
    found = format_of(path, task)
    if found == "episodes":
        return episode_files.load(path, task, in_memory=not in_files, on_progress=on_progress)
    if found == "chunks":
        return npz_chunks.read_chunks(path, task)
    if found == "minari":
        refuse(path, "", expected="images of one of our formats", found="a folder of another kind")
    return pixels.load(path, task, mapped=in_files)


def read_manifest(directory: Path) -> dict[str, Known]:
    """File name -> recorded size and hash; empty where none is recorded. Raises `DataError` for a damaged manifest."""
    path = directory / MANIFEST
    if not path.exists():
        return {}
    return read_json(path, dict[str, Known], what="sizes and hashes of files", error=DataError)


def get(
    task: Task,
    *,
    directory: Path | None = None,
    source: Path | None = None,
    base: str | None = None,
    on_bytes: OnBytes | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Fetch a task's published file into DSRL's folder, and check it.

    A file that is there is checked alone. A broken download is resumed, also by a later call.

    Args:
        task: Task of DSRL.
        directory: Folder of published files; None: DSRL's folder of this user.
        source: Folder to copy from; None: the file is downloaded.
        base: Address to download from; None: `endpoint`.
        on_bytes: Called with (bytes done, bytes in all).
        sleep: Waits between attempts, in seconds.

    Returns:
        The file, its size and hash, and how it was had.

    Raises:
        DataError: The file cannot be had, or its bytes are not those in the manifest; then the bad bytes are removed,
            and an older file stays.
    """
    directory, name = directory or folder(), file_name(task)
    path, known = directory / name, read_manifest(directory).get(name)
    if path.is_file():
        found = check_bytes(path, known)
        news = "present"
    else:
        directory.mkdir(parents=True, exist_ok=True)
        if source is not None:
            found, news = _copy(source / name, path, known, on_bytes), "copied"
        else:
            url = f"{base or endpoint()}/{REPOSITORY}/{name}"
            size, sha256 = (known.size, known.sha256) if known else (None, None)
            found = fetch(url, path, size=size, sha256=sha256, on_bytes=on_bytes, check=_check_opens, sleep=sleep)
            news = "downloaded"
    if known is None:
        busy = "another process is writing to it"
        with holding_file(directory / MANIFEST, busy=busy, seconds=_MANIFEST_SECONDS, error=DataError):
            entries = read_manifest(directory) | {name: found}
            write_json(directory / MANIFEST, {key: vars(entry) for key, entry in sorted(entries.items())})
    return Fetched(path, found, news, recorded=known is None)


def check_bytes(path: Path, known: Known | None, *, on_bytes: OnBytes | None = None) -> Known:
    """Check size and SHA-256 of a file.

    Args:
        path: File.
        known: Expected size and hash; None: not known.
        on_bytes: Called with (bytes done, bytes in all).

    Returns:
        Size and hash of the file.

    Raises:
        DataError: They are not the expected ones.
    """
    size = path.stat().st_size
    if known is not None and size != known.size:
        refuse(path, "", expected=f"{known.size:,} bytes as recorded", found=f"{size:,}")
    found = Known(size, sha256_of(path, on_bytes))
    if known is not None and found != known:
        refuse(path, "", expected=f"SHA-256 {known.sha256} as recorded", found=found.sha256)
    return found


def in_library(tasks: Mapping[str, Task], directory: Path) -> Iterator[tuple[Task, Path]]:
    """Tasks whose published files lie in a folder.

    Args:
        tasks: Tasks by name.
        directory: Folder of published files.

    Yields:
        (task, its file).
    """
    for task in tasks.values():
        if task.dsrl_file is not None and (directory / task.dsrl_file).is_file():
            yield task, directory / task.dsrl_file


def _check_opens(path: Path) -> None:
    """Check that a file whose hash is not known is complete: HDF5 tells how long it must be."""
    with reading(path):
        pass


def _copy(source: Path, target: Path, known: Known | None, on_bytes: OnBytes | None) -> Known:
    if not source.is_file():
        raise DataError(f"{source}: expected the file to copy, found nothing at that place.")
    found = check_bytes(source, known, on_bytes=on_bytes)
    with replacing(target, size=found.size) as temporary:
        shutil.copyfile(source, temporary)
        if sha256_of(temporary) != found.sha256:
            refuse(source, "", expected="the same bytes when they are copied", found="others")
    return found
