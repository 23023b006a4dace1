"""Faults of logs' files and columns that import used to pass over: each is told."""

import importlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.log_formats import as_lerobot, as_npz, imported, pyarrow
from tests.own_log import TANK, tank_columns, write_csv

from surefoot.data.logs import open_log
from surefoot.errors import SurefootError


def test_arrays_that_are_no_columns_are_named_with_the_reason(tmp_path: Path) -> None:
    columns = tank_columns(episodes=2)
    short = {**columns, "level": columns["level"][:-1]}
    with pytest.raises(SurefootError, match="found 'level' with 39 rows, where others have 40"):
        imported(tmp_path, as_npz(tmp_path, short))
    with h5py.File(tmp_path / "short.hdf5", "w") as file:
        for name, values in short.items():
            file[name] = values
        del file["level"]
        file["level"] = np.zeros((40, 2, 2))
    with pytest.raises(SurefootError, match="found 'level' with 3 axes, where a column has one"):
        imported(tmp_path, tmp_path / "short.hdf5")
    nested = pyarrow.array([{"a": 1.0}] * 40)
    importlib.import_module("pyarrow.parquet").write_table(
        pyarrow.table({**columns, "level": nested}), tmp_path / "nested.parquet"
    )
    with pytest.raises(SurefootError, match="found 'level' with values of type struct<a: double>"):
        imported(tmp_path, tmp_path / "nested.parquet")


def test_the_name_of_the_episode_is_nothing_to_learn_from(tmp_path: Path) -> None:
    log = write_csv(tmp_path / "log.csv", tank_columns(episodes=2))
    with pytest.raises(SurefootError, match=r"line 6: observation\.columns: expected 'episode', which names"):
        imported(tmp_path, log, text=TANK.replace('"flow_*"]', '"*"]'))


def test_nothing_of_a_folder_is_left_out_in_silence(tmp_path: Path) -> None:
    columns, folder = tank_columns(episodes=2), tmp_path / "folder"
    folder.mkdir()
    write_csv(folder / "a.csv", columns)
    (folder / "README.txt").write_text("what this is")
    open_log([folder])
    (folder / "b.csv.gz").write_bytes(b"")
    with pytest.raises(
        SurefootError, match=r"b\.csv\.gz: expected CSV or Parquet, as a folder's files are read, found"
    ):
        open_log([folder])
    lerobot = as_lerobot(tmp_path, columns)
    (lerobot / "meta" / "info.json").write_text(json.dumps({"total_frames": 41}))
    with pytest.raises(
        SurefootError, match=r"lerobot: expected 41 rows, as total_frames in meta/info\.json says, found 40"
    ):
        open_log([lerobot])
    (lerobot / "meta" / "info.json").write_text(json.dumps({"codebase_version": "v1.6", "total_frames": 40}))
    with pytest.raises(SurefootError, match=r"info\.json: codebase_version: expected v3\.0, or v2, found 'v1\.6'"):
        open_log([lerobot])
    (lerobot / "meta" / "info.json").write_text("[1")
    with pytest.raises(SurefootError, match=r"info\.json: expected LeRobot's description of a dataset as JSON, found"):
        open_log([lerobot])


def test_an_episode_of_two_files_without_a_time_is_remarked(tmp_path: Path) -> None:
    columns, folder = tank_columns(episodes=1), tmp_path / "folder"
    folder.mkdir()
    for name in "ab":  # each numbers its episodes from 0
        write_csv(folder / f"{name}.csv", columns)
    untimed = TANK.replace('time = "t"\nstep_seconds = 2.0\n', "")
    _, found = imported(tmp_path, folder, text=untimed)
    assert found.survey.episodes == 1
    assert found.sentences[0].startswith("1 episodes go on from one file into the next, as nothing marks an end there")
