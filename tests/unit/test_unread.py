"""Hyper-parameters that nothing reads are refused where they are given, and learning that is left out is named."""

from pathlib import Path

import pytest

from surefoot import presets
from surefoot.algorithms import ALGORITHMS
from surefoot.algorithms.unread import unread, untrained
from surefoot.cli.main import main
from surefoot.cli.options import choose, parse_with_hyperparameters
from surefoot.cli.train import TrainOptions
from surefoot.errors import ConfigError, flag, options_called
from surefoot.experiments.unread import learning_remarks, refuse_unread
from surefoot.faults import Faults
from surefoot.hyperparameters import prefixed
from surefoot.presets import presets_of
from surefoot.tasks import get_task

TASKS = ("PointRobot", "BallRun", "SafePendulum", "HazardRun", "PointRobotPixels")


def refused(*words: str) -> str:
    """What `surefoot train` says of hyper-parameters that are given; empty where nothing is wrong."""
    choice = choose(words)
    options = parse_with_hyperparameters(
        TrainOptions, ["--out", "x", *words], choice, command="train", algorithm=choice.algorithm,
        task=choice.task.name, preset=choice.preset, out=Path("x"),
    )  # fmt: skip
    with Faults() as faults, options_called(flag):
        refuse_unread(options.hyper, choice.defaults, faults)
    return ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--task", "BallRun", "--trajectory-bound", "--value-bound"],
            "--trajectory-bound: expected none with value_targets returns, which does not read it, found True; "
            "--value-bound: expected none with value_targets returns, which does not read it, found True.",
        ),
        (
            ["--returns.mixing", "0.5", "--cost-limit", "3"],
            "--returns.mixing: expected none with value_targets backup and advantage critic, which does not read it, "
            "found 0.5; --cost-limit: expected none with critic hj and margin_over safe, which does not read it, "
            "found 3.",
        ),
        (
            ["--algorithm", "fosp", "--task", "HazardRun", "--cost-limit", "2", "--lagrangian.penalty", "0.5"],
            "--cost-limit: expected none with constrain False, which does not read it, found 2; "
            "--lagrangian.penalty: expected none with constrain False, which does not read it, found 0.5.",
        ),
        (
            ["--algorithm", "safedreamer", "--task", "HazardRun", "--episode-cost-limit", "9"],
            "--episode-cost-limit: expected none with form bsrp-lag, which does not read it, found 9.",
        ),
        (
            ["--algorithm", "trebi", "--task", "SafePendulum", "--guide.cost-weight", "9"],
            "--guide.cost-weight: expected none with guide.steps 0, which does not read it, found 9.",
        ),
        (
            ["--algorithm", "bc", "--diffusion.sampler", "dpm_solver", "--diffusion.noise-temperature", "0.5"],
            "--diffusion.noise-temperature: expected none with diffusion.sampler dpm_solver, which does not read it, "
            "found 0.5.",
        ),
    ],
)
def test_what_nothing_reads_is_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        refused(*words)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "words",
    [
        ["--trajectory-bound", "--value-bound"],
        [
            "--task",
            "BallRun",
            "--no-trajectory-bound",
            "--cost-limit",
            "3",
        ],  # margin_over is allowed
        ["--critic", "qc", "--cost-limit", "3"],
        ["--algorithm", "safedreamer", "--task", "HazardRun", "--form", "osrp", "--episode-cost-limit", "9"],
        ["--algorithm", "fosp", "--task", "HazardRun", "--constrain", "--cost-limit", "2"],
        # Read by the released critic, and where an evaluation has more candidates.
        ["--algorithm", "fosp", "--task", "HazardRun", "--preset", "released", "--reach-discount", "0.9"],
        ["--algorithm", "fosp", "--task", "HazardRun", "--cost-slack", "0.3"],
    ],
)
def test_what_is_read_passes(words: list[str]) -> None:
    assert refused(*words) == ""


def test_names_are_fields_of_every_preset() -> None:
    for name in TASKS:
        for algorithm in ALGORITHMS:
            task = get_task(name)
            for preset in presets_of(algorithm, task):
                hyper = presets.build(algorithm, task, preset=preset)
                fields = prefixed(hyper)
                assert all(one in fields or any(path.startswith(f"{one}.") for path in fields) for one in unread(hyper))
                assert learning_remarks(hyper, hyper) == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--task", "BallRun", "--value-updates", "0"], ["--value-updates 0: nothing learns where the policy is safe"]),
        (["--constraint-updates", "0", "--policy-updates", "0"], [
            "--constraint-updates 0: nothing learns where the policy is safe",
            "--policy-updates 0: the policy stays as it began",
        ]),
        (["--value-targets", "returns"], ["--trajectory-bound is on and not read with value_targets returns"]),
        (["--algorithm", "trebi", "--task", "SafePendulum", "--value-updates", "0", "--calibration-segments", "0"], [
            "--value-updates 0: plans are judged by untrained values",
            "--calibration-segments 0: margin_level has nothing to take a margin from",
        ]),
        (["--algorithm", "fosp", "--task", "HazardRun", "--model-updates", "0"],
         ["--model-updates 0: the world model stays as it began"]),
    ],
)  # fmt: skip
def test_learning_that_is_left_out_is_remarked(words: list[str], found: list[str]) -> None:
    choice = choose(words)
    options = parse_with_hyperparameters(TrainOptions, ["--out", "x", *words], choice, command="train", out=Path("x"))
    with options_called(flag):
        assert learning_remarks(options.hyper, choice.defaults) == found


def test_the_command_line_refuses_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--task", "BallRun", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    for command in (["train"], ["sweep", "--fraction", "1"]):
        assert main([*command, *words, "--trajectory-bound", "--seeds", "x"]) == 2
        said = capsys.readouterr().err
        assert "--trajectory-bound: expected none with value_targets returns" in said
        assert "--seeds: expected a range" in said
    assert untrained(presets.build("fisor", get_task("BallRun"))) == {}
