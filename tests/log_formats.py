"""Logs in every format that is read, and their import, for tests."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.own_log import TANK, write_csv, write_task

from surefoot.data.logs import import_log, open_log
from surefoot.data.logs.importing import Imported
from surefoot.tasks.read_task_file import open_task_file

pyarrow = pytest.importorskip("pyarrow")


def imported(folder: Path, *logs: Path, text: str = TANK) -> tuple[Path, Imported]:
    """A log imported with a task file."""
    file, reader = open_task_file(write_task(folder, text))
    out = folder / "out.hdf5"
    return out, import_log(open_log(list(logs)), file, reader, out)


def as_parquet(folder: Path, columns: dict[str, np.ndarray]) -> Path:
    """A log in Parquet, in groups of 7 rows."""
    parquet = importlib.import_module("pyarrow.parquet")
    table = pyarrow.table({**columns, "note": ["text"] * len(columns["t"])})  # text that nobody reads
    parquet.write_table(table, folder / "log.parquet", row_group_size=7)
    return folder / "log.parquet"


def as_folder(folder: Path, columns: dict[str, np.ndarray]) -> Path:
    """A folder of three CSV files."""
    (folder / "logs").mkdir()
    for number, cut in ((2, slice(0, 33)), (10, slice(33, 90)), (11, slice(90, None))):  # in the middle of episodes
        write_csv(folder / "logs" / f"part_{number}.csv", {name: one[cut] for name, one in columns.items()})
    return folder / "logs"


def as_lerobot(folder: Path, columns: dict[str, np.ndarray]) -> Path:
    """A data set as LeRobot writes it."""
    parquet = importlib.import_module("pyarrow.parquet")
    place = folder / "lerobot" / "data" / "chunk-000"
    place.mkdir(parents=True)
    (folder / "lerobot" / "meta").mkdir()
    (folder / "lerobot" / "meta" / "info.json").write_text(json.dumps({"codebase_version": "v3.0"}))
    parquet.write_table(pyarrow.table({"episode_index": [0]}), folder / "lerobot" / "meta" / "episodes.parquet")
    seen = np.stack([columns[name] for name in ("level", "flow_1", "flow_2")], 1).astype(np.float32)
    lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(seen.reshape(-1)), 3)
    rest = {name: columns[name] for name in ("episode", "t", "valve", "reward", "trip", "done")}
    parquet.write_table(pyarrow.table({"observation.state": lists, **rest}), place / "file-000.parquet")
    return folder / "lerobot"


def as_lerobot_2(folder: Path, columns: dict[str, np.ndarray]) -> Path:
    """The same by LeRobot's version 2: a file for each episode."""
    place = as_lerobot(folder, columns) / "data" / "chunk-000"
    parquet = importlib.import_module("pyarrow.parquet")
    rows = parquet.read_table(place / "file-000.parquet")
    (place / "file-000.parquet").unlink()
    for number in range(int(columns["episode"].max()) + 1):
        episode = rows.filter(pyarrow.array(columns["episode"] == number))
        parquet.write_table(episode, place / f"episode_{number:06d}.parquet")
    info = {"codebase_version": "v2.1", "total_frames": len(rows)}
    (folder / "lerobot" / "meta" / "info.json").write_text(json.dumps(info))
    return folder / "lerobot"


def as_hdf5(folder: Path, columns: dict[str, np.ndarray]) -> Path:
    """Arrays in HDF5, the observation in one."""
    with h5py.File(folder / "log.hdf5", "w") as file:
        seen = np.stack([columns[name] for name in ("level", "flow_1", "flow_2")], 1)
        file["observation.state"] = seen
        for name in ("episode", "t", "valve", "reward", "trip", "done"):
            file[name] = columns[name]
    return folder / "log.hdf5"


def as_npz(folder: Path, columns: dict[str, np.ndarray]) -> Path:
    """Arrays in NPZ."""
    np.savez(folder / "log.npz", **columns)  # pyright: ignore[reportArgumentType]
    return folder / "log.npz"


def as_tabs(folder: Path, columns: dict[str, np.ndarray]) -> Path:
    """Values apart by tabs."""
    return write_csv(folder / "log.tsv", columns, delimiter="\t")


LISTS = TANK.replace('["level", "flow_*"]', '["observation.state[*]"]').replace(
    "level - 0.5", "observation.state[0] - 0.5"
)
LISTS = LISTS.replace('units = { level = "m" }\n', "")
FORMATS: dict[str, tuple[Callable[[Path, dict[str, np.ndarray]], Path], str]] = {
    "tabs": (as_tabs, TANK),
    "folder": (as_folder, TANK),
    "parquet": (as_parquet, TANK),
    "npz": (as_npz, TANK),
    "lerobot": (as_lerobot, LISTS),
    "lerobot 2": (as_lerobot_2, LISTS),
    "hdf5": (as_hdf5, LISTS),
}
