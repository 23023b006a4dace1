"""Every format writes a card that it can read back, and refuses the others before anything is written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence, make_dataset
from tests.unit.test_image_checks import frames

from surefoot.data import episode_files, pixels, read_card, save
from surefoot.data.minari import read_minari_card, save_minari
from surefoot.errors import DataError
from surefoot.tasks import TASKS

POINT_ROBOT, HAZARD_RUN = TASKS["PointRobot"], TASKS["HazardRun"]
FORMATS = ("hdf5", "minari", "frames", "episodes")


def write(form: str, path: Path, card: dict[str, Any]) -> None:
    if form == "hdf5":
        save(path, make_dataset(), card=card)
    elif form == "minari":
        save_minari(path, make_dataset(), POINT_ROBOT, card=card)
    elif form == "frames":
        pixels.save(path, frames(), card=card)
    else:
        episode_files.save(path, frames(), HAZARD_RUN, labels=["a", "b", "c"], card=card)


def read(form: str, path: Path) -> dict[str, Any]:
    return {"minari": read_minari_card, "episodes": episode_files.read_card}.get(form, read_card)(path)


@pytest.mark.parametrize("form", FORMATS)
def test_a_card_comes_back(form: str, tmp_path: Path) -> None:
    card = {"recipe": "by hand", "largest": 2**64 - 1, "least": -(2**64) + 1, "é": [None, True, 0.1]}
    write(form, tmp_path / "out", card)
    found = read(form, tmp_path / "out")
    assert {key: found[key] for key in card} == card


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("value", "found"),
    [
        (float("inf"), "Infinity, which JSON has not"),
        ([float("nan")], "NaN, which JSON has not"),
        (2**64, "the number 18446744073709551616..., which is too large"),
        ("a\0", "characters that are no text"),
        ({"\0": 1}, "characters that are no text"),
        (np.float32(1), "Object of type float32 is not JSON serializable"),
    ],
)
def test_what_could_not_be_read_is_not_written(form: str, value: object, found: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as fault:
        write(form, tmp_path / "out", {"note": value})
    assert "card" in str(fault.value)
    assert f"expected JSON values that can be read back, found {found}" in str(fault.value)
    assert is_one_sentence(str(fault.value))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_a_card_of_another_task_is_not_written(form: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected task (PointRobot|HazardRun), found task 'AntRun'\."):
        write(form, tmp_path / "out", {"task": "AntRun"})
    assert not (tmp_path / "out").exists()
