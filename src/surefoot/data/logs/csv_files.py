"""Logs in CSV files: a first line of column names, then one row a line, separated by commas, semicolons or tabs."""

import csv
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.data.logs.table import BATCH_ROWS, Batch, Log, number_of, numbers_of, refuse_at
from surefoot.data.writing import blaming

_DELIMITERS = ",;\t|"


def open_csv(name: str, paths: Sequence[Path]) -> Log:
    """Open a log in CSV files.

    Args:
        name: Name of the log, for messages.
        paths: Files, in order.

    Returns:
        The log.

    Raises:
        DataError: A file cannot be read, or columns differ.
    """
    first = _header(paths[0])
    for path in paths[1:]:
        if (found := _header(path)) and sorted(found) != sorted(first):
            refuse_other_columns(f"{path}: line 1", found, paths[0], first)
    return Log(name, tuple(first), partial(_batches, paths))


def refuse_other_columns(place: str, found: Sequence[str], first: Path, expected: Sequence[str]) -> None:
    """Raise the `DataError` for a file whose columns differ from the log's first file.

    Args:
        place: File and row, for messages.
        found: Columns of the file.
        first: First file of the log.
        expected: Columns of the first file.

    Raises:
        DataError: Always.
    """
    lacking, more = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    parts = [f"no {', '.join(map(repr, lacking[:6]))}"] if lacking else []
    parts += [f"{', '.join(map(repr, more[:6]))} besides"] if more else []
    refuse_at(place, "", expected=f"the columns of {first.name}", found=" and ".join(parts) or "other types")


def _header(path: Path) -> list[str]:
    with blaming(path, "", "a readable file"), path.open(newline="", encoding="utf-8-sig") as file:
        try:
            line = file.readline(2**20)
        except UnicodeDecodeError as error:  # anywhere in the first block that was read
            number = error.object[: error.start].count(b"\n") + 1
            place = f"{path}: line {number}"
            refuse_at(place, "", expected="text in UTF-8", found="other bytes", cause=error)
    if not line.strip():
        refuse_at(str(path), "", expected="a first line of column names", found="an empty file or line")
    if "\0" in line:
        refuse_at(str(path), "", expected="a first line of column names", found="bytes that are no text")
    names = [cell.strip() for cell in next(csv.reader([line], delimiter=_delimiter(line)))]
    for number, one in enumerate(names):
        if not one or one in names[:number]:
            found = f"{one!r} twice" if one else f"none for column {number + 1}"
            refuse_at(f"{path}: line 1", "", expected="a name for each column, each once", found=found)
    if all(number_of(one) is not None for one in names):
        refuse_at(f"{path}: line 1", "", expected="column names", found=f"numbers alone ({line.strip():.60})")
    return names


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _batches(paths: Sequence[Path], columns: Sequence[str], texts: Collection[str]) -> Iterator[Batch]:
    for path in paths:
        yield from _batches_of(path, columns, texts)


def _batches_of(path: Path, columns: Sequence[str], texts: Collection[str]) -> Iterator[Batch]:
    names = _header(path)
    with blaming(path, "", "a readable file"), path.open(newline="", encoding="utf-8-sig") as file:
        delimiter = _delimiter(file.readline(2**20))
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        next(reader)
        rows: list[list[str]] = []
        numbers: list[int] = []
        while True:
            row = _next(path, reader)
            if row is not None and not row:
                continue
            if row is not None:
                if len(row) != len(names):
                    place = f"{path}: line {reader.line_num}"
                    refuse_at(place, "", expected=f"{len(names)} cells, as in line 1", found=f"{len(row)}")
                rows.append(row)
                numbers.append(reader.line_num)
            if rows and (row is None or len(rows) == BATCH_ROWS):
                yield _batch(path, names, columns, texts, rows, numbers)
                rows, numbers = [], []
            if row is None:
                return


def _next(path: Path, reader: Any) -> list[str] | None:
    """The next row; None at the end."""
    try:
        return next(reader, None)
    except (csv.Error, UnicodeDecodeError) as error:
        place = f"{path}: line {reader.line_num + 1}"
        found = "other bytes than UTF-8" if isinstance(error, UnicodeDecodeError) else f"a fault ({error})"
        refuse_at(place, "", expected="a row of CSV", found=found, cause=error)


def _batch(
    path: Path, names: list[str], columns: Sequence[str], texts: Collection[str], rows: list[list[str]],
    numbers: list[int],
) -> Batch:  # fmt: skip
    found = {}
    for name in columns:
        position = names.index(name)
        cells = [row[position] for row in rows]
        if name in texts:  # as it stands in every batch: numbers beyond 2^53 would lose digits, too
            found[name] = np.array(cells)
            continue
        values = _numbers_at_once(cells)
        if values is None:
            values = numbers_of(cells, path, name, lambda row: f"line {numbers[row]}")
        found[name] = values
    return Batch(found, path, np.array(numbers), "line")


def _numbers_at_once(cells: list[str]) -> np.ndarray | None:
    """Cells as numbers, all at once; None where one is no `decimal`."""
    text = "".join(cells)
    if not text.isascii() or "_" in text:
        return None
    try:
        return np.array(list(map(float, cells)))
    except ValueError:
        return None
