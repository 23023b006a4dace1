"""Published data in DSRL's folder: downloads, and checks against the manifest."""

from collections.abc import Sequence
from pathlib import Path

from surefoot import data
from surefoot.data import library
from surefoot.errors import ConfigError, DataError, SurefootError
from surefoot.observer import Observer
from surefoot.tasks import TASKS, Task, get_task

EVERY_TASK = "all"


def download(names: Sequence[str], observer: Observer, *, from_folder: Path | None = None) -> None:
    """Fetch the published files of tasks.

    Args:
        names: Names of tasks, or "all".
        observer: Receives progress and results.
        from_folder: Copy from this folder; None: download.

    Raises:
        ConfigError: A task has no published file.
    """
    for task in _published(names):
        with observer.progress(f"fetching {task.name}", unit="bytes") as line:
            fetched = library.get(task, source=from_folder, on_bytes=line.report)
        note = "; its hash was not known and is recorded from now on" if fetched.recorded else "; as recorded"
        known = fetched.known
        observer.say(f"{fetched.path}: {fetched.news}, {known.size / 1e6:,.1f} MB, SHA-256 {known.sha256}{note}.")


def verify(names: Sequence[str], observer: Observer) -> list[tuple[str, str, str]]:
    """Check published files; a bad file does not end the check.

    Args:
        names: Names of tasks; none: all files in the folder.
        observer: Receives progress.

    Returns:
        (task, file, finding) for each file.

    Raises:
        DataError: There are no files to check.
    """
    directory = library.folder()
    if names:
        chosen = [(task, library.find(task)) for task in _published(names)]
    else:
        chosen = list(library.in_library(TASKS, directory))
    if not chosen:
        raise DataError(f"{directory}: expected published files to check, found none.")
    manifest, rows = library.read_manifest(directory), []
    for task, path in chosen:
        known = manifest.get(path.name)
        try:
            with observer.progress(f"checking {task.name}", unit="bytes") as line:
                found = library.check_bytes(path, known, on_bytes=line.report)
            data.load(path, task)
        except SurefootError as error:
            rows.append((task.name, path.name, str(error)))
        else:
            news = "good" if known else f"good, but not in the manifest (SHA-256 {found.sha256})"
            rows.append((task.name, path.name, news))
    return rows


def refuse_bad(rows: Sequence[tuple[str, str, str]]) -> None:
    """Raise `DataError` where `verify` found a bad file."""
    if bad := [name for name, _, news in rows if not news.startswith("good")]:
        raise DataError(f"{library.folder()}: expected good files only, found {len(bad)} bad: {', '.join(bad)}.")


def _published(names: Sequence[str]) -> list[Task]:
    """Tasks with a published file. Raises `ConfigError` for one that has none."""
    if list(names) == [EVERY_TASK]:
        return [task for task in TASKS.values() if task.dsrl_file is not None]
    if not names:
        raise ConfigError("tasks: expected at least one name, or all, found none.")
    tasks = [get_task(name) for name in names]
    for task in tasks:
        library.file_name(task)
    return tasks
