"""The files of an evaluation and the summary that goes with them: one set, of which a reader accepts no mixture.

summary.json is replaced last. Under "files" it lists for each part of the evaluation ("evaluation", "evaluation_TASK",
"budgets", "rollouts") its files with sizes and hashes.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surefoot.errors import ConfigError, SurefootError
from surefoot.file_sets import FULL, Mark, fault_of, mark, write_together
from surefoot.files import json_content, remove_file
from surefoot.json_files import check_json, read_content
from surefoot.runs.loaded import FOLDER
from surefoot.runs.summary import SUMMARY, merged_summary, read_summary

FILES = "files"
"""Key of the summary that lists the files."""
GROWING = ("budget_episodes.jsonl",)
"""Files to which rows are only appended: their beginning belongs to the summary, the rest to an unfinished
evaluation."""


_NAMES = re.compile(r"[\w-]+(\.[\w-]+)*\.(jsonl|npz|gif)")


class NotKeptError(SurefootError):
    """An evaluation that could not be written; `summary` holds its results, so that they can be printed."""

    def __init__(self, message: str, summary: dict[str, Any]) -> None:
        super().__init__(message)
        self.summary = summary


def keep(
    run: Path,
    parts: Mapping[str, Mapping[str, bytes]],
    changes: Mapping[str, Any],
    *,
    without: Collection[str] = (),
    grown: Mapping[str, Mapping[str, bytes]] | None = None,
) -> dict[str, Any]:
    """Write the files of parts of an evaluation, and merge its figures into the summary, as one set.

    Args:
        run: Folder of the run.
        parts: Part -> (file name -> content); the earlier files of each part are replaced.
        changes: Entries of the summary.
        without: Keys that leave the summary.
        grown: Part -> (file name -> content) of files that are written already.

    Returns:
        The summary.

    Raises:
        NotKeptError: The files could not be written; the earlier ones are unchanged.
    """
    summary = merged_summary(run, changes, without=without)
    before = listed(summary, run)
    now = {part: {**files, **(grown or {}).get(part, {})} for part, files in parts.items()}
    marks = {part: {name: mark(content) for name, content in files.items()} for part, files in now.items()}
    after = {**before, **marks}
    summary[FILES] = {part: {name: asdict(one) for name, one in files.items()} for part, files in after.items()}
    contents = {run / FOLDER / name: content for files in parts.values() for name, content in files.items()}
    try:
        write_together({**contents, run / SUMMARY: json_content(summary)})
    except OSError as error:
        raise NotKeptError(unwritten(error, run), summary) from error
    gone = {name for part in parts for name in before.get(part, {})} - {name for one in after.values() for name in one}
    for name in gone:
        remove_file(run / FOLDER / name)
    return summary


def unwritten(error: OSError, place: Path) -> str:
    """Sentence on an evaluation that could not be written.

    Args:
        error: The error of the system.
        place: Path that stands for a file where the error names none.

    Returns:
        The sentence.
    """
    what = "no space left on the disk; free some" if error.errno in FULL else (error.strerror or str(error)).lower()
    return f"{error.filename or place}: the evaluation could not be written ({what}); then evaluate again."


def listed(summary: Mapping[str, Any], run: Path) -> dict[str, dict[str, Mark]]:
    """Files of each part of an evaluation, as the summary lists them.

    Args:
        summary: Content of summary.json.
        run: Folder of the run, for errors.

    Returns:
        Part -> (file name -> size and hash); empty for runs of earlier versions.

    Raises:
        ConfigError: The list has another form.
    """
    place, again = f"{run / SUMMARY}: {FILES}", "evaluate again"
    found: dict[str, dict[str, Mark]] = check_json(
        summary.get(FILES, {}), dict[str, dict[str, Mark]], place=place, what="files of an evaluation", advice=again
    )
    for name in (name for files in found.values() for name in files):
        if not _NAMES.fullmatch(name):
            raise ConfigError(f"{place}: expected names of an evaluation's files, found {name!a:.60}; {again}.")
    return found


def kept(run: Path, part: str, name: str) -> Path | None:
    """Path of a file of an evaluation's part.

    Args:
        run: Folder of the run.
        part: Part of the evaluation.
        name: Name of the file.

    Returns:
        The path; None where no file belongs to the part.

    Raises:
        ConfigError: The file is not the one that the run's summary was made with.
    """
    if not _NAMES.fullmatch(name):
        raise ConfigError(f"{run / SUMMARY}: expected names of an evaluation's files, found {name!a:.60}.")
    path = run / FOLDER / name
    files = listed(read_summary(run), run).get(part)
    if files is None:  # not evaluated yet, or by an earlier version
        return path if path.exists() else None
    if name not in files or not path.parent.is_dir():  # another evaluation's; or records without the files
        return None
    again = "the figures and the files are of different evaluations; evaluate again"
    content = read_content(path, what="a file of the run's evaluation", advice=again, most=None)
    if (fault := fault_of(content, files[name], grows=name in GROWING)) is not None:
        raise ConfigError(f"{path}: {fault}; {again}.")
    return path


def kept_size(run: Path, part: str, name: str) -> int | None:
    """Bytes of a growing file that belong to the summary.

    Args:
        run: Folder of the run.
        part: Part of the evaluation.
        name: Name of the file.

    Returns:
        The bytes; None where the summary does not list the file.
    """
    found = listed(read_summary(run), run).get(part, {}).get(name)
    return None if found is None else found.size
