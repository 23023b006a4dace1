"""The library as a user imports it: everything that a command does is one call."""

import inspect
import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.own_log import TANK, tank_columns, write_csv, write_task
from tests.stub_planner import StubPlanner
from tests.stub_run import know_the_stub, stub_run
from tests.toy_algorithm import ToyAlgorithm, ToySizes

import surefoot
from surefoot.algorithms import ALGORITHMS
from surefoot.data import load, to_transitions
from surefoot.errors import ConfigError, DataError, SurefootError, UnknownNameError
from surefoot.experiments import train as training

pytestmark = pytest.mark.filterwarnings("ignore::surefoot.errors.SurefootWarning")  # of small data
TOP = Path(__file__).parents[2]


@dataclass(frozen=True)
class OwnToy(ToyAlgorithm):
    """The toy on the data of any task."""

    sizes: ToySizes = ToySizes(4, 4)  # noqa: RUF009

    def prepare(self, dataset: Any, task: Any) -> Any:
        return to_transitions(dataset, reward_scale=1.0)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "toy", OwnToy)


@pytest.fixture
def task(tmp_path: Path) -> surefoot.Task:
    return surefoot.Task.from_file(write_task(tmp_path))


def train(tmp_path: Path, episodes: Any, task: Any, **options: Any) -> surefoot.Run:
    given: dict[str, Any] = {"out": tmp_path / "run", "log_interval": 2, "checkpoint_interval": 4, **options}
    return surefoot.train(OwnToy(), episodes, task, **given)


# --- the module ---


def test_importing_takes_no_jax_and_little_time() -> None:
    code = "import sys, time, surefoot; print(time.process_time(), 'jax' in sys.modules, 'pydantic' in sys.modules)"
    seconds, *loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert loaded == ["False", "False"]
    assert float(seconds) <= 0.3


def test_public_names_are_there_and_documented() -> None:
    assert dir(surefoot) == sorted(surefoot.__all__)
    page = (TOP / "docs" / "python.md").read_text()
    for name in set(surefoot.__all__) - {"__version__"}:
        found = getattr(surefoot, name)
        assert inspect.getdoc(found), name
        assert f"`{name}" in page, name
    for kind in (surefoot.Run, surefoot.Episodes, surefoot.Task, surefoot.Observer):
        for name, member in inspect.getmembers(kind):
            if not name.startswith("_") and (callable(member) or isinstance(member, property)):
                assert inspect.getdoc(member), f"{kind.__name__}.{name}"
    with pytest.raises(AttributeError, match="module 'surefoot' has no attribute 'nonsense'"):
        surefoot.nonsense  # noqa: B018


def test_the_readmes_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (TOP / "README.md").read_text(), re.S)
    (code,) = (one for one in blocks if "from_log" in one)
    assert len(code.splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path).rename("boiler.toml")
    write_csv(tmp_path / "log.csv", tank_columns())
    names: dict[str, Any] = {"observation": np.zeros(3)}
    code = code.replace("surefoot.FISOR()", "OwnToy()")
    names["OwnToy"] = OwnToy
    exec(compile(code, "README.md", "exec"), names)
    assert names["action"].shape == (1,)
    assert names["run"].seeds == (0, 1, 2)
    assert Path("runs/boiler/report.html").exists()


# --- training ---


def test_a_frame_becomes_a_policy(tmp_path: Path, task: surefoot.Task) -> None:
    episodes = surefoot.Episodes.from_frame(tank_columns(), task)
    assert (len(episodes), task.observation_dim, episodes.task.observation_dim) == (8, 2, 3)
    run = train(tmp_path, episodes, task, seeds=2, held_out=0.25)
    assert (run.seeds, run.task.name, run.config.preset) == ((0, 1), "tank", "small")
    assert run.config.task_file is not None
    assert run.config.task_file["observation"]["columns"] == ["level", "flow_1", "flow_2"]
    assert run.summary["training"]["updates"] == 8
    assert run.summary["data"]["held_out"] == 0.25
    kept = load(run.path / "data.hdf5", run.task)
    np.testing.assert_array_equal(kept.actions, episodes.dataset.actions)
    assert run.policy(seed=1).act(np.zeros(3)).shape == (1,)
    assert surefoot.Run(str(run.path)).summary == run.summary
    # What a number is called is known from the task file.
    with pytest.raises(ConfigError, match=r"found nan in column 1 \(flow_1\)\.$"):
        run.policy().act(np.array([0.0, np.nan, 0.0]))


def test_a_killed_training_ends_with_the_same_bits(
    tmp_path: Path, task: surefoot.Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = surefoot.Episodes.from_frame(tank_columns(), task)
    whole = train(tmp_path, episodes, task, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        fit = training.fit
        patch.setattr(training, "fit", lambda *given, **more: fit(*given, **more, stop_at=4))
        train(tmp_path, episodes, task)
    run = train(tmp_path, episodes, task, resume=True)
    np.testing.assert_array_equal(run.policy().act(np.ones(3)), whole.policy().act(np.ones(3)))
    with pytest.raises(ConfigError, match=r"expected an empty or new folder, found files; add resume to go on"):
        train(tmp_path, episodes, task)
    with pytest.raises(ConfigError, match=r"seeds: the run has 0, found 0 1; leave out what differs"):
        train(tmp_path, episodes, task, resume=True, seeds=2)


def test_what_differs_from_defaults_stays_and_the_rest_is_the_presets() -> None:
    from surefoot.api.training import algorithm_by_preset

    task = surefoot.get_task("PointRobot")
    found: Any
    name, found, defaults = algorithm_by_preset(surefoot.FISOR(), task, "small")
    assert (name, found) == ("fisor", defaults)
    assert found.num_candidates == 8  # the class says 16
    changed = replace(surefoot.FISOR(), num_candidates=5)
    assert algorithm_by_preset(changed, task, "small")[1] == replace(found, num_candidates=5)
    assert algorithm_by_preset(changed, task, None)[1] == changed
    assert algorithm_by_preset("fisor", task, "small")[1] == found


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path, task: surefoot.Task) -> None:
    episodes = surefoot.Episodes.from_frame(tank_columns(), task)
    with pytest.raises(ConfigError) as refused:
        train(tmp_path, episodes, task, seeds=0, stream="always", data_filter="all", filter_cost_limit=3.0)
    for part in (
        "seeds: expected a number of seeds, or a list of different ones, found 0",
        "filter_cost_limit: expected none with data_filter all, found 3",
        "stream always: expected a file in DSRL's format, found transitions in memory",
    ):
        assert part in str(refused.value)
    assert is_one_sentence(str(refused.value))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"heldout": 0.1}, UnknownNameError, "unknown option 'heldout'; did you mean held_out?"),
        ({"held_out": 1.5}, ConfigError, r"held_out: expected .*, found 1\.5"),
        ({"preset": "nonsense"}, UnknownNameError, "unknown preset of toy 'nonsense'"),
        ({"learning_rate": 1.0}, ConfigError, r"^learning_rate: expected among .*, as in OwnToy\(learning_rate="),
        (
            {"budget": 0.2},
            ConfigError,
            "budget: expected none, as toy has no limit on costs; data_filter safe with filter",
        ),
        ({"seeds": [1, 1]}, ConfigError, r"seeds: .*, found \[1, 1\]"),
    ],
)
def test_refused(
    options: dict[str, Any], error: type[SurefootError], sentence: str, tmp_path: Path, task: surefoot.Task
) -> None:
    episodes = surefoot.Episodes.from_frame(tank_columns(), task)
    with pytest.raises(error, match=sentence):
        train(tmp_path, episodes, task, **options)
    assert not (tmp_path / "run").exists()


def test_the_task_is_that_of_the_data(tmp_path: Path, task: surefoot.Task) -> None:
    episodes = surefoot.Episodes.from_frame(tank_columns(), task)
    other = surefoot.Task.from_file(write_task(tmp_path, TANK.replace("- 0.3", "- 0.2")))
    with pytest.raises(ConfigError, match="task: expected the task tank as the data were read with, found another"):
        train(tmp_path, episodes, other)
    with pytest.raises(ConfigError, match="task: expected one beside a file, found none"):
        train(tmp_path, tmp_path / "data.hdf5", None)
    with pytest.raises(ConfigError, match=r"algorithm: expected one of bc, .* by the entry point .*, found int"):
        surefoot.train(3, episodes, task, out=tmp_path / "run")  # pyright: ignore[reportArgumentType]


# --- episodes and tasks ---


def test_a_log_and_a_frame_are_the_same_episodes(tmp_path: Path, task: surefoot.Task) -> None:
    log = surefoot.Episodes.from_log(write_csv(tmp_path / "log.csv", tank_columns()), task)
    frame = surefoot.Episodes.from_frame(tank_columns(), task)
    assert log.dataset.fingerprint() == frame.dataset.fingerprint()
    assert log.task == frame.task
    np.testing.assert_array_equal(log.lengths, frame.lengths)


def test_a_reversed_sign_is_warned_of(task: surefoot.Task, tmp_path: Path) -> None:
    reversed_sign = TANK.replace('"abs(level - 0.5) - 0.3"', '"0.3 - abs(level - 0.5)"')
    wrong = surefoot.Task.from_file(write_task(tmp_path, reversed_sign))
    columns = tank_columns(episodes=40)
    assert "reversed" not in " ".join(surefoot.Episodes.from_frame(columns, task).remarks)
    with pytest.warns(surefoot.SurefootWarning, match="constraint level looks reversed"):
        assert surefoot.Episodes.from_frame(columns, wrong).remarks


def test_arrays_become_episodes(tmp_path: Path) -> None:
    from surefoot.tasks import CostLimit

    task = surefoot.Task("Walk", 2, 1, 5, 0.0, 1.0, (CostLimit(1.0),))
    random = np.random.default_rng(0)
    steps = np.arange(20)
    arrays: dict[str, Any] = {
        "observations": random.normal(size=(20, 2)), "actions": random.uniform(-1, 1, (20, 1)),
        "rewards": random.normal(size=20), "costs": random.integers(0, 2, 20),
        "terminated": np.zeros(20), "truncated": steps % 5 == 4,
    }  # fmt: skip
    with pytest.warns(surefoot.SurefootWarning, match="the last step of 4 episodes is followed by its own observation"):
        episodes = surefoot.Episodes.from_arrays(task, **arrays)
    following = episodes.dataset.next_observations
    np.testing.assert_array_equal(following[:4], episodes.dataset.observations[1:5])
    np.testing.assert_array_equal(following[4], episodes.dataset.observations[4])
    np.testing.assert_allclose(episodes.cost_returns, arrays["costs"].reshape(4, 5).sum(1))
    for changes, sentence in (
        ({"actions": 2 * np.ones((20, 1))}, "actions must be scaled"),
        ({"costs": -np.ones(20)}, r"costs: expected numbers >= 0, found -1"),
        ({"truncated": np.full(20, 2)}, "truncated: expected only 0 and 1, found 2"),
        ({"observations": np.zeros((19, 2))}, r"observations: expected shape \[N, obs\]"),
        ({"rewards": ["a"] * 20}, "rewards: expected numbers, found <U1"),
    ):
        with pytest.raises(DataError, match=sentence):
            surefoot.Episodes.from_arrays(task, **{**arrays, **changes})
    with pytest.raises(ConfigError, match=r"task Walk: expected one of a task file, .* Episodes.from_arrays"):
        surefoot.Episodes.from_frame(arrays, task)


def test_columns_wait_for_a_log(task: surefoot.Task) -> None:
    with pytest.raises(ConfigError, match=r"task tank: columns: expected names without \*, found some"):
        task.spec  # noqa: B018
    assert task == surefoot.Episodes.from_frame(tank_columns(), task).task or task.file is not None


def make_pendulum() -> Any:
    return gymnasium.make("Pendulum-v1")


def test_an_environment_is_a_task() -> None:
    task = surefoot.Task.from_env(make_pendulum, constraints=["abs(observation[2]) - 6"])
    assert (task.name, task.horizon, task.observation_dim, task.action_dim) == ("Pendulum-v1", 200, 3, 1)
    assert task.file is not None
    assert task.file.environment is not None
    assert task.file.environment.make.endswith("test_api:make_pendulum")
    assert task.file.action.high == (2.0,)
    assert task.has_signal
    by_id = surefoot.Task.from_env("Pendulum-v1", horizon=50, name="swing")
    assert (by_id.name, by_id.horizon, by_id.has_signal) == ("swing", 50, False)
    steps = np.arange(40)
    random = np.random.default_rng(0)
    frame = {f"observation[{number}]": random.normal(size=40) for number in range(3)}
    frame |= {"action[0]": random.uniform(-2, 2, 40), "reward": random.normal(size=40)}
    frame |= {"terminated": np.zeros(40), "truncated": steps % 20 == 19}
    assert len(surefoot.Episodes.from_frame(frame, task)) == 2
    with pytest.raises(ConfigError, match=r"Task.from_env: constraint\[0\].expression: .*found"):
        surefoot.Task.from_env("Pendulum-v1", constraints=["open('x')"])
    with pytest.raises(ConfigError, match="make_env: expected actions of a Box, found Discrete"):
        surefoot.Task.from_env("CartPole-v1")
    with pytest.raises(ConfigError, match="make_env: expected the id of a Gymnasium environment, found"):
        surefoot.Task.from_env("Nonsense-v0")


# --- runs ---


class SwingEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A number that the action moves; above 1 it trips."""

    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-0.5, 0.5, 1)
        return self.place, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.place = np.clip(self.place + 0.2 * action, -9, 9)
        return self.place, -abs(float(self.place[0])), False, False, {"cost": float(self.place[0] > 1)}


def test_a_policy_is_measured_in_an_environment_of_ones_own(tmp_path: Path) -> None:
    task = surefoot.Task.from_env(SwingEnv, constraints=["observation[0] - 1"], horizon=10, name="swing")
    random = np.random.default_rng(0)
    columns: dict[str, list[float]] = {name: [] for name in ("observation[0]", "action[0]", "reward")}
    for seed in range(8):
        env = SwingEnv()
        seen, _ = env.reset(seed=seed)
        for _ in range(10):
            action = random.uniform(-2, 2, 1)
            following, reward, *_ = env.step(action)
            row = (float(seen[0]), float(action[0]), reward)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            seen = following
    frame = {name: np.array(values) for name, values in columns.items()}
    frame |= {"terminated": np.zeros(80), "truncated": np.arange(80) % 10 == 9}
    run = train(tmp_path, surefoot.Episodes.from_frame(frame, task), task)
    found = run.evaluate(lambda: SwingEnv(), episodes=3)  # noqa: PLW0108 (no other process finds it)
    assert found["protocol"]["episodes"] == 3
    rows = [json.loads(line) for line in (run.path / "evaluation" / "episodes.jsonl").read_text().splitlines()]
    assert [row["length"] for row in rows] == [10, 10, 10]
    assert all(row["return"] < 0 for row in rows)


def test_a_run_is_measured_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    know_the_stub(monkeypatch)
    run = surefoot.Run(stub_run(tmp_path / "run", StubPlanner()))
    found = surefoot.evaluate(str(run.path), budget=0.5, episodes=2)
    assert found["budgets"]["budgets"][0]["ratio"] == 0.5
    assert json.loads((run.path / "summary.json").read_text())["budgets"] == found["budgets"]
    assert "0.5" in run.table()
    with pytest.raises(UnknownNameError, match="unknown option 'episode'; did you mean episodes"):
        run.evaluate(episode=2)
    with pytest.raises(ConfigError, match="expected an algorithm that can be fine-tuned, found stub"):
        surefoot.finetune(run, tmp_path / "tuned", steps=10)
    timed = run.measure_latency(batch=2, calls=3, seconds=0)["batches"][0]
    assert (timed["batch"], timed["calls"]) == (2, 3)
    assert timed["p50_ms"] <= timed["p95_ms"] <= timed["p99_ms"]
    with pytest.raises(ConfigError, match="gifs: expected none for stub on Spend, found 2"):
        run.evaluate(budget=0.5, gifs=2)
    with pytest.warns(surefoot.SurefootWarning, match="the report shows no data"):
        assert run.report(tmp_path / "page.html").exists()
    with pytest.raises(ConfigError, match="expected a run directory, found no config"):
        surefoot.Run(tmp_path)
