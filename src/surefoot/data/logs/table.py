"""A log as a table: named columns of numbers that come in batches of rows, each row with its place for messages."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from surefoot.errors import DataError

BATCH_ROWS = 65_536
TRUE, FALSE, MISSING = {"true", "yes"}, {"false", "no"}, {"", "na", "n/a", "nan", "null", "none"}
"""Words for numbers, in small letters."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of one file."""

    columns: dict[str, np.ndarray]
    """Column -> its numbers in float64, NaN where one is missing; text where the caller allowed it."""
    path: Path
    """The file."""
    numbers: np.ndarray
    """Of the rows, as the file counts them."""
    counted: str = "row"
    """What a row's number is: "line", "row" or "step"."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.numbers)

    def refuse(self, row: int, column: str, *, expected: str, found: str) -> NoReturn:
        """Raise the `DataError` for a row of the batch, counted from 0."""
        refuse_at(f"{self.path}: {self.counted} {self.numbers[row]}", column, expected=expected, found=found)


Read = Callable[[Sequence[str], Collection[str]], Iterator[Batch]]
"""(columns, those of them in which text may stand) -> batches of them, from the first row on."""


@dataclass(frozen=True)
class Log:
    """Rows that may lie in many files, of any format."""

    name: str
    """Of the file or folder, for messages."""
    names: tuple[str, ...]
    """The columns that hold numbers, flags, times or text, in the log's order."""
    read: Read
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    """What is in the log and no column of it, and why: "71 rows, where others have 72"."""

    def batches(self, columns: Sequence[str], *, texts: Collection[str] = ()) -> Iterator[Batch]:
        """These columns, batch by batch. In `texts` names and times may stand; elsewhere text is refused.

        Raises `DataError` that names file, row and column.
        """
        return self.read(columns, texts)


def refuse_at(place: str, column: str, *, expected: str, found: str, cause: BaseException | None = None) -> NoReturn:
    """Raise the `DataError` that names the place (file and row), the column, the expected and the found."""
    where = f"{place}: {column}" if column else place
    raise DataError(f"{where}: expected {expected}, found {found}.") from cause


def number_of(text: str) -> float | None:
    """The number that a word stands for; None where it is none."""
    word = text.strip().lower()
    if word in MISSING:
        return np.nan
    if word in TRUE or word in FALSE:
        return float(word in TRUE)
    try:
        return float(word) if "_" not in word else None
    except ValueError:
        return None


def numbers_of(words: Any, path: Path, column: str, place: Callable[[int], str]) -> np.ndarray:
    """Words [n] as numbers, float64, NaN where one is missing.

    Raises `DataError` that names the file, the place of the first word that is no number ("line 12"), and the column.
    """
    found = [np.nan if one is None else number_of(str(one)) for one in words]
    if None in found:
        row = found.index(None)
        refuse_at(f"{path}: {place(row)}", column, expected="a number", found=f"{words[row]!r:.60}")
    return np.array(found, np.float64)


def numbers_if_any(values: np.ndarray) -> np.ndarray:
    """Text as numbers, where all of it is numbers."""
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
    """datetime64 or timedelta64 as seconds; NaN where one is missing."""
    exact = moments.astype(f"{moments.dtype.kind}8[ns]")
    return np.where(np.isnat(exact), np.nan, exact.astype(np.int64) / 1e9)


def split_columns(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """An array of one number a row under its name, one of k columns as name[0] to name[k - 1]."""
    if values.ndim == 1:
        return {name: values}
    if values.shape[1] == 1:
        return {name: values[:, 0]}
    return {f"{name}[{column}]": values[:, column] for column in range(values.shape[1])}


def split_names(name: str, shape: tuple[int, ...]) -> list[str]:
    """The names that `split_columns` gives an array of this shape."""
    if len(shape) == 1 or shape[1] == 1:
        return [name]
    return [f"{name}[{column}]" for column in range(shape[1])]
