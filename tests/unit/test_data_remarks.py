"""What is suspicious in data is said in sentences with numbers; good data are not remarked on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.data_fixtures import file_arrays, make_dataset, write_arrays

from surefoot import data
from surefoot.data import Dataset
from surefoot.data.remarks import few_episodes, limit_terminals, remarks
from surefoot.evaluation.collect import collect_hazard_run, collect_point_robot
from surefoot.tasks import CostLimit, Task, get_task

STARTER = Path(__file__).parents[1] / "data" / "ballrun_starter.hdf5"
BALL_RUN, POINT_ROBOT = get_task("BallRun"), get_task("PointRobot")


def ball(lengths: tuple[int, ...] = (100,) * 10, **changes: Any) -> Dataset:
    """Walks of BallRun's shape that nothing is remarkable of: returns near 600, costs near 10."""
    draw = np.random.default_rng(0)
    paths = [np.cumsum(0.1 * draw.normal(size=(steps + 1, 7)), 0).astype(np.float32) for steps in lengths]
    rows = sum(lengths)
    ends = np.concatenate([np.arange(steps) == steps - 1 for steps in lengths])
    values: dict[str, Any] = {
        "task": "BallRun",
        "observations": np.concatenate([path[:-1] for path in paths]),
        "actions": draw.uniform(-1, 1, (rows, 2)).astype(np.float32),
        "rewards": (6 + draw.normal(size=rows)).astype(np.float32),
        "costs": (draw.random(rows) < 0.1).astype(np.float32),
        "next_observations": np.concatenate([path[1:] for path in paths]),
        "terminated": np.zeros(rows, bool),
        "truncated": ends,
    }
    return Dataset(**(values | changes))


def test_good_data_are_not_remarked_on() -> None:
    assert remarks(data.load(STARTER, BALL_RUN), BALL_RUN) == []
    assert remarks(collect_point_robot(transitions=4000, seed=0), POINT_ROBOT) == []
    assert remarks(collect_hazard_run(transitions=900, seed=0), get_task("HazardRun")) == []
    assert remarks(ball(), BALL_RUN) == []


def test_terminations_at_a_time_limit_are_told_from_real_ones() -> None:
    whole = ball()
    as_done = replace(whole, terminated=whole.truncated, truncated=np.zeros(1000, bool))
    assert limit_terminals(as_done, BALL_RUN) == 100
    (sentence,) = remarks(as_done, BALL_RUN, place="ball.hdf5")
    assert sentence.startswith(
        "ball.hdf5: terminals: 10 of 10 episodes of 100 steps, the horizon of BallRun, terminate"
    )
    # A wrapper's limit below the horizon: all of one length.
    short = ball((40,) * 6)
    short = replace(short, terminated=short.truncated, truncated=np.zeros(240, bool))
    assert limit_terminals(short, BALL_RUN) == 40
    # Falls after various lengths are real, though one lasted for the whole horizon.
    falls = ball((37, 52, 100, 61, 18, 44))
    assert limit_terminals(replace(falls, terminated=falls.truncated), BALL_RUN) is None
    # Falls, and as many episodes at the horizon, all of which are said to terminate.
    mixed = ball((37, 100, 52, 100, 61, 100))
    assert limit_terminals(replace(mixed, terminated=mixed.truncated), BALL_RUN) == 100
    assert limit_terminals(whole, BALL_RUN) is None


def _column(column: int, values: Any) -> Callable[[Dataset], Dataset]:
    def change(dataset: Dataset) -> Dataset:
        here, entered = dataset.observations.copy(), dataset.next_observations.copy()
        for array in (here, entered):
            array[:, column] = array[:, values[0]] if isinstance(values, tuple) else values
        return replace(dataset, observations=here, next_observations=entered)

    return change


def _at(name: str, row: Any, value: float) -> Callable[[Dataset], Dataset]:
    def change(dataset: Dataset) -> Dataset:
        values = getattr(dataset, name).copy()
        values[row] = value
        return replace(dataset, **{name: values})

    return change


# 1,000 rows; rewards have a median size near 6, so that 6e6 in row 17 is a million times the usual.
SUSPICIOUS: dict[str, tuple[Callable[[Dataset], Dataset], str]] = {
    "constant": (_column(3, 0.5), "observations: column 3 holds the same number in every one of 1,000 rows"),
    "double": (_column(4, (1,)), "observations: columns 1 and 4 hold the same numbers in every one of 1,000 rows"),
    "still action": (_at("actions", (slice(None), 1), 0.0), "actions: column 1 holds the same number in every one of"),
    "large reward": (_at("rewards", 17, 6e6), "rewards: 6e+06 in row 17 is 992,938 times the usual size of 6.04"),
    "one reward": (_at("rewards", slice(None), 6.0), "rewards: 6 in every one of 1,000 rows"),
    "one for both": (
        lambda dataset: replace(dataset, rewards=dataset.costs),
        "rewards and costs hold the same numbers in every one of 1,000 rows, as if one of them were stored",
    ),
    "no cost": (_at("costs", slice(None), 0.0), "costs: 0 of 1,000 steps have a cost"),
    "all cost": (_at("costs", slice(None), 0.1), "costs: 1,000 of 1,000 steps have a cost, so that nothing"),
    # 100 steps of 60 each; BallRun's returns lie between 26 and 1,327.
    "returns": (_at("rewards", slice(0, 100), 60.0), "returns: those of 1 of 10 episodes lie far outside of BallRun's"),
    "costs": (_at("costs", slice(0, 100), 3.0), "costs of episodes: those of 1 of 10 episodes lie far outside of"),
}


@pytest.mark.parametrize("name", SUSPICIOUS)
def test_what_is_suspicious_is_said_with_its_numbers(name: str) -> None:
    change, expected = SUSPICIOUS[name]
    found = remarks(change(ball()), BALL_RUN)
    assert any(sentence.startswith(expected) for sentence in found), found


def test_costs_that_contradict_h_are_counted() -> None:
    dataset = make_dataset(lengths=(20, 30, 40), tail=0)
    assert dataset.constraints is not None
    costs = dataset.costs.copy()
    costly = np.flatnonzero(costs > 0)
    costs[costly[:2]] = 0.0  # two violations without a cost
    costs[np.flatnonzero(dataset.costs == 0)[:3]] = 1.0  # three costs without a violation
    total = len(costly) + 1
    (sentence,) = [one for one in remarks(replace(dataset, costs=costs), POINT_ROBOT) if "contradict" in one]
    assert f"h <= 0 in 3 of {total} rows with a cost, and h > 0 in 2 of {90 - total} rows without one" in sentence


def test_tasks_that_charge_for_speed_may_cost_in_every_step() -> None:
    hopper = get_task("Hopper")
    dataset = replace(ball(costs=np.full(1000, 1.0, np.float32)), task="Hopper")
    assert not any("so that nothing" in sentence for sentence in remarks(dataset, hopper))


def test_columns_that_are_still_by_nature_are_not_remarked_on() -> None:
    goal = replace(get_task("PointGoal1"), observation_dim=7, horizon=100)
    still = _column(2, 9.8)(replace(ball(), task="PointGoal1"))
    assert not any("column" in sentence for sentence in remarks(still, goal))


def test_few_episodes_of_a_selection() -> None:
    assert few_episodes(3, 20, what="a.hdf5: --data-filter safe") == [
        "a.hdf5: --data-filter safe leaves 3 of 20 episodes, which is little to learn from"
    ]
    assert few_episodes(12, 886, what="it") != []
    assert few_episodes(20, 886, what="it") == []
    assert few_episodes(5, 5, what="it") == []  # nothing was left out


def test_a_task_of_ones_own_is_remarked_on_too() -> None:
    own = Task("Own", 7, 2, 100, return_min=0.0, return_max=1000.0, constraints=(CostLimit(5.0),))
    assert remarks(replace(ball(), task="Own"), own) == []
    assert len(remarks(_at("rewards", slice(None), 600.0)(replace(ball(), task="Own")), own)) == 2


def test_columns_go_by_the_task_files_names_and_references_from_data_are_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "tank.toml"
    columns = ", ".join(f'"level_{number}"' for number in range(7))
    path.write_text(
        f'[task]\nname = "tank"\nhorizon = 100\n[observation]\ncolumns = [{columns}]\n[action]\n'
        'columns = ["a", "b"]\nlow = [-1, -1]\nhigh = [1, 1]\n[reward]\ncolumn = "reward"\n[[constraint]]\nname = "c"\n'
        'kind = "cost"\ncolumn = "c"\nlimit = 5\n[episodes]\nby = "episode"\n'
    )
    task = get_task(str(path))
    found = remarks(_column(2, 1.0)(replace(ball(), task="tank")), task)
    assert found == ["observations: column level_2 holds the same number in every one of 1,000 rows"]


def test_one_array_under_two_names_is_remarked_on(tmp_path: Path) -> None:
    write_arrays(tmp_path / "data.hdf5", file_arrays(make_dataset()))
    with h5py.File(tmp_path / "data.hdf5", "r+") as file:
        del file["rewards"]
        file["rewards"] = file["costs"]  # a hard link
    found = remarks(data.load(tmp_path / "data.hdf5", POINT_ROBOT), POINT_ROBOT)
    assert any(sentence.startswith("rewards and costs hold the same numbers") for sentence in found), found
