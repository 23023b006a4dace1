"""A log as a table: named columns of numbers in batches of rows, each row with its place for messages."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from surefoot.errors import DataError
from surefoot.text import decimal

BATCH_ROWS = 65_536
TRUE, FALSE, MISSING = {"true", "yes"}, {"false", "no"}, {"", "na", "n/a", "nan", "null", "none"}
"""Words for truth values and missing numbers, in small letters."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of one file."""

    columns: dict[str, np.ndarray]
    """Column -> its numbers in float64, NaN where one is missing; text where the caller allowed it."""
    path: Path
    """File of the rows."""
    numbers: np.ndarray
    """Numbers of the rows as the file counts them."""
    counted: str = "row"
    """Word for a row's number: "line", "row" or "step"."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.numbers)

    def refuse(self, row: int, column: str, *, expected: str, found: str) -> NoReturn:
        """Raise the `DataError` for a row of the batch.

        Args:
            row: Index of the row in the batch, from 0.
            column: Name of the column.
            expected: What was expected, a sentence's part.
            found: What was found, a sentence's part.

        Raises:
            DataError: Always.
        """
        refuse_at(f"{self.path}: {self.counted} {self.numbers[row]}", column, expected=expected, found=found)


Read = Callable[[Sequence[str], Collection[str]], Iterator[Batch]]
"""(columns, columns among them that may hold text) -> batches of rows, from the first one on."""


@dataclass(frozen=True)
class Log:
    """Rows of a log, which may lie in many files of any format."""

    name: str
    """Name of the file or folder, for messages."""
    names: tuple[str, ...]
    """Columns that hold numbers, flags, times or text, in the log's order."""
    read: Read
    """Reads batches of rows."""
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    """Part of the log that is no column -> reason, such as "71 rows, where others have 72"."""

    def batches(self, columns: Sequence[str], *, texts: Collection[str] = ()) -> Iterator[Batch]:
        """Read columns batch by batch.

        Args:
            columns: Names of the columns.
            texts: Columns in which names and times may stand; elsewhere text is refused.

        Returns:
            Batches of rows.

        Raises:
            DataError: Text is where a number is expected; the sentence names file, row and column.
        """
        return self.read(columns, texts)


def refuse_at(place: str, column: str, *, expected: str, found: str, cause: BaseException | None = None) -> NoReturn:
    """Raise the `DataError` for a place in a log.

    Args:
        place: File and row.
        column: Name of the column; empty for none.
        expected: What was expected, a sentence's part.
        found: What was found, a sentence's part.
        cause: Exception that led to it.

    Raises:
        DataError: Always.
    """
    where = f"{place}: {column}" if column else place
    raise DataError(f"{where}: expected {expected}, found {found}.") from cause


def number_of(text: str) -> float | None:
    """Number that a word means; NaN where it means a missing one, None where it is no number."""
    word = text.strip().lower()
    if word in MISSING:
        return np.nan
    if word in TRUE or word in FALSE:
        return float(word in TRUE)
    return decimal(word)


def numbers_of(words: Any, path: Path, column: str, place: Callable[[int], str]) -> np.ndarray:
    """Words of a column as numbers.

    Args:
        words: Words [n].
        path: File, for messages.
        column: Name of the column.
        place: Index of a word -> its place in messages, such as "line 12".

    Returns:
        float64 numbers [n], NaN where one is missing.

    Raises:
        DataError: A word is no number.
    """
    found = [np.nan if one is None else number_of(str(one)) for one in words]
    if None in found:
        row = found.index(None)
        refuse_at(f"{path}: {place(row)}", column, expected="a number", found=f"{words[row]!r:.60}")
    return np.array(found, np.float64)


def numbers_if_any(values: np.ndarray) -> np.ndarray:
    """Text as float64 numbers, where all of it is numbers; else the text."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    found = [number_of(one) for one in values.tolist()]
    return values if None in found else np.array(found, np.float64)


def seconds_of(words: np.ndarray) -> np.ndarray | None:
    """Times as seconds: numbers, or dates in ISO 8601; None where they are neither, NaN where one is missing.

    Numbers come first, because NumPy reads "12" as the year 12.
    """
    numbers = numbers_if_any(words)
    if numbers.dtype.kind == "f":
        return numbers
    try:
        return seconds_of_moments(words.astype("datetime64[ns]"))
    except ValueError:
        return None


def seconds_of_moments(moments: np.ndarray) -> np.ndarray:
    """Seconds of datetime64 or timedelta64 values; NaN where one is missing."""
    exact = moments.astype(f"{moments.dtype.kind}8[ns]")
    return np.where(np.isnat(exact), np.nan, exact.astype(np.int64) / 1e9)


def split_columns(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of an array: of one number a row under its name, of k columns as name[0] to name[k - 1].

    Args:
        name: Name of the array.
        values: Array [n] or [n, k].

    Returns:
        Columns [n] by name.
    """
    if values.ndim == 1:
        return {name: values}
    if values.shape[1] == 1:
        return {name: values[:, 0]}
    return {f"{name}[{column}]": values[:, column] for column in range(values.shape[1])}


def split_names(name: str, shape: tuple[int, ...]) -> list[str]:
    """Names that `split_columns` gives to the columns of an array.

    Args:
        name: Name of the array.
        shape: Shape of the array, [n] or [n, k].

    Returns:
        Names of the columns.
    """
    if len(shape) == 1 or shape[1] == 1:
        return [name]
    return [f"{name}[{column}]" for column in range(shape[1])]
