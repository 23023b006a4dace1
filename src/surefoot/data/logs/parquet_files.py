"""Logs in Parquet files, LeRobot's among them; read batch by batch with pyarrow (the extra `surefoot[logs]`).

A column of lists of one length, such as LeRobot's `observation.state`, becomes one column for each place: name[0],
name[1].
"""

import importlib
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.data.logs.csv_files import refuse_other_columns
from surefoot.data.logs.table import BATCH_ROWS, Batch, Log, refuse_at, seconds_of_moments, split_columns, split_names
from surefoot.data.writing import blaming
from surefoot.errors import ConfigError


def open_parquet(name: str, paths: Sequence[Path]) -> Log:
    """Open a log in Parquet files.

    Args:
        name: Name of the log, for messages.
        paths: Files, in order.

    Returns:
        The log.

    Raises:
        DataError: A file cannot be read, or columns differ.
        ConfigError: pyarrow is not installed.
    """
    first, left_out = _columns(paths[0])
    for path in paths[1:]:
        if (found := _columns(path)[0]) != first:
            refuse_other_columns(str(path), found, paths[0], first)
    return Log(name, tuple(first), partial(_batches, paths, first), left_out)


def _batches(
    paths: Sequence[Path], names: Sequence[str], columns: Sequence[str], texts: Collection[str]
) -> Iterator[Batch]:
    wanted = list(dict.fromkeys(_stored(name, names) for name in columns))
    for path in paths:
        first = 0
        with blaming(path, "", "a readable Parquet file"):
            file = _parquet().ParquetFile(path, pre_buffer=False, memory_map=False)
        with file:
            batches = file.iter_batches(batch_size=BATCH_ROWS, columns=wanted, use_threads=False)
            while (batch := _next(path, batches)) is not None:
                found: dict[str, np.ndarray] = {}
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    found |= split_columns(name, _values(path, name, column, first, texts))
                numbers = np.arange(first, first + batch.num_rows)
                first += batch.num_rows
                yield Batch({name: found[name] for name in columns}, path, numbers)


def count_rows(paths: Sequence[Path]) -> int:
    """Number of rows of files, by the statement at the end of each."""
    counted = 0
    for path in paths:
        with blaming(path, "", "a readable Parquet file"), _parquet().ParquetFile(path) as file:
            counted += file.metadata.num_rows
    return counted


def _parquet() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(
            "pyarrow: expected to be installed, as Parquet is read with it, found none; pip install 'surefoot[logs]'."
        ) from error


def _columns(path: Path) -> tuple[list[str], dict[str, str]]:
    """The columns of a file, and its other fields with their types."""
    parquet = _parquet()
    import pyarrow as pa  # pyright: ignore[reportMissingImports]

    with blaming(path, "", "a readable Parquet file"), parquet.ParquetFile(path) as file:
        found: list[str] = []
        left_out: dict[str, str] = {}
        for field in file.schema_arrow:
            kind, names = field.type, []
            if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
                names = split_names(field.name, (0, _width(file, field)))
            elif not pa.types.is_nested(kind) and not pa.types.is_binary(kind):
                names = [field.name]
            found += names
            if not names:
                left_out[field.name] = f"values of type {kind!s:.40}"
        return found, left_out


def _width(file: Any, field: Any) -> int:
    """Numbers in each list of a column, as its first row has."""
    if size := getattr(field.type, "list_size", 0):
        return int(size)
    first = next(file.iter_batches(batch_size=1, columns=[field.name]), None)
    return 0 if first is None or not first.num_rows else len(first.column(0)[0] or [])


def _stored(name: str, names: Sequence[str]) -> str:
    """The file's column that a name belongs to: "observation.state" of "observation.state[3]"."""
    front, bracket, rest = name.rpartition("[")
    return front if bracket and rest.removesuffix("]").isdecimal() and f"{front}[0]" in names else name


def _next(path: Path, batches: Iterator[Any]) -> Any:
    with blaming(path, "", "a readable Parquet file"):
        return next(batches, None)


def _values(path: Path, name: str, column: Any, first: int, texts: Collection[str]) -> np.ndarray:
    """A column in float64, of [n] or [n, k] numbers; text where it is allowed."""
    import pyarrow as pa  # pyright: ignore[reportMissingImports]

    compute: Any = importlib.import_module("pyarrow.compute")

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = np.asarray(compute.list_value_length(column).to_numpy(zero_copy_only=False))
        if len(lengths) and not (lengths == lengths[0]).all():
            row = int((lengths != lengths[0]).argmax())
            place = f"{path}: row {first + row}"
            refuse_at(place, name, expected=f"{lengths[0]:g} numbers, as in row {first}", found=f"{lengths[row]:g}")
        inside = _values(path, name, compute.list_flatten(column), first, ())
        return inside.reshape(len(lengths), -1)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        if name in texts:
            return np.asarray(column.fill_null("").to_pylist())
        row = next((row for row, one in enumerate(column.is_valid().to_pylist()) if one), 0)
        refuse_at(f"{path}: row {first + row}", name, expected="a number", found=f"{column[row].as_py()!r:.60}")
    if name in texts and pa.types.is_integer(kind) and not column.null_count:
        return np.asarray(column.to_numpy(zero_copy_only=False))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return seconds_of_moments(column.cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False))
    if pa.types.is_duration(kind):
        return seconds_of_moments(column.cast(pa.duration("ns")).to_numpy(zero_copy_only=False))
    with blaming(path, name, "a column of numbers"):
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
