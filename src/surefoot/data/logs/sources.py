"""Formats of logs: files, folders of files, LeRobot's and Minari's folders."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surefoot.data.checks import refuse
from surefoot.data.logs.arrays import open_hdf5, open_minari, open_npz
from surefoot.data.logs.csv_files import open_csv
from surefoot.data.logs.parquet_files import count_rows, open_parquet
from surefoot.data.logs.table import Log
from surefoot.data.minari import is_minari
from surefoot.errors import ConfigError, DataError
from surefoot.json_files import read_json

CSV, PARQUET, NPZ, HDF5 = (".csv", ".tsv"), (".parquet",), (".npz",), (".hdf5", ".h5")
LEROBOT_INFO = "meta/info.json"
MOST_FILES = 100_000
_FORMATS = "CSV, Parquet, NPZ or HDF5, a folder of CSV or Parquet files, or of LeRobot's or Minari's"


def open_log(paths: Sequence[Path]) -> Log:
    """Open the log in files or folders; several are one log, in this order.

    Args:
        paths: Files or folders.

    Returns:
        The log.

    Raises:
        DataError: There is no log, formats or columns differ, or a file cannot be read.
        ConfigError: No path is given.
    """
    if not paths:
        raise ConfigError("logs: expected at least one file or folder, found none.")
    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    if len(paths) == 1 and paths[0].is_dir() and not is_lerobot(paths[0]) and is_minari(paths[0]):
        return open_minari(name, paths[0])
    listed = [(path, _files(path)) for path in paths]
    files = [file for _, there in listed for file in there]
    kinds = {file.suffix.lower() for file in files}
    if kinds <= set(CSV):
        return open_csv(name, files)
    if kinds <= set(PARQUET):
        for path, there in listed:
            if is_lerobot(path):
                _check_lerobot(path, there)
        return open_parquet(name, files)
    if len(files) == 1:
        return open_npz(name, files[0]) if kinds <= set(NPZ) else open_hdf5(name, files[0])
    if len(kinds) > 1:
        refuse(paths[0], "", expected="files of one format", found=f"{' and '.join(sorted(kinds))}")
    refuse(files[1], "", expected="one file, as NPZ and HDF5 are read", found=f"{len(files)} files")


def is_lerobot(folder: Path) -> bool:
    """Whether a folder is a LeRobot dataset."""
    return (folder / LEROBOT_INFO).is_file() and (folder / "data").is_dir()


def _files(path: Path) -> list[Path]:
    """Files of a log at a path, in the natural order of their names."""
    if not path.exists():
        refuse(path, "", expected=f"a log ({_FORMATS})", found="nothing at that place")
    known = {*CSV, *PARQUET, *NPZ, *HDF5}
    if not path.is_dir():
        if path.suffix.lower() not in known:
            refuse(path, "", expected=f"a log ({_FORMATS})", found=f"a file that ends in {path.suffix!r}")
        return [path]
    folder = path / "data" if is_lerobot(path) else path
    there = (one for one in folder.rglob("*") if one.is_file())
    there = [one for one in there if not any(part.startswith(".") for part in one.relative_to(folder).parts)]
    found = [one for one in there if one.suffix.lower() in (*CSV, *PARQUET)]
    for one in there:
        if one not in found and any(suffix.lower() in known for suffix in one.suffixes):  # as log.csv.gz
            refuse(one, "", expected="CSV or Parquet, as a folder's files are read", found=f"{one.name!r:.60}")
    if not 0 < len(found) <= MOST_FILES:
        refuse(path, "", expected="a folder of CSV or Parquet files", found=f"{len(found):,} of them")
    return sorted(found, key=lambda one: _natural(str(one.relative_to(folder))))


def _check_lerobot(folder: Path, files: Sequence[Path]) -> None:
    """Check the version of a LeRobot dataset, and that its files hold as many rows as its description says.

    Versions 2 and 3 have the same columns; 2 has a file for each episode.
    """
    info = read_json(folder / LEROBOT_INFO, dict[str, Any], what="LeRobot's description of a dataset", error=DataError)
    version = info.get("codebase_version", "v3.0")
    if re.fullmatch(r"v[23](\.\d+)*", str(version)) is None:
        refuse(folder / LEROBOT_INFO, "codebase_version", expected="v3.0, or v2", found=f"{version!r:.60}")
    rows = count_rows(files)
    expected = info.get("total_frames", rows)
    if expected != rows:
        refuse(folder, "", expected=f"{expected} rows, as total_frames in {LEROBOT_INFO} says", found=f"{rows}")


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Sorting key by which file_2 comes before file_10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name)]
