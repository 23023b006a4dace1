"""Data files of the first edition hold the arrays that they held then, in every format."""

import json

import pytest
from tests.compatibility.reading import read_data
from tests.compatibility.recipes import DATA, DATA_FILES, EXPECTED


@pytest.mark.parametrize("name", DATA_FILES)
def test_a_file_gives_the_same_arrays(name: str) -> None:
    expected = json.loads((EXPECTED / "data.json").read_text())
    assert json.loads(json.dumps(read_data(DATA / name, DATA_FILES[name]))) == expected[name]


def test_arrays_that_stay_in_the_file_are_the_same() -> None:
    expected = json.loads((EXPECTED / "data.json").read_text())["ballrun.hdf5"]
    assert read_data(DATA / "ballrun.hdf5", "BallRun", mapped=True)["arrays"] == expected["arrays"]
