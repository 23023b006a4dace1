"""What the commands do around an evaluation on a simulator: selections of the data, workers that die, files."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from tests.data_fixtures import make_dataset
from tests.fake_vector import FakeVector
from tests.unit.test_simulated import SEEDS, STATES, Counting

from surefoot.data import Dataset, save
from surefoot.data.selection import data_name, method_name, select, selection
from surefoot.envs.simulators.install import simulator_versions
from surefoot.errors import ConfigError, DataError
from surefoot.evaluation.evaluation import evaluate
from surefoot.evaluation.kinds.limits import by_protocol
from surefoot.runs.loaded import LoadedRun
from surefoot.runs.run_data import run_data
from surefoot.tasks import get_task
from surefoot.training import RunConfig, RunDirectory

BALL_RUN = get_task("BallRun")


def ball_data(costs: tuple[int, ...]) -> Dataset:
    """An episode of 20 steps for each number of costly steps."""
    dataset = make_dataset(BALL_RUN, lengths=(20,) * len(costs), tail=0)
    for number, count in enumerate(costs):
        dataset.costs[20 * number : 20 * number + 20] = [1.0] * count + [0.0] * (20 - count)
    return dataset


def run_config(**changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "algorithm": "fisor", "task": "BallRun", "preset": None, "seeds": SEEDS, "hyperparameters": {},
        "spec": BALL_RUN.spec, "data_path": "", "data_fingerprint": "", "log_interval": 1, "checkpoint_interval": 1,
        "command": (), "versions": {},
    }  # fmt: skip
    return RunConfig(**(values | changes))


def test_a_safe_selection_keeps_episodes_within_the_limit() -> None:
    dataset = ball_data((0, 9, 5, 6))
    record = selection(BALL_RUN, data_filter="safe", fraction=1.0)
    assert record == {"filter": "safe", "cost_limit": 5.0}
    assert select(dataset, record).cost_returns.tolist() == [0.0, 5.0]
    wider = selection(BALL_RUN, data_filter="safe", fraction=1.0, limit=6.0)
    assert select(dataset, wider).cost_returns.tolist() == [0.0, 5.0, 6.0]


def test_a_share_is_the_same_every_time_and_part_of_a_larger_one() -> None:
    dataset = ball_data(tuple(range(10)))
    half, most = (selection(BALL_RUN, data_filter="all", fraction=share) for share in (0.5, 0.8))
    small, large = (set(select(dataset, record).cost_returns.tolist()) for record in (half, most))
    assert (len(small), len(large)) == (5, 8)
    assert small < large
    assert small == set(select(dataset, half).cost_returns.tolist())


def test_all_data_are_an_empty_record() -> None:
    dataset = ball_data((0, 1))
    assert selection(BALL_RUN, data_filter="all", fraction=1.0) == {}
    assert select(dataset, {}) is dataset


def test_a_selection_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match=r"data_filter safe with a cost limit of 5: .* found none"):
        select(ball_data((8, 9)), selection(BALL_RUN, data_filter="safe", fraction=1.0))
    with pytest.raises(ConfigError, match=r"fraction: expected a share above 0 and at most 1, found 1\.5"):
        selection(BALL_RUN, data_filter="all", fraction=1.5)


def test_methods_are_named_by_algorithm_and_data() -> None:
    safe = {"filter": "safe", "cost_limit": 5.0}
    assert (data_name({}), data_name(safe), data_name({"fraction": 0.1})) == ("all", "safe", "10 %")
    assert method_name("bc", safe) == "BC-Safe"
    assert method_name("fisor", {"fraction": 0.1}) == "FISOR (10 %)"


def test_a_run_finds_its_selection_of_the_file_again(tmp_path: Path) -> None:
    dataset = ball_data((0, 9, 5, 6))
    save(tmp_path / "data.hdf5", dataset)
    record = selection(BALL_RUN, data_filter="safe", fraction=1.0)
    config = run_config(
        data_path=str(tmp_path / "data.hdf5"),
        data_fingerprint=select(dataset, record).fingerprint(),
        data_selection=record,
    )
    found = run_data(RunDirectory(tmp_path), config).transitions
    assert found is not None
    assert found.cost_returns.tolist() == [0.0, 5.0]
    other = run_data(RunDirectory(tmp_path), run_config(data_path=config.data_path))
    assert other.transitions is None
    assert other.reason.startswith(f"{config.data_path} holds other data than those that {tmp_path} was trained on")


def test_a_run_from_before_there_were_selections_is_read(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.start(run_config(), resume=False)
    values = json.loads(directory.config_path.read_text())
    del values["data_selection"]
    directory.config_path.write_text(json.dumps(values))
    assert directory.read_config() == run_config()


def test_versions_of_a_simulator_of_its_own_are_its_pins() -> None:
    assert simulator_versions(get_task("easymean")) == {"metadrive-simulator": "0.3.0.1", "Panda3D": "1.10.13"}


def test_workers_that_died_are_reported_and_cost_no_episode(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def open_environment(task: Any, lanes: int, workers: int) -> FakeVector:
        asked.append((lanes, workers))
        return FakeVector(lanes, deaths_at=(2,))

    loaded = LoadedRun(RunDirectory(tmp_path), run_config(), cast(Any, Counting()), STATES, 7)
    evaluation = by_protocol(BALL_RUN, episodes=3)
    summary = evaluate(evaluation, loaded, workers=2, open_environment=open_environment)
    assert asked == [(6, 2)]
    protocol = summary["protocol"]
    assert (protocol["episodes"], protocol["restarts"]) == (6, 6)
    assert protocol["worker_deaths"] == [
        {"task": "Fake", "seeds": (1_000_000, 1_000_001, 1_000_002) * 2, "how": "killed by signal 9"}
    ]
    rows = [json.loads(line) for line in (tmp_path / "evaluation" / "episodes.jsonl").read_text().splitlines()]
    assert [row["restarts"] for row in rows] == [1] * 6
    assert max(row["return"] for row in rows) < 100  # nothing of the discarded beginnings
    assert summary["rollouts"] == []
