"""The folder of DSRL's published files, found by task: `~/.dsrl/datasets`, or what DSRL_DATASET_DIR names.

Its manifest holds size and SHA-256 of every file that was fetched. What is not in it yet is recorded at the first
download; from then on the bytes must be the same.
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
"""The card's key for the task file with which a log was imported, with the log's columns and numbers filled in."""
_MANIFEST_SECONDS = 30.0
"""That another process may take to write its line."""
Format = Literal["dsrl", "d4rl", "minari", "frames", "episodes", "chunks"]
"""Of transitions: HDF5 files of DSRL's and of D4RL's keys, folders of Minari's. Of images: one HDF5 file of frames, a
folder of compressed episodes, a folder of the NPZ chunks of FOSP's public code."""
IMAGE_FORMATS: tuple[Format, ...] = ("frames", "episodes", "chunks")
REPOSITORY = "datasets/YYY-45/DSRL/resolve/main"
"""Where the files lie below the endpoint."""
DEFAULT_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True)
class Fetched:
    """What became of one file."""

    path: Path
    known: Known
    news: str
    """downloaded, copied or present."""
    recorded: bool
    """Whether its hash was unknown before and is in the manifest since."""


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """DSRL's folder of this user."""
    return Path(environment.get("DSRL_DATASET_DIR") or Path.home() / ".dsrl" / "datasets")


def endpoint(environment: Mapping[str, str] = os.environ) -> str:
    """Where to download from: HF_ENDPOINT, or Hugging Face itself."""
    return (environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def file_name(task: Task) -> str:
    """The published file of `task`. Raises `ConfigError` where it is none of DSRL's."""
    if task.dsrl_file is None:
        raise ConfigError(f"{task.name}: expected a task of DSRL's, whose data are published, found one of our own.")
    return task.dsrl_file


def find(task: Task, *, directory: Path | None = None) -> Path:
    """The file of `task` in DSRL's folder. Raises `DataError` that says how to get it."""
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
    """Read the transitions of a task: `load(path, task)` in DSRL's format, D4RL's or Minari's, `load(task)` from its
    published file in DSRL's folder.

    Args:
        source: A file or folder, or the task itself.
        task: The task of a file or folder.
        mapped: Whether arrays stay in the file and are read where they are used, for data larger than the memory; for
            DSRL's format only. None: where they take more than 2 GiB and lie in the file as they would in memory, as in
            the files that `save` writes.
        checked: Whether the values of mapped arrays are checked; False for data whose fingerprint is then compared with
            that of data that were found good.
        on_progress: Called with the bytes that the checks of mapped arrays have read, and with those in all.

    Returns:
        The transitions, [N, ...], float32, actions in [-1, 1].

    Raises:
        DataError: One sentence that names file, key, expected and found, for anything that is not such data; also for
            images (see `read_frames`).
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
    """The data card of data in any format; empty where there is none."""
    if episode_files.is_folder_of_episodes(path):
        return episode_files.read_card(path)
    if path.is_dir():
        return read_minari_card(path) if is_minari(path) else {}
    return hdf5.read_card(path)


def task_of(path: Path) -> Task | None:
    """Whose data a file holds: as its card says, or its name where it is a published one; None where neither does."""
    card = card_of(path)
    if TASK_FILE in card:
        return task_of_file(kept_task_file(card[TASK_FILE], place=f"{path}: card: {TASK_FILE}"))
    if "task" in card:
        return get_task(str(card["task"]))
    return next((task for task in TASKS.values() if task.dsrl_file == path.name), None)


def format_of(path: Path, task: Task | None = None) -> Format:
    """In which format data of `task` lie at `path`.

    D4RL's have no costs, for which the task then has a labeller. Raises `DataError` where there are no data.
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
    """The images of `task` at `path`, in whatever format; `in_files`: they stay there where the format allows it.

    `on_progress(done, total)` counts the files of a folder of episodes. Raises `DataError`.
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
    """File name -> what its bytes must be; empty where nothing was recorded. Raises `DataError` for a damaged one."""
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
    """The published file of `task` in DSRL's folder, checked; downloaded, or copied from the folder `source`, if it is
    not there.

    A broken download is resumed, also by a later call. Raises `DataError` where the file cannot be had or its bytes are
    not those in the manifest; then the bad bytes are removed, and what was there before stays.
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
    """Size and SHA-256 of the file at `path`; raises `DataError` where they are not those known."""
    size = path.stat().st_size
    if known is not None and size != known.size:
        refuse(path, "", expected=f"{known.size:,} bytes as recorded", found=f"{size:,}")
    found = Known(size, sha256_of(path, on_bytes))
    if known is not None and found != known:
        refuse(path, "", expected=f"SHA-256 {known.sha256} as recorded", found=found.sha256)
    return found


def in_library(tasks: Mapping[str, Task], directory: Path) -> Iterator[tuple[Task, Path]]:
    """The tasks whose published files lie in the folder, and those files."""
    for task in tasks.values():
        if task.dsrl_file is not None and (directory / task.dsrl_file).is_file():
            yield task, directory / task.dsrl_file


def _check_opens(path: Path) -> None:
    """A file whose hash is not known yet should at least be whole: HDF5 says how long it must be."""
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
