"""The figure of a dataset: what it draws is what the episodes are."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import POINT_ROBOT, make_dataset

from surefoot.data import Dataset, load
from surefoot.data.describe import describe
from surefoot.errors import DataError
from surefoot.report.data_figure import dataset_figure
from surefoot.tasks import get_task

BALL_RUN = get_task("BallRun")


@pytest.fixture(scope="module")
def starter() -> Dataset:
    return load(Path(__file__).parents[1] / "data" / "ballrun_starter.hdf5", BALL_RUN)


def texts(figure: Figure) -> str:
    found = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title, axes.xaxis.label)]
    found += [axes.get_title(loc="left") for axes in figure.axes]
    return " | ".join(found)


def test_every_episode_is_a_point_and_stands_in_both_histograms(starter: Dataset) -> None:
    figure = dataset_figure(starter, BALL_RUN)
    scatter, above, beside = figure.axes[:3]
    points = [np.asarray(part.get_offsets()) for part in scatter.collections]
    assert sum(len(part) for part in points) == 200
    # Green, drawn last, is what costs at most 5.
    assert sorted(points[1][:, 0].tolist()) == sorted(starter.cost_returns[starter.cost_returns <= 5].tolist())
    for axes, size in ((above, "get_height"), (beside, "get_width")):
        assert sum(getattr(bar, size)() for bar in axes.patches) == 200
    assert "BallRun: 200 episodes, 20,000 transitions" in texts(figure)
    assert "reference range: episodes in 10 of 10 bins" in texts(figure)


def test_gaps_and_the_best_safe_episode_are_named(starter: Dataset) -> None:
    kept = starter.select(np.flatnonzero((starter.cost_returns < 16) | (starter.cost_returns > 40)))
    figure = dataset_figure(kept, BALL_RUN)
    # Costs of 16 to 40 are the third to fifth of ten bins from 0 to 80.
    assert describe(kept, BALL_RUN).gaps == (2, 3, 4)
    assert "episodes in 7 of 10 bins" in texts(figure)
    best = starter.returns[starter.cost_returns <= 5].max()
    assert f"best safe {best:.4g}" in texts(figure)


def test_a_task_of_ours_has_the_range_of_the_data(tmp_path: Path) -> None:
    figure = dataset_figure(make_dataset(), POINT_ROBOT)
    assert "range of the data: episodes in 2 of 10 bins" in texts(figure)
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_description_counts_what_is_there() -> None:
    found = describe(make_dataset(), POINT_ROBOT)
    assert (found.transitions, found.episodes, found.unfinished_rows, found.terminated) == (60, 2, 10, 1)
    assert found.lengths.quantiles == (20.0, 22.5, 25.0, 27.5, 30.0)
    assert found.costly_steps == pytest.approx((make_dataset().costs > 0).mean())
    assert [limit.cost_limit for limit in found.limits] == [0.0]
    assert sum(found.cost_counts) == found.cells.sum() == 2
    assert found.outside == 0


def test_no_complete_episode_cannot_be_drawn() -> None:
    tail = make_dataset(lengths=(20,), tail=0)
    endless = replace(tail, terminated=np.zeros(20, bool))
    with pytest.raises(DataError, match="expected at least one complete episode to draw, found none"):
        dataset_figure(endless, POINT_ROBOT)
