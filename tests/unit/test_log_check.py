"""`surefoot data check` finds mistakes in what a log says of its constraints, and stays silent on clean ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.planted_log_faults import CLEAN, PLANTS, SYSTEMS, Plant, sentences
from tests.own_log import TANK, tank_columns, write_csv, write_task

from surefoot.data.dataset import Dataset
from surefoot.data.logs.check import Checked, compare, compare_all, coverage_lines, log_remarks
from surefoot.errors import SurefootWarning
from surefoot.experiments.data_logs import LogRequest, import_data
from surefoot.observer import Observer
from surefoot.tasks.task_file import ActionTable, ConstraintTable, EpisodesTable, ObservationTable, TaskFile, TaskTable


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_planted_mistakes_through_an_import(plant: Plant) -> None:
    found = sentences(SYSTEMS["obstacle"](np.random.default_rng(5)), plant, np.random.default_rng(5))
    if plant.word:
        assert len(found) == 1
        assert plant.word in found[0]
    else:
        assert found == []


def in_millimetres(h: np.ndarray, costs: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A limit of another unit than the column."""
    del random
    return h - 1000 * np.abs(h).max(), costs


@pytest.mark.parametrize("plant", [*PLANTS, Plant("scale", "contradicts", in_millimetres)], ids=lambda one: one.name)
@pytest.mark.parametrize("faulty", [0, 1])
def test_planted_mistakes_in_one_of_several_constraints(plant: Plant, faulty: int) -> None:
    """Two signals, a cost of each, and one of crashes that no signal tells of: the other signal is not blamed."""
    systems = [SYSTEMS[name](np.random.default_rng(4)) for name in ("obstacle", "pendulum")]
    h = [one.h for one in systems]
    costs = [(one[:, 1:] > 0).astype(float) for one in h]
    h[faulty], costs[faulty] = plant.change(h[faulty], costs[faulty], np.random.default_rng(4))
    h[faulty] = h[faulty] * (-1 if plant.safe_above else 1)
    crashes = (np.random.default_rng(5).random(costs[0].shape) < 0.01).astype(float)
    signals = [one[:, 1:] / np.abs(one).mean() for one in h]
    values = np.stack([one.reshape(-1) for one in (*signals, *costs, crashes)], 1)
    tables = [ConstraintTable(f"h{n}", column="h") for n in (0, 1)]
    tables += [ConstraintTable(f"cost{n}", column="c", kind="cost") for n in (0, 1, 2)]
    found = list(compare_all(tables, values, np.arange(len(values)) % costs[0].shape[1] == 0))
    if plant.word == CLEAN:
        assert found == []
    else:
        (sentence,) = found
        assert sentence.startswith(f"constraint h{faulty} ")
        assert plant.word in sentence


def test_units_of_a_signal_and_of_its_scale() -> None:
    h, starts = np.linspace(-1.0, 1.0, 1000), np.arange(1000) == 0
    table = ConstraintTable("level", column="h", scale=1.0)
    assert list(compare_all([table], h[:, None], starts)) == []
    (scale,) = compare_all([table], 100 * h[:, None], starts)
    assert scale.startswith(
        "constraint level is 50.1 times its scale on average, as where the two have different units"
    )
    (unit,) = compare_all([table], (h - 1000.0)[:, None], starts)
    # At most -999 where the mean size is 1000.
    assert unit.startswith("constraint level never comes near 0: it is -0.999 of its usual size at most")


def test_a_suspicious_log_that_is_refused_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    columns = tank_columns(episodes=2)
    log, out = write_csv(tmp_path / "log.csv", columns), tmp_path / "out.hdf5"
    task = write_task(tmp_path, TANK.replace("abs(level - 0.5) - 0.3", "0.3 - abs(level - 0.5)"))  # reversed
    out.write_bytes(before := b"the data of yesterday")
    request = LogRequest(logs=(log,), task=task, out=out, overwrite=True)
    with pytest.raises(SurefootWarning, match="nothing in the data is safe"):
        import_data(request, Observer())  # here warnings are errors, as with --strict
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "out.hdf5", "task.toml"]


def test_the_sentences_have_their_numbers() -> None:
    starts = np.arange(1000) % 100 == 0
    costly = np.arange(1000) % 20 < 5  # in each episode five stretches, the first from its first row on
    h = np.where(costly, 1.0, -1.0)
    assert list(compare("level", h, costly, starts)) == []
    (wrong,) = compare("level", -h, costly, starts)
    assert wrong.startswith(
        "constraint level looks reversed: it is above 0 in 100.0% of the rows without a cost and in 0.0%"
    )
    (late,) = compare("level", np.roll(h, 2), costly, starts)
    # 4 of 5 stretches in an episode begin within it; h rises two steps after the costs do.
    assert late.startswith(
        "constraint level and the costs are shifted: 100% of the costs begin 2 steps before it rises"
    )
    half = np.where(np.arange(1000) % 40 < 5, 1.0, -1.0)
    (other,) = compare("level", half, costly, starts)
    # Of 250 rows with a cost those of every second stretch, 125, have h <= 0; all with h > 0 have a cost.
    assert "at most 0 in 50.0% of 250 rows with a cost, and 0.0% of the 125 rows where it is above 0 have none" in other


def test_a_signal_without_costs_that_is_mostly_above_0() -> None:
    h = np.linspace(-1, 9, 1000)
    (found,) = compare("speed", h, None, np.arange(1000) == 0)
    assert found.startswith("constraint speed is above 0 in 90.0% of the rows, as where its sign is reversed")
    assert list(compare("speed", -h, None, np.arange(1000) == 0)) == []


def checked(**changes: np.ndarray) -> Checked:
    """Ten episodes of 20 steps of a system with one column, one action and one signal."""
    random = np.random.default_rng(0)
    states = np.cumsum(random.normal(size=(10, 21)), 1)
    arrays = {
        "observations": states[:, :-1].reshape(200, 1),
        "actions": random.uniform(-0.2, 0.2, (200, 1)),
        "rewards": random.normal(size=200),
        "costs": np.zeros(200),
        "next_observations": states[:, 1:].reshape(200, 1),
        **changes,
    }
    ends = np.arange(200) % 20 == 19
    numbers = {name: values.astype(np.float32) for name, values in arrays.items()}
    data = Dataset("own", **numbers, terminated=ends & False, truncated=ends)
    file = TaskFile(
        TaskTable("own", horizon=20),
        ObservationTable(("position",)),
        ActionTable(("valve",), low=(0.0,), high=(10.0,), rate_limit=(2.5,)),
        (ConstraintTable("wall", expression="position - 5"),),
        EpisodesTable(by="episode"),
    )
    return Checked(data, file, data.next_observations - 5)


def test_nothing_is_said_of_clean_data_and_coverage_has_numbers() -> None:
    assert log_remarks(checked()) == []
    lines = dict(coverage_lines(checked()))
    assert lines["episodes without a violation"] == "10 of 10"
    assert lines["valve: share of its range that is used"] == "20%"


def test_rates_units_and_leaks() -> None:
    actions = np.zeros((200, 1))
    actions[50] = 1.0  # from 5 to 10, and back: two steps of 190 within episodes
    (rate,) = log_remarks(checked(actions=actions))
    assert rate.startswith(
        "action valve changes by more than its rate_limit of 2.5 in 1.05% of the steps, by 5 at most"
    )
    clean = checked().data
    scale = np.where(np.arange(200) < 60, 1000.0, 1.0)[:, None]
    (unit,) = log_remarks(checked(observations=clean.observations * scale, next_observations=clean.next_observations))
    assert "column position is" in unit
    assert "times larger in 3 of 10 episodes than in the others, as where they have another unit" in unit
    (leak,) = log_remarks(checked(rewards=clean.observations[:, 0]))
    twice = checked()
    table = replace(twice.file.action, columns=("position",))
    (told,) = log_remarks(replace(twice, file=replace(twice.file, action=table)))
    assert told.startswith("column position is action and observation of the same step")
    assert leak == "column position of the observation is the reward of the same step, which is not known when it acts"
