"""A file without a card whose episodes are not those of the named DSRL task."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import file_arrays, is_one_sentence, make_dataset, write_arrays

from surefoot.data import Dataset, load
from surefoot.errors import DataError
from surefoot.tasks import get_task

GOAL1 = get_task("PointGoal1")
"""Episode sums of 0.01 to 30.07 (return) and 0 to 100 (cost): refused beyond half of that range, 45.1 and 150."""


def dataset_of(*, best: float, costliest: float) -> Dataset:
    dataset = make_dataset(GOAL1, lengths=(20, 30), tail=0)
    rewards, costs = np.zeros(50, np.float32), np.zeros(50, np.float32)
    rewards[25], costs[26] = best, costliest
    return replace(dataset, rewards=rewards, costs=costs)


@pytest.mark.parametrize(("best", "costliest"), [(45.0, 0.0), (-15.0, 149.0)])
def test_sums_near_the_reference_are_accepted(best: float, costliest: float, tmp_path: Path) -> None:
    write_arrays(tmp_path / "data.hdf5", file_arrays(dataset_of(best=best, costliest=costliest)))
    assert len(load(tmp_path / "data.hdf5", GOAL1)) == 50


@pytest.mark.parametrize(
    ("best", "costliest", "sentence"),
    [
        (
            46.0,
            0.0,
            r"rewards: expected episode sums near 0.01196 to 30.07 as in DSRL's data of PointGoal1, found 46 in",
        ),
        (-16.0, 0.0, r"rewards: .*found -16 in episode 1, so this may be another task's file"),
        (1.0, 151.0, r"costs: expected episode sums near 0 to 100 .*found 151 in episode 1"),
    ],
)
def test_sums_of_another_task_are_refused_unless_a_card_says_whose_they_are(
    best: float, costliest: float, sentence: str, tmp_path: Path
) -> None:
    arrays = file_arrays(dataset_of(best=best, costliest=costliest))
    write_arrays(tmp_path / "data.hdf5", arrays)
    with pytest.raises(DataError, match=sentence) as refusal:
        load(tmp_path / "data.hdf5", GOAL1)
    assert is_one_sentence(str(refusal.value))
    write_arrays(tmp_path / "carded.hdf5", arrays, card='{"task": "PointGoal1"}')
    assert len(load(tmp_path / "carded.hdf5", GOAL1)) == 50
