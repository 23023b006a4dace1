"""Costs of D4RL's runners: the speed over the step, not that of the step before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence, write_arrays

from surefoot import data
from surefoot.cli.main import main
from surefoot.data import library
from surefoot.data.d4rl import load_d4rl
from surefoot.data.travel import TravelCost, travel_cost
from surefoot.errors import DataError
from surefoot.tasks import get_task

COST = TravelCost(0.5, alive=1.0, control=0.1)


def test_costs_by_hand() -> None:
    """dt = 0.5. Two episodes: places 0, 1, 0.5 and an end; 7, 7.25 and an end. The last steps go by the reward:
    reward 3 with action 1: velocity 3 - 1 + 0.1 = 2.1; reward 0.5 with action 2: 0.5 - 1 + 0.4 = -0.1."""
    places = np.array([0.0, 1.0, 0.5, 7.0, 7.25])
    actions = np.array([[0.0], [0.0], [1.0], [0.0], [2.0]])
    rewards = np.array([9.0, 9.0, 3.0, 9.0, 0.5])
    ended = np.array([False, False, True, False, True])
    np.testing.assert_allclose(COST(places, actions, rewards, ended), [2.0, 1.0, 2.1, 0.5, 0.1], rtol=1e-6)
    # Without places the rewards say it all: |9 - 1| = 8.
    np.testing.assert_allclose(COST(None, actions, rewards, ended), [8.0, 8.0, 2.1, 8.0, 0.1], rtol=1e-6)
    # Legacy: the step before, nothing at an episode's first step; the last step's own speed is in no label.
    lagged = replace(COST, lagged=True)
    np.testing.assert_allclose(lagged(places, actions, rewards, ended), [0.0, 2.0, 1.0, 0.0, 0.5], rtol=1e-6)
    # The last row of an unfinished episode has no place after it either.
    np.testing.assert_allclose(COST(places, actions, rewards, ended & False)[-2:], [0.5, 0.1], rtol=1e-6)


def hopper_arrays(rows: int = 60) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A file like D4RL's of a made-up runner at 0.5 to 2 m/s, 30 steps an episode, and the true speeds."""
    generator = np.random.default_rng(0)
    velocity = generator.uniform(-0.5, 2.0, rows)
    actions = generator.uniform(-1, 1, (rows, 3))
    ends = np.arange(rows) % 30 == 29
    travelled = (
        np.concatenate([np.concatenate([[0.0], np.cumsum(part)[:-1]]) for part in np.split(velocity, 2)]) * 0.008
    )
    # Next observations follow within an episode, as in the real files.
    path = generator.normal(size=(rows + 1, 11)).astype(np.float32)
    arrays = {
        "observations": path[:-1],
        "next_observations": path[1:],
        "actions": actions.astype(np.float32),
        "rewards": (velocity + 1.0 - 1e-3 * (actions**2).sum(1)).astype(np.float32),
        "terminals": ends & (np.arange(rows) < 30),
        "timeouts": ends & (np.arange(rows) >= 30),
        "infos/qpos": np.column_stack([travelled, np.zeros((rows, 5))]),
        "infos/qvel": np.zeros((rows, 6)),
    }
    return arrays, np.abs(velocity)


def test_a_file_of_d4rls_becomes_one_of_ours(tmp_path: Path) -> None:
    arrays, speed = hopper_arrays()
    write_arrays(tmp_path / "hopper.hdf5", arrays)
    task = get_task("hopper-medium-replay-v2")
    dataset = library.load(tmp_path / "hopper.hdf5", task)
    np.testing.assert_allclose(dataset.costs, speed, rtol=1e-3, atol=1e-4)
    assert dataset.lengths.tolist() == [30, 30]
    words = ["data", "convert", str(tmp_path / "hopper.hdf5"), "--task", task.name, "--out"]
    assert main([*words, str(tmp_path / "ours.hdf5")]) == 0
    converted = data.load(tmp_path / "ours.hdf5", task)
    assert converted.fingerprint() == dataset.fingerprint()
    assert main([*words, str(tmp_path / "lagged.hdf5"), "--lagged-costs"]) == 0
    lagged = data.load(tmp_path / "lagged.hdf5", task)
    np.testing.assert_allclose(lagged.costs[1:30], speed[:29], rtol=1e-3, atol=1e-4)
    assert lagged.costs[[0, 30]].tolist() == [0.0, 0.0]
    assert "lagged" in data.read_card(tmp_path / "lagged.hdf5")["costs"]


def test_training_takes_a_file_of_d4rls(tmp_path: Path) -> None:
    arrays, _ = hopper_arrays()
    write_arrays(tmp_path / "hopper.hdf5", arrays)
    words = [
        "--task",
        "Hopper",
        "--data",
        str(tmp_path / "hopper.hdf5"),
        "--out",
        str(tmp_path / "run"),
        "--seeds",
        "0",
    ]
    small = [
        "--policy-updates",
        "2",
        "--policy-batch-size",
        "4",
        "--diffusion.network.width",
        "8",
        "--diffusion.network.blocks",
        "1",
    ]
    assert main(["train", "--algorithm", "bc", *words, *small]) == 0


@pytest.mark.parametrize(
    ("change", "lagged", "sentence"),
    [
        ({"infos/qpos": np.zeros((3, 6))}, False, "infos/qpos: expected 60 rows as in observations, found 3."),
        ({"infos/qpos": np.full((60, 6), np.nan)}, False, "infos/qpos: expected finite numbers"),
        ({"infos/qpos": np.zeros(60)}, False, "infos/qpos: expected an array of real numbers"),
        ({"infos/qpos": None}, True, "infos/qpos: expected a key of that name, for lagged costs, found none."),
    ],
)
def test_bad_places_are_refused(tmp_path: Path, change: dict, lagged: bool, sentence: str) -> None:
    arrays = {**hopper_arrays()[0], **change}
    write_arrays(tmp_path / "bad.hdf5", {key: values for key, values in arrays.items() if values is not None})
    labeller = travel_cost(get_task("Hopper"))
    assert labeller is not None
    with pytest.raises(DataError) as error:
        load_d4rl(tmp_path / "bad.hdf5", get_task("Hopper"), labeller=replace(labeller, lagged=lagged))
    assert sentence in str(error.value)
    assert is_one_sentence(str(error.value).replace(str(tmp_path), ""))


def test_lagged_costs_are_for_runners_and_for_d4rls_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays, _ = hopper_arrays()
    write_arrays(tmp_path / "costed.hdf5", {**arrays, "costs": np.zeros(60)})
    words = ["data", "convert", str(tmp_path / "costed.hdf5"), "--out", str(tmp_path / "out.hdf5"), "--lagged-costs"]
    assert main([*words, "--task", "BallRun"]) == 2
    assert "BallRun: expected a task that charges for speed" in capsys.readouterr().err
    assert main([*words, "--task", "Hopper"]) == 2
    assert "--lagged-costs: expected a file of D4RL's" in capsys.readouterr().err
    assert not (tmp_path / "out.hdf5").exists()
