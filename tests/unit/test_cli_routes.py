"""Every option of every command is read or refused, on each of the command's ways."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from tests.stub_planner import StubPlanner
from tests.stub_run import know_the_stub, stub_run

from surefoot.algorithms import ALGORITHMS
from surefoot.cli import bench, calibrate, collect, evaluate, finetune
from surefoot.cli.main import main
from surefoot.cli.options import given_options
from surefoot.envs.point_robot import ROBOTS
from surefoot.envs.pure import PURE_TASKS, PureVector
from surefoot.errors import ConfigError, flag, options_called
from surefoot.evaluation import latency, request
from surefoot.evaluation.calibrate import ROUTES as CALIBRATE_ROUTES
from surefoot.evaluation.kinds.budgets import BudgetRequest
from surefoot.experiments import data_convert, sweep
from surefoot.experiments.collect import ROUTES as COLLECT_ROUTES
from surefoot.experiments.finetune import ROUTES as FINETUNE_ROUTES
from surefoot.protocols import Inputs
from surefoot.routes import Routes, refuse_others
from surefoot.tasks import TASKS

COMMANDS: dict[str, tuple[Any, Routes]] = {
    "bench": (bench.BenchActOptions, latency.ROUTES),
    "calibrate": (calibrate.CalibrateOptions, CALIBRATE_ROUTES),
    "collect": (collect.CollectOptions, COLLECT_ROUTES),
    "evaluate": (evaluate.EvaluateOptions, request.ROUTES),
    "data convert": (data_convert.ConvertRequest, data_convert.ROUTES),
    "finetune": (finetune.FinetuneOptions, FINETUNE_ROUTES),
    "sweep": (sweep.SweepRequest, sweep.ROUTES),
}


@pytest.fixture(autouse=True)
def as_flags() -> Iterator[None]:
    with options_called(flag):
        yield


def defaults(kind: Any) -> Any:
    made = dataclasses.make_dataclass(
        kind.__name__,
        [
            (field.name, Any, dataclasses.field(default=field.default, kw_only=True))
            for field in dataclasses.fields(kind)
        ],
    )
    return made(**{field.name: "given" for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING})


@pytest.mark.parametrize("command", COMMANDS)
def test_each_option_is_read_on_some_way_and_refused_on_the_others(command: str) -> None:
    kind, routes = COMMANDS[command]
    names = {field.name for field in dataclasses.fields(kind)}
    assert frozenset().union(*routes.values()) == names
    for taken in routes.values():
        untouched = defaults(kind)
        refuse_others(untouched, taken, "this way")
        for name in names:
            changed = dataclasses.replace(untouched, **{name: "another"})
            if name in taken:
                refuse_others(changed, taken, "this way", given={name})
                continue
            with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: expected none for this way"):
                refuse_others(changed, taken, "this way")
            # An option that is given as it is by default anyway is not read, either.
            with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: expected none"):
                refuse_others(untouched, taken, "this way", given={name})


def test_all_refused_options_are_named_at_once() -> None:
    options = dataclasses.replace(defaults(evaluate.EvaluateOptions), gifs=3, cost_limit=(1.0, 2.5))
    with pytest.raises(ConfigError, match=r"^--gifs, --cost-limit: expected none for it, found 3, 1 2\.5\.$"):
        refuse_others(options, request.ROUTES["images"], "it")


def test_options_that_a_command_line_names() -> None:
    words = ["run", "--cost-limit", "5", "--first_episode=3", "--hyper.thing", "1", "gifs"]
    assert given_options(evaluate.EvaluateOptions, words) == {"cost_limit", "first_episode"}


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 2
    return capsys.readouterr().err


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    know_the_stub(monkeypatch)
    return stub_run(tmp_path / "run", StubPlanner())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--gifs", "2"], "--gifs: expected none for stub on Spend, found 2"),
        (["--protocol", "strict", "--workers", "1"], "--protocol, --workers: expected none for stub on Spend"),
        (["--task", "BallRun"], "--task: expected none for a run on Spend, found BallRun"),
        (["--task", "Nonsense"], "unknown task 'Nonsense'"),
        (["--extraction", "maxq"], "has no extraction; leave --extraction out"),
    ],
)
def test_what_an_evaluation_under_budgets_does_not_read(
    words: list[str], sentence: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refusal(capsys, "evaluate", str(run), "--budget", "0.5", *words)
    assert not (run / "evaluation").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "budgets", "--stretch", "50"], "--stretch: expected none for --method budgets, found 50"),
        (["--method", "episodes", "--data", "x"], "--data: expected none for --method episodes, found x"),
        (
            ["--method", "segments", "--num-candidates", "3"],
            "--num-candidates: expected none for --method segments, found 3",
        ),
        (["--first-episode", "3"], "--first-episode: expected none for --method selected, found 3"),
    ],
)
def test_what_a_calibration_does_not_read(
    words: list[str], sentence: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refusal(capsys, "calibrate", str(run), *words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--steps", "100"], "--steps: expected none for PointRobot, which has no simulator, found 100"),
        (["--task", "HazardRun", "--workers", "1"], "--workers: expected none for HazardRun"),
        (["--task", "PointGoal1Vision", "--steps", "9", "--overwrite"], "--steps, --overwrite: expected none for"),
        (["--task", "SafePendulum", "--recipe", "medium-replay", "--transitions", "9"], "--transitions: expected none"),
        (["--task", "hopper-medium-expert-v2"], "collect Hopper --recipe medium-replay"),
        (["--task", "hopper-medium-replay-v2", "--recipe", "medium-replay"], "a set of D4RL's"),
        (["--task", "Hopper"], "--recipe: expected medium-replay for Hopper, found default"),
        (["--task", "SafeReacher"], "--recipe: expected medium-replay for SafeReacher, found default"),
        (["--task", "HazardRunShifted"], "is there to fine-tune on; collect HazardRun."),
        (
            ["--task", "SwimmerVelocity", "--steps", "8000"],
            "in each of 16 lanes, about 16,000, found 8,000, which is 500",
        ),
        (["--task", "Hopper", "--recipe", "medium-replay", "--steps", "9000"], "about 10,000, found 9,000"),
    ],
)
def test_what_a_collection_does_not_read_or_cannot_make(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refusal(capsys, "collect", *words, "--out", str(tmp_path / "data.hdf5"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task", "HazardRun"], "--task: expected a task of vectors"),
        (["--task", "SafePendulum", "--workers", "2"], "--workers: expected none for SafePendulum"),
        (["--protocol", "dsrl"], "--protocol dsrl: task PointRobot is not in it"),
    ],
)
def test_a_sweep_that_could_not_be_measured_is_refused_before_it_trains(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert sentence in refusal(capsys, "sweep", *words, "--data", "none.hdf5", "--out", str(out))
    assert not out.exists()


def test_bench_of_a_policy_without_budgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    know_the_stub(monkeypatch)
    monkeypatch.setattr(StubPlanner, "inputs", Inputs())
    path = stub_run(tmp_path / "run", StubPlanner())
    assert "--budget: expected none for stub, which plans under no budget, found 1" in refusal(
        capsys, "bench", "act", str(path), "--budget", "1.0"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--filter-cost-limit", "5"], "--filter-cost-limit: expected none with --data-filter all, found 5"),
        (["--data-filter", "frontier", "--filter-cost-limit", "5"], "expected none with --data-filter frontier"),
        (
            ["--algorithm", "trebi", "--stream", "always"],
            "--stream always: expected an algorithm",
        ),
    ],
)
def test_what_training_does_not_read(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*words, "--data", str(tmp_path / "none.hdf5"), "--out", str(tmp_path / "out")]
    assert sentence in refusal(capsys, "train", *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["filter", "safe", "x", "--seed", "3"], "unknown option '--seed'"),
        (["filter", "density", "x", "--share", "0.5", "--most", "30"], "--most: expected none for a published grid"),
        (["convert", "x", "--to", "minari", "--overwrite"], "--overwrite: expected none for a folder"),
        (["convert", "BallRun", "--task", "CarRun"], "--task: expected none for the published data of BallRun"),
    ],
)
def test_what_data_commands_do_not_read(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refusal(capsys, "data", *words, "--out", str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_lanes_of_a_pure_task_begin_the_episode_of_their_seed() -> None:
    """200 steps of SafePendulum, of two lanes: an episode's rewards depend on its seed alone."""
    task = PURE_TASKS["SafePendulum"]

    def rewards(seeds: list[int], following: list[int]) -> tuple[np.ndarray, np.ndarray]:
        lanes = PureVector(task, num_envs=len(seeds))
        lanes.reset(np.array(seeds))
        steps = [lanes.step(np.zeros((len(seeds), 1)), np.array(following)) for _ in range(task.horizon + 3)]
        ended = np.array([step.terminated | step.truncated for step in steps])
        np.testing.assert_array_equal(np.flatnonzero(ended.any(1)), [task.horizon - 1])
        last = steps[task.horizon - 1]
        assert (last.observation != last.start_observation).any()
        return np.array([step.reward for step in steps]), np.asarray(last.start_observation)

    first, began = rewards([1_000_000, 1_000_001], [1_000_002, 1_000_000])
    second, _ = rewards([1_000_001, 1_000_000], [7, 8])
    np.testing.assert_array_equal(first[: task.horizon, 0], second[: task.horizon, 1])
    assert (first[: task.horizon, 0] != first[: task.horizon, 1]).any()
    # The second lane's next episode is the one that the first began with.
    np.testing.assert_array_equal(began[1], PureVector(task, num_envs=2).reset(np.array([1_000_000, 3]))[0])


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_algorithm_is_measured_on_every_task_by_a_way_that_fits(algorithm: str) -> None:
    for task in TASKS.values():
        kind = ALGORITHMS[algorithm]
        config = SimpleNamespace(task=task.name, algorithm=algorithm, known_task=lambda task=task: task)
        loaded = SimpleNamespace(algorithm=kind, config=config)
        found = request.route_of(cast(Any, loaded), BudgetRequest())
        assert found in request.ROUTES
        # The robots' way reads poses, that of images pictures; our own other tasks have neither.
        assert (found == "point robot") == (task.name in ROBOTS and not kind.inputs.budget)
        assert found.endswith("in a simulator") == task.simulated
        assert found.startswith("budgets") == kind.inputs.budget
        if not task.simulated and found != "point robot":
            assert task.name in PURE_TASKS
