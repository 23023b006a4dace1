"""Division of a log's rows into whole episodes; times that are out of order, doubled or irregular are refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from surefoot.data.logs.columns import Columns
from surefoot.data.logs.table import MISSING, Batch, Log, number_of, refuse_at, seconds_of
from surefoot.tasks.task_file import FILES, GAPS

JITTER, GAP = 0.2, 1.5
"""Share of a step by which times may be off, and number of steps from which on there is a gap."""


@dataclass(frozen=True)
class Rows:
    """Rows of a log, whole episodes one after the other."""

    columns: dict[str, np.ndarray]
    starts: Bool[np.ndarray, " n"]
    """Whether an episode begins with the row."""
    files: Int[np.ndarray, " n"]
    """Index in `paths` of the row's file."""
    numbers: Int[np.ndarray, " n"]
    """Number of the row as its file counts it."""
    paths: tuple[Path, ...]
    counted: str

    def __len__(self) -> int:
        return len(self.starts)

    def place(self, row: int) -> str:
        """Place of a row for messages: "log.csv: line 12"."""
        return f"{self.paths[self.files[row]]}: {self.counted} {self.numbers[row]}"

    @property
    def last(self) -> Bool[np.ndarray, " n"]:
        """Whether an episode ends with the row."""
        return np.append(self.starts[1:], True)

    def take(self, rows: "slice | np.ndarray") -> "Rows":
        """Some of the rows; the first of them begins an episode."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Rows(columns, self.starts[rows], self.files[rows], self.numbers[rows], self.paths, self.counted)


def whole_episodes(log: Log, columns: Columns) -> Iterator[Rows]:
    """Blocks of whole episodes of a log.

    Args:
        log: Log.
        columns: Columns to read.

    Yields:
        Rows of whole episodes.

    Raises:
        DataError: Rows cannot be divided into episodes; the sentence names file, row, column, expected and found.
    """
    splitter = _Splitter(columns)
    pending: Rows | None = None
    for batch in log.batches(columns.read, texts=columns.texts):
        if not batch.rows:
            continue
        rows = splitter.rows(batch)
        rows = rows if pending is None else _joined(pending, rows)
        cut = int(np.flatnonzero(rows.starts)[-1])
        if cut:
            yield rows.take(slice(0, cut))
        pending = rows.take(slice(cut, None))
        check_length(pending, columns)
    if pending is not None:
        yield pending
    elif not splitter.paths:
        refuse_at(log.name, "", expected="at least one row", found="none")


def check_length(rows: Rows, columns: Columns) -> None:
    """Check that no episode is longer than the horizon; one row more than steps is allowed.

    Args:
        rows: Rows of whole episodes.
        columns: Columns with the task's horizon.

    Raises:
        DataError: An episode is longer.
    """
    starts = np.flatnonzero(rows.starts)
    lengths = np.diff(np.append(starts, len(rows)))
    horizon = columns.file.task.horizon
    most = horizon + (not columns.next_columns)
    if (lengths > most).any():
        first = int(starts[(lengths > most).argmax()])
        found = f"none in {most + 1} rows from {rows.counted} {rows.numbers[first]} on"
        expected = f"an episode's end within {horizon} steps, the horizon of {columns.file.task.name}"
        refuse_at(rows.place(first + most), "", expected=expected, found=found)


class _Splitter:
    """Where episodes begin, from batch to batch."""

    def __init__(self, columns: Columns) -> None:
        self._file, self._column = columns.file, columns.episode_column
        self.paths: list[Path] = []
        self._last: dict[str, np.ndarray] = {}
        self._ended = True
        self._seen: set[object] = set()

    def rows(self, batch: Batch) -> Rows:
        """A batch with its starts and times checked."""
        episodes, columns = self._file.episodes, dict(batch.columns)
        new_file = not self.paths or self.paths[-1] != batch.path
        if new_file:
            self.paths.append(batch.path)
        if episodes.time:
            columns[episodes.time] = _seconds(columns[episodes.time], batch, episodes.time)
        starts = np.zeros(batch.rows, bool)
        starts[0] = not self._last or (new_file and episodes.by == FILES)
        ended = self._ends(columns, batch)
        starts |= np.concatenate([[self._ended], ended[:-1]]) if self._last else np.append(False, ended[:-1])
        if self._column:
            starts |= self._changes(columns[self._column], batch)
        if episodes.time:
            starts |= self._gaps(columns[episodes.time], starts, batch)
        self._ended = bool(ended[-1])
        self._last = {name: values[-1:] for name, values in columns.items()}
        if not self._last:  # no column at all is read
            self._last = {"": np.zeros(1)}
        files = np.full(batch.rows, len(self.paths) - 1)
        return Rows(columns, starts, files, batch.numbers, tuple(self.paths), batch.counted)

    def _ends(self, columns: dict[str, np.ndarray], batch: Batch) -> np.ndarray:
        """Where a flag says that an episode ends."""
        ended = np.zeros(batch.rows, bool)
        for name in filter(None, (self._file.episodes.terminated, self._file.episodes.truncated)):
            wrong = (columns[name] != 0) & (columns[name] != 1)
            if wrong.any():
                row = int(wrong.argmax())
                batch.refuse(row, name, expected="0 or 1, true or false", found=f"{columns[name][row]:g}")
            ended |= columns[name] == 1
        return ended

    def _changes(self, values: np.ndarray, batch: Batch) -> np.ndarray:
        """Where the name of the episode is another than in the row before. Refuses one that comes back."""
        before = self._last.get(self._column)
        previous = np.concatenate([values[:1] if before is None else before.astype(values.dtype), values[:-1]])
        changes = values != previous
        if before is None:
            changes[0] = True
        for row in np.flatnonzero(changes).tolist():
            value = values[row].item()
            if value != value or (isinstance(value, str) and value.strip().lower() in MISSING):
                batch.refuse(row, self._column, expected="the name of the row's episode", found="none")
            if value in self._seen:
                shown = f"{value:g}" if isinstance(value, float) else repr(value)
                found = f"{shown:.60} again after another episode"
                batch.refuse(row, self._column, expected="the rows of an episode one after the other", found=found)
            self._seen.add(value)
        return changes

    def _gaps(self, times: np.ndarray, starts: np.ndarray, batch: Batch) -> np.ndarray:
        """Where a gap in time begins a new episode. Refuses times that do not grow, or grow irregularly."""
        episodes, name = self._file.episodes, self._file.episodes.time
        before = self._last.get(name)
        steps = np.diff(times, prepend=np.nan if before is None else before)
        inside = ~starts & ~np.isnan(steps)

        def refuse(wrong: np.ndarray, expected: str, words: str) -> None:
            row = int(wrong.argmax())
            batch.refuse(row, name, expected=expected, found=words.format(steps[row], times[row]))

        if (wrong := inside & (steps < 0)).any():
            refuse(wrong, "times that grow within an episode", "{1:.10g}, which is {0:.6g} s after the row before")
        if (wrong := inside & (steps == 0)).any():
            refuse(wrong, "times that grow within an episode", "{1:.10g} twice")
        if episodes.step_seconds is None:
            return np.zeros(len(times), bool)
        relative = steps / episodes.step_seconds
        gaps = inside & (relative > GAP)
        splits = episodes.by == GAPS or episodes.gaps == "split"
        if gaps.any() and not splits:
            expected = f"{episodes.step_seconds:g} s after the row before"
            refuse(gaps, expected, '{0:.6g} s (gaps = "split" begins a new episode there)')
        if (wrong := inside & ~gaps & (np.abs(relative - 1) > JITTER)).any():
            expected = f"{episodes.step_seconds:g} s after the row before"
            why = "; Surefoot does not resample, as states in between would be invented: log at one rate"
            refuse(wrong, expected, "{0:.6g} s" + why)
        return gaps & splits


def _seconds(values: np.ndarray, batch: Batch, name: str) -> np.ndarray:
    """A column of times in seconds. Refuses what is neither a number nor a date."""
    seconds = seconds_of(values)
    if seconds is None:
        kinds = np.array([_time_kind(one) for one in values])
        seconds = np.full(len(values), np.nan)
        if kinds[0] == "number":
            of_numbers = kinds == "number"
            seconds[of_numbers] = [number_of(one) for one in values[of_numbers]]
        elif kinds[0] == "date":
            of_dates = kinds == "date"
            seconds[of_dates] = seconds_of(values[of_dates])
    if (wrong := ~np.isfinite(seconds)).any():
        row = int(wrong.argmax())
        found = str(values[row])[:60] or "none"
        batch.refuse(row, name, expected="a time in seconds or as 2026-01-31T12:00:00", found=found)
    return seconds


def _time_kind(word: str) -> str:
    """Whether a word is a number or a date; empty where it is neither."""
    number = number_of(word)
    if number is not None:
        return "number" if np.isfinite(number) else ""
    return "date" if seconds_of(np.array([word])) is not None else ""


def _joined(one: Rows, other: Rows) -> Rows:
    columns = {name: np.concatenate([values, other.columns[name]]) for name, values in one.columns.items()}
    return Rows(
        columns,
        np.concatenate([one.starts, other.starts]),
        np.concatenate([one.files, other.files]),
        np.concatenate([one.numbers, other.numbers]),
        other.paths,
        other.counted,
    )
