"""Parts of a summary, read with one-sentence errors where they have another form."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from surefoot.errors import DataError


@contextmanager
def reading(key: str, what: str = "of an evaluation") -> Iterator[None]:
    """Turn an error on a figure below `key` into a `DataError`; a context manager.

    Args:
        key: Key of the summary.
        what: Owner of the figures, in words.

    Yields:
        None, while errors are turned.

    Raises:
        DataError: A figure is missing or has another form.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"summary: key '{key}': expected the figures {what}, found others ({error}); evaluate the run again."
        ) from error


def mapping_of(table: Mapping[str, Any], key: str, where: str = "") -> Mapping[str, Any]:
    """The table under a key.

    Args:
        table: The outer table.
        key: The key.
        where: Path of the outer table, for the error.

    Returns:
        The table; empty where there is none.

    Raises:
        DataError: The value is no table.
    """
    value = table.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise DataError(f"summary: key '{_path(where, key)}': expected a table of keys, found {type(value).__name__}.")
    return value


def number_of(table: Mapping[str, Any], key: str, where: str = "") -> float | None:
    """The number under a key.

    Args:
        table: The table.
        key: The key.
        where: Path of the table, for the error.

    Returns:
        The number; None where there is none.

    Raises:
        DataError: The value is no finite number.
    """
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"summary: key '{_path(where, key)}': expected a finite number, found {value!r}.")
    return float(value)


def numbers_of(table: Mapping[str, Any], key: str, where: str) -> list[float]:
    """The list of numbers under a key.

    Args:
        table: The table.
        key: The key.
        where: Path of the table, for the error.

    Returns:
        The numbers; empty where there is no list.

    Raises:
        DataError: The value is no list of finite numbers.
    """
    values = table.get(key)
    if values is None:
        return []
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise DataError(f"summary: key '{_path(where, key)}': expected a list of numbers, found {values!r}.")
    numbers = [number_of({"": value}, "", f"{_path(where, key)}[{i}]") for i, value in enumerate(values)]
    if None in numbers:
        raise DataError(f"summary: key '{_path(where, key)}': expected a list of numbers, found {values!r}.")
    return [number for number in numbers if number is not None]


def _path(where: str, key: str) -> str:
    return ".".join(part for part in (where, key) if part)
