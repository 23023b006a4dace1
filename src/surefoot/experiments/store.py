"""Folder of a benchmark: its plan, and its cells, each in a folder named by its key.

store.json            the plan's name and the fingerprints of its data
journal.jsonl         when which process began and ended which cell
cells/KEY/cell.json   how the cell ended; written last
cells/KEY/rows.jsonl.gz, cell.log, run/   its episodes, what it printed, the run folder of `surefoot train`
results/              tables, rows, figure and page of all cells
"""

import dataclasses
import gzip
import json
import os
import platform
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict

from surefoot.errors import ConfigError
from surefoot.evaluation.rows import EpisodeRow
from surefoot.experiments.cell import Cell, Measured
from surefoot.file_sets import Mark, Naming, fault_of, mark, write_together
from surefoot.files import json_content, json_rows, write_json
from surefoot.json_files import check_json, parse_json, read_content, read_json
from surefoot.locks import claimed, holding
from surefoot.result_files import ROWS, compressed
from surefoot.runs.summary import HeldOutFigures

FORMAT_VERSION = 1
PATIENCE = 60.0
"""Seconds to wait for another process that writes store.json."""
WARNING = "warning: "
"""Prefix of a warning's line."""
_AGAIN = "remove the cell's folder to run it again"


@dataclass(frozen=True)
class DataRecord:
    """Data of a task as they were when the plan began."""

    file: str
    """Name of the file or folder."""
    fingerprint: str
    """SHA-256 of the arrays."""
    size: int
    """Bytes of the file."""
    modified: int
    """Nanoseconds since the epoch."""
    episodes: int
    transitions: int
    safe_share: float
    """Of the episodes, within the strict cost limit."""
    best_safe_return: float | None
    """Normalised; None where no episode is safe, or no rewards are logged."""
    best_return: float | None
    """Normalised, of all episodes; None where no rewards are logged."""


@dataclass(frozen=True)
class Manifest:
    """Content of store.json."""

    plan: str
    """Name of the plan whose cells these are."""
    data: dict[str, DataRecord] = field(default_factory=dict)
    """Task -> its data."""
    format_version: int = FORMAT_VERSION


class Details(TypedDict, total=False):
    """Details of a cell that are read back; files hold more."""

    held_out: HeldOutFigures


@dataclass(frozen=True)
class CellRecord:
    """Content of cell.json: how a cell ended."""

    status: Literal["done", "failed"]
    task: str
    method: str
    fraction: float
    seeds: tuple[int, ...]
    episodes: int
    """Of each seed; 0 where it failed."""
    reason: str = ""
    """Why it failed."""
    at: float = 0.0
    """Seconds since the epoch."""
    key: str = ""
    """The cell's; empty in records of earlier versions."""
    rows: Mark | None = None
    """Size and hash of rows.jsonl.gz."""
    details: dict[str, Any] = field(default_factory=dict)
    """Times, versions, verdicts; those that are read back have types (`Details`)."""


@dataclass(frozen=True)
class Store:
    """Paths of a benchmark's folder, and how its files are written and read."""

    path: Path

    @property
    def manifest_path(self) -> Path:
        return self.path / "store.json"

    @property
    def results_path(self) -> Path:
        return self.path / "results"

    def folder(self, key: str) -> Path:
        """Folder of a cell."""
        return self.path / "cells" / key

    # --- the manifest ---

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing store.json."""
        with holding(self.path, busy="another process keeps the store", seconds=PATIENCE):
            yield

    def read_manifest(self) -> Manifest | None:
        """Content of store.json; None where there is none. Raises `ConfigError` where it has another form."""
        if not self.manifest_path.exists():
            return None
        found: Manifest = read_json(self.manifest_path, Manifest, what="the store of a benchmark")
        if found.format_version != FORMAT_VERSION:
            raise ConfigError(
                f"{self.manifest_path}: format_version: expected {FORMAT_VERSION}, found {found.format_version}."
            )
        return found

    def check_plan(self, name: str) -> None:
        """Raise `ConfigError` where the folder holds another plan's cells, or other files."""
        found = self.read_manifest()
        if found is not None and found.plan != name:
            raise ConfigError(f"{self.path}: expected the store of the plan {name}, found that of {found.plan}.")
        if found is None and self.path.exists():
            if not self.path.is_dir():
                raise ConfigError(f"{self.path}: expected a folder for the store, found a file.")
            if others := sorted(one.name for one in self.path.iterdir() if one.name[0] != "."):
                raise ConfigError(f"{self.path}: expected a store or an empty folder, found other files ({others[0]}).")

    def keep_data(self, plan: str, data: Mapping[str, DataRecord]) -> None:
        """Add records of data to the manifest, which is made where there is none.

        Args:
            plan: Name of the plan.
            data: Task -> record.

        Raises:
            ConfigError: The folder holds another plan's cells.
        """
        with self.locked():
            self.check_plan(plan)
            found = self.read_manifest() or Manifest(plan)
            changed = dataclasses.replace(found, data={**found.data, **data})
            if changed != found or not self.manifest_path.exists():
                write_json(self.manifest_path, dataclasses.asdict(changed))

    # --- cells ---

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold a cell unless another process does; yields whether it is held. The cell of a dead process is free."""
        with claimed(self.folder(key)) as ours:
            yield ours

    def record(self, key: str) -> CellRecord | None:
        """How a cell ended.

        Args:
            key: Key of the cell.

        Returns:
            The record; None where the cell has not ended.

        Raises:
            ConfigError: It is the record of another key, as in a copied folder.
        """
        path, what = self.folder(key) / "cell.json", "the record of a cell"
        if not path.exists():
            return None
        found: CellRecord = read_json(path, CellRecord, what=what, advice=_AGAIN)
        check_json(found.details, Details, place=f"{path}: details", what=what, advice=_AGAIN)
        if found.key not in ("", key):
            raise ConfigError(f"{path}: key: expected {key} as its folder's name, found {found.key:.80}; {_AGAIN}.")
        return found

    def record_of(self, cell: Cell) -> CellRecord | None:
        """Record of a cell; None where it has not ended. Raises `ConfigError` where another cell's record lies in its
        folder."""
        found = self.record(cell.key)
        if found is not None:
            for name in ("task", "fraction", "seeds"):
                expected, there = (as_text(getattr(one, name)) for one in (cell, found))
                if there != expected:
                    path = self.folder(cell.key) / "cell.json"
                    raise ConfigError(f"{path}: {name}: expected {expected}, found {there}; {_AGAIN}.")
        return found

    def is_done(self, cell: Cell) -> bool:
        """Whether a cell is trained and evaluated on at least its number of episodes."""
        found = self.record_of(cell)
        return found is not None and found.status == "done" and found.episodes >= cell.episodes

    def finish(self, cell: Cell, measured: Measured) -> None:
        """Write the rows of a cell, and its record as done.

        Args:
            cell: The cell.
            measured: Rows and details of its evaluation.

        Raises:
            OSError: The files cannot be written.
        """
        content = compressed(json_rows(measured.rows))
        record = CellRecord(
            "done", cell.task, cell.method, cell.fraction, cell.seeds, cell.episodes,
            at=time.time(), key=cell.key, rows=mark(content), details=measured.details,
        )  # fmt: skip
        folder = self.folder(cell.key)
        write_together({
            folder / ROWS: content, folder / "cell.json": json_content(dataclasses.asdict(record))
        })  # fmt: skip

    def fail(self, cell: Cell, reason: str) -> None:
        """Write the record of a failed cell; an earlier result with fewer episodes stays.

        Args:
            cell: The cell.
            reason: The error in a sentence.

        Raises:
            OSError: The file cannot be written.
        """
        found = self.record_of(cell)
        if found is None or found.status == "failed":
            record = CellRecord(
                "failed", cell.task, cell.method, cell.fraction, cell.seeds, 0, reason=reason, at=time.time(),
                key=cell.key,
            )  # fmt: skip
            write_json(self.folder(cell.key) / "cell.json", dataclasses.asdict(record))

    def rows(self, key: str) -> list[dict[str, Any]]:
        """Rows of a cell that is done. Raises `ConfigError` where they are not those that were written."""
        record, path = self.record(key), self.folder(key) / ROWS
        if record is None or record.rows is None:
            raise ConfigError(f"{path}: expected rows of a cell that is done, found a cell that is not.")
        content = read_content(path, what="rows of a cell", advice=_AGAIN, most=None)
        if (fault := fault_of(content, record.rows)) is not None:
            raise ConfigError(f"{path}: {fault}; {_AGAIN}.")
        try:
            lines = gzip.decompress(content).splitlines()
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigError(f"{path}: expected rows of a cell in gzip's format, found others; {_AGAIN}.") from error
        given: Any = {"place": str(path), "what": "rows of a cell", "advice": _AGAIN}
        rows: list[dict[str, Any]] = [parse_json(line, EpisodeRow, **given) for line in lines]
        expected = len(record.seeds) * record.episodes
        # A policy that is told a limit has as many episodes under each.
        for limit, count in (Counter(row.get("told") for row in rows) or {None: 0}).items():
            if count != expected:
                of_limit = "" if limit is None else f" under the limit {limit:g}"
                raise ConfigError(f"{path}: expected {expected:,} rows{of_limit}, found {count:,}; {_AGAIN}.")
        return rows

    def warnings(self, key: str) -> list[str]:
        """The warnings in a cell's log, each once."""
        path = self.folder(key) / "cell.log"
        if not path.is_file():
            return []
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return list(dict.fromkeys(line[len(WARNING) :] for line in lines if line.startswith(WARNING)))

    def note(self, event: str, cell: Cell, **more: Any) -> None:
        """Append a line to the journal.

        Args:
            event: Name of the event.
            cell: The cell.
            more: Further JSON values of the line.
        """
        where = {"process": os.getpid(), "host": platform.node()}
        which = {"key": cell.key, "task": cell.task, "method": cell.method, "fraction": cell.fraction}
        line = {"time": round(time.time(), 3), "event": event, **which, "seeds": list(cell.seeds), **where, **more}
        path = self.path / "journal.jsonl"
        check_appendable(path)
        with Naming(path, path), path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")


def check_appendable(path: Path) -> None:
    """Raise `ConfigError` where the name of a file of the store belongs to something else, such as a pipe."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: expected a file of a benchmark's store, found a folder or a device.")


def as_text(value: Any) -> str:
    """A value as JSON text, in which lists and tuples are equal."""
    return json.dumps(value)
