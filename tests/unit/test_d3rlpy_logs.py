"""Datasets of d3rlpy as logs: columns, ends of episodes, and files that are broken."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from surefoot.data.logs import open_log
from surefoot.errors import DataError

STEPS = 3, 2


def write(path: Path, **changes: Any) -> Path:
    """Two episodes of 3 and 2 steps, of which the first terminated; None leaves a key out."""
    arrays: dict[str, Any] = {"columns": ["observations", "actions", "rewards", "terminated"], "num_episodes": 2}
    for number, steps in enumerate(STEPS):
        arrays |= {
            f"observations_{number}": np.arange(2.0 * steps).reshape(steps, 2) + 10 * number,
            f"actions_{number}": np.full((steps, 1), 0.5), f"rewards_{number}": np.ones((steps, 1)),
            f"terminated_{number}": number == 0,
        }  # fmt: skip
    with h5py.File(path, "w") as file:
        for key, value in (arrays | {"version": "2.1"} | changes).items():
            if value is not None:
                file[key] = value
    return path


def test_columns_and_ends_of_episodes(tmp_path: Path) -> None:
    log = open_log([write(tmp_path / "buffer.h5")])
    assert log.names == ("observations[0]", "observations[1]", "actions", "rewards", "terminated", "episode")
    batches = list(log.batches(log.names))
    joined = {name: np.concatenate([one.columns[name] for one in batches]).tolist() for name in log.names}
    assert joined["observations[1]"] == [1, 3, 5, 11, 13]
    assert joined["terminated"] == [0, 0, 1, 0, 0]
    assert joined["episode"] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rewards_1": None}, "rewards_1: expected an array of numbers, a row a step, found none."),
        ({"actions_1": np.zeros((3, 1))}, "actions_1: expected a row for each of 2 rewards, found 3."),
        ({"observations_1": np.zeros((2, 1))}, "observations_1: expected as many numbers as in episode 0"),
        ({"observations_0": np.zeros((3, 4, 4))}, "observations_0: expected an array of numbers, a row a step, found"),
        ({"num_episodes": 0}, "num_episodes: expected at least one episode, found 0."),
        ({"num_episodes": 3}, "observations_2: expected an array of numbers, a row a step, found none."),
        ({"num_episodes": "two"}, "num_episodes: expected one number, found something else."),
    ],
)
def test_broken_files(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    path = write(tmp_path / "buffer.h5", **changes)
    with pytest.raises(DataError) as raised:
        list((log := open_log([path])).batches(log.names))
    assert str(raised.value).startswith(f"{path}: {sentence}")
