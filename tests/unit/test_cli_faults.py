"""All faults of a command line come in one message, whatever finds them, and before any work."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.stub_planner import StubPlanner
from tests.stub_run import know_the_stub, stub_run

from surefoot import presets
from surefoot.algorithms import ALGORITHMS
from surefoot.cli.flags import given_flags, without_flags
from surefoot.cli.main import main
from surefoot.cli.options import choose, parse_with_hyperparameters
from surefoot.cli.train import TrainOptions
from surefoot.errors import ConfigError
from surefoot.faults import Faults
from surefoot.tasks import get_task
from surefoot.training import RunDirectory, make_config


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    found = capsys.readouterr()
    assert found.err.count("error: ") == 1
    return found.err.removeprefix("error: ").rstrip("\n")


def hyper_refusal(*words: str, algorithm: str) -> str:
    """What `surefoot train` says of hyper-parameters."""
    choice = choose(["--algorithm", algorithm])
    with pytest.raises(ConfigError) as refused:
        parse_with_hyperparameters(TrainOptions, ["--out", "x", *words], choice, command="train", out=Path("x"))
    return str(refused.value)


@pytest.mark.parametrize(
    ("algorithm", "words", "sentence"),
    [
        (  # a range, and relations inside two parts
            "safedreamer",
            ["--planner.num-elites", "9999", "--world-model.bins", "4", "--discount", "2"],
            "--discount: expected a number in (0, 1), found 2; "
            "--world-model.bins: expected an odd number, found 4; "
            "--planner.num-elites: expected at most all 80 sequences, found 9999.",
        ),
        (  # several relations of one class
            "fosp",
            ["--no-data-branch", "--no-imagined-branch", "--weighting", "cloning", "--actor-mode", "backprop"],
            "--data-branch: expected it or imagined_branch, at least one of them, found neither; "
            "--weighting: expected feasibility or reward with actor_mode backprop, found cloning.",
        ),
        (  # of a part and of the whole
            "trebi",
            ["--network.kernel", "4", "--network.width", "12", "--control-interval", "1000", "--sampler.steps", "900"],
            "--network.width: expected a multiple of 8, found 12; "
            "--network.kernel: expected an odd number, found 4; "
            "--sampler.steps: expected at most diffusion_steps = 20, found 900; "
            "--control-interval: expected a number in [1, 16], found 1000.",
        ),
        (  # what would not go with a number that is refused itself is not held against the others
            "fisor",
            ["--schedule", "joint", "--policy-batch-size", "-3", "--value-batch-size", "3000", "--fraction", "7"],
            "--policy-batch-size: expected at least 1, found -3; --fraction: expected a number in (0, 1], found 7.",
        ),
        (  # what is no number
            "fisor",
            [
                "--log-interval",
                "abc",
                "--value-hidden",
                "4",
                "x",
                "--margin=y",
                "--policy-steps",
                "1.5",
                "--seeds",
                "z",
            ],
            "--log-interval: expected a whole number, found 'abc'; --value-hidden: expected a whole number, found 'x'; "
            "--margin: expected a number, found 'y'; --policy-steps: expected a whole number, found '1.5'.",
        ),
        (  # a fault of fields that were not given, because of others that were
            "fisor",
            ["--schedule", "joint", "--policy-batch-size=3", "--policy-steps", "2", "--discount", "1"],
            "--discount: expected a number in [0, 1), found 1; --value-batch-size: expected at most policy_steps * "
            "policy_batch_size = 6 in joint training, found 256.",
        ),
    ],
)
def test_ranges_and_relations_come_together(algorithm: str, words: list[str], sentence: str) -> None:
    assert hyper_refusal(*words, algorithm=algorithm) == sentence


@pytest.mark.parametrize(
    ("algorithm", "words", "sentence"),
    [
        ("bcrl", ["--cost-limit", "10", "20"], "--cost-limit: expected none in training, as bcrl is told what "
         "an episode may cost when it acts; evaluate with --cost-limit"),
        ("cdt", ["--budget=0.5"], "--budget: expected none in training, as cdt is told what an episode"),
        ("cpq", ["--budget", "0.5"], "--budget: expected none, as cpq takes no budget when it acts; --cost-limit is"),
        ("cpq", ["--cost-limit", "nan"], "--cost-limit: expected a number in [0, inf), found nan"),
        ("bc", ["--cost-limit", "-1"], "--cost-limit: expected none, as bc has no limit on costs; "
         "--data-filter safe with --filter-cost-limit chooses the episodes that it learns from"),
    ],
)  # fmt: skip
def test_a_limit_that_a_method_does_not_take_in_training(
    algorithm: str, words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--algorithm", algorithm, "--out", str(tmp_path / "run")]
    found = refusal(capsys, "train", *place, "--data", str(tmp_path / "none.hdf5"), *words)
    assert found.startswith(sentence)
    assert not (tmp_path / "run").exists()
    if (file := tmp_path / "options.toml") and algorithm == "bcrl":
        file.write_text("cost_limit = [10, 20]")
        found = refusal(capsys, "sweep", *place, "--task", "PointRobot", "--data", "none.hdf5", "--config", str(file))
        assert found.startswith(f"{file}: line 1: cost_limit: expected none in training, as bcrl is told what")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of FISOR that has done two updates, as far as its folder says."""
    task, algorithm = get_task("PointRobot"), presets.build("fisor", get_task("PointRobot"), preset="small")
    config = make_config(
        algorithm, name="fisor", task=task.name, preset="small", spec=task.spec, seeds=(0, 1),
        data_path=str(tmp_path / "data.hdf5"), data_fingerprint="none", log_interval=10, checkpoint_interval=20,
    )  # fmt: skip
    directory = RunDirectory(tmp_path / "run")
    directory.start(config, resume=False)
    directory.save_checkpoint(2, {}, config.identity)
    return directory.path


def test_a_resumed_training_names_all_that_differs_and_all_that_cannot_be(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = refusal(
        capsys, "train", "--out", str(run), "--resume", "--log-interval", "7", "--value-batch-size", "3",
        "--reward-updates", "12", "--discount", "2", "--seeds", "0", "--filter-cost-limit", "5",
    )  # fmt: skip
    for part in (
        "--discount: expected a number in [0, 1), found 2",
        "--log-interval: the run has 10, found 7",
        "--value-batch-size: the run has 256, found 3",
        "--seeds: the run has 0 1, found 0",
        "--filter-cost-limit: the run has none, found 5",
        "--reward-updates: the run has",
        "--filter-cost-limit: expected none with --data-filter all, found 5",
    ):
        assert part in found.replace("the run has None", "the run has none")
    words = ["--algorithm", "bc", "--log-interval", "0", "--checkpoint-interval", "3", "--seeds", "x"]
    found = refusal(capsys, "train", "--out", str(run), "--resume", *words)
    for part in (
        "--algorithm: the run has fisor, found bc",
        "--log-interval: expected at least 1, found 0",
        "--checkpoint-interval: the run has 20, found 3",
        "--seeds: expected a range as 0:3, a list as 0,1,2 or a number, found 'x'",
    ):
        assert part in found


def test_a_training_that_begins_names_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").write_text("")
    words = ["--fraction", "2", "--filter-cost-limit", "3", "--seeds", "1:1", "--log-interval", "0"]
    found = refusal(capsys, "train", "--task", "BallRun", "--out", str(tmp_path), *words)
    for part in (
        "--fraction: expected a number in (0, 1], found 2; --log-interval: expected at least 1, found 0; ",
        "expected an empty or new folder, found files",
        "--seeds: expected 1 to 1024 seeds, found 0",
        "--filter-cost-limit: expected none with --data-filter all, found 3",
    ):
        assert part in found
    found = refusal(capsys, "train", "--task", "BalRun", "--out", "x", "--log-interval", "0", "--fraction", "nan")
    assert found.startswith("unknown task 'BalRun'; did you mean BallRun")
    assert found.endswith(
        "--log-interval: expected at least 1, found 0; --fraction: expected a number in (0, 1], found nan."
    )


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            ["evaluate", "RUN", "--gifs", "3", "--protocol", "dsrl", "--num-envs", "0", "--episodes", "-1"],
            ["--num-envs: expected at least 1", "--episodes: expected at least 1", "--gifs: expected none"],
        ),
        (
            ["calibrate", "RUN", "--level", "0", "--stretch", "0", "--method", "budgets", "--data", "x"],
            ["--level: expected a number in (0, 1)", "--stretch: expected at least 1", "--data: expected none for"],
        ),
        (
            ["bench", "act", "NONE", "--batch", "0", "--seconds", "-1"],
            ["--batch: expected at least 1", "--seconds: expected a number", "found no config.json there"],
        ),
        (
            ["collect", "--workers", "3", "--transitions", "0", "--out", "RUN/config.json"],
            ["--transitions: expected at least 1", "--workers: expected none for PointRobot", "the file exists"],
        ),
        (
            ["sweep", "--task", "SafePendulum", "--data", "x", "--out", "o", "--workers", "2", "--fraction", "1", "1",
             "--seeds", "y", "--episodes", "0"],
            ["--episodes: expected", "--workers: expected none", "--fraction: expected different", "--seeds: expected"],
        ),
        (
            ["finetune", "NONE", "--out", "o", "--without-offline-data", "--online-share", "0.5", "--num-envs", "0"],
            ["--num-envs: expected at least 1", "--online-share: expected none", "found no config.json there"],
        ),
        (
            ["data", "filter", "density", "x", "--out", "RUN/config.json", "--share=0.5", "--most", "3", "--seed=-1"],
            ["--seed: expected", "--most: expected none for a published grid", "it exists already"],
        ),
        (
            ["quickstart", "--out", "RUN", "--seeds", "z", "--episodes", "0", "--discount", "1"],
            ["--episodes: expected", "--discount: expected", "--seeds: expected a range"],
        ),
    ],
)  # fmt: skip
def test_every_command_names_all(
    words: list[str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    know_the_stub(monkeypatch)
    monkeypatch.chdir(tmp_path)
    run = stub_run(tmp_path / "run", StubPlanner())
    before = sorted(tmp_path.rglob("*"))
    places = {"RUN": str(run), "RUN/config.json": str(run / "config.json"), "NONE": str(tmp_path / "none")}
    found = refusal(capsys, *[places.get(word, word) for word in words])
    for part in parts:
        assert part in found
    assert sorted(tmp_path.rglob("*")) == before  # nothing was done


# --- the parts -------------------------------------------------------------------------------------------------------


def test_faults_are_gathered_and_then_said_once() -> None:
    def refused(sentence: str) -> int:
        raise ConfigError(sentence)

    def check(end: Callable[[], Any]) -> None:
        with Faults() as faults:
            faults.add("a: wrong.")
            assert faults.attempt(lambda: refused("b: wrong."), 3) == 3
            faults.add("a: wrong")
            end()

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(ConfigError, match=r"^a: wrong; b: wrong; c: wrong\.$"):
        check(lambda: refused("c: wrong."))
    with pytest.raises(ConfigError, match=r"^a: wrong; b: wrong\.$"):
        check(lambda: None)
    with pytest.raises(ConfigError, match=r"^a: wrong; b: wrong\.$"):
        check(lambda: sys.exit(2))  # the parser has said its own
    with pytest.raises(KeyboardInterrupt):
        check(interrupted)
    with Faults() as faults:
        assert faults.attempt(lambda: 4, 0) == 4


def test_work_begins_where_nothing_was_gathered() -> None:
    def work() -> None:
        with Faults() as faults:
            with faults, faults.also():  # a command's own checks, which take over the parser's
                raise ConfigError("wrong.")
            raise AssertionError("begun")

    with pytest.raises(ConfigError, match=r"^wrong\.$"):
        work()


def test_flags_are_left_out_with_their_values() -> None:
    kind: Any = TrainOptions
    options = kind[type(ALGORITHMS["fisor"]())]
    words = ["--out", "x", "--value-hidden", "3", "4", "--no-count-state-left", "--strict", "--discount=3", "--seeds=0"]
    names = {"--value-hidden", "--count-state-left", "--discount", "--out"}
    assert without_flags(options, words, names) == ["--strict", "--seeds=0"]
    assert given_flags(["--a.no-b", "--no-c=1", "x", "--d-e"]) == {"--a.b", "--c", "--d-e"}


def test_a_sweep_that_goes_on_names_all_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--task", "SafePendulum", "--data", "gone.hdf5", "--fraction", "0.5", "1", "--seeds", "0:2"]
    task, algorithm = get_task("SafePendulum"), presets.build("fisor", get_task("SafePendulum"), preset="small")
    config = make_config(
        algorithm, name="fisor", task=task.name, preset="small", spec=task.spec, seeds=(0, 1),
        data_path=str(tmp_path / "gone.hdf5"), data_fingerprint="none", log_interval=500, checkpoint_interval=2500,
        command=("surefoot", "sweep", *words, "--out", "elsewhere"),
    )  # fmt: skip
    RunDirectory(tmp_path / "fraction_0.5").start(config, resume=False)
    resume = ["sweep", "--out", str(tmp_path), "--resume"]
    found = refusal(capsys, *resume, "--episodes", "0", "--discount", "0.5", "--fraction", "0.5", "--seeds", "0,1")
    assert found == (
        f"--episodes: expected at least 1, found 0; {tmp_path}: --fraction: the run has 0.5 1.0, found 0.5; "
        "--discount: the run has 0.99, found 0.5; leave out what differs to go on with the run, or choose another "
        "folder with --out."
    )
    assert "--algorithm: the run has fisor, found bc" in refusal(capsys, *resume, "--algorithm", "bc")
    # Alone it has all options of the sweep, and begins to train.
    assert f"{tmp_path / 'gone.hdf5'}: expected an HDF5 file, found nothing at that place" in refusal(capsys, *resume)


def test_a_page_in_the_place_of_a_folder_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    know_the_stub(monkeypatch)
    run = stub_run(tmp_path / "run", StubPlanner())
    found = refusal(capsys, "report", str(run), "--out", str(tmp_path))
    assert found == f"{tmp_path}: expected a name for a file, found a folder."
