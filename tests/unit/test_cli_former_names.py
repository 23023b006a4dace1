"""Options and hyper-parameters under former names: accepted with a warning, from files of runs without one."""

import json
from pathlib import Path
from typing import Any

import pytest
import tyro
from tests.compatibility.recipes import RUNS

from surefoot.algorithms import ALGORITHMS, FOSP, SafeDreamer
from surefoot.api.options import known_options
from surefoot.cli.evaluate import EvaluateOptions
from surefoot.cli.main import main
from surefoot.cli.options import choose, parse_with_hyperparameters
from surefoot.cli.train import TrainOptions
from surefoot.errors import ConfigError, SurefootWarning
from surefoot.evaluation.request import EvaluationRequest
from surefoot.hyperparameters import (
    change,
    first_names,
    former_names,
    from_hyperparameters,
    hyperparameters,
    renamed,
)
from surefoot.training import RunDirectory


def trained(algorithm: str, *flags: str) -> Any:
    words = ["--algorithm", algorithm, "--task", "HazardRun", "--out", "RUN", *flags]
    given: Any = {"algorithm": algorithm, "task": "HazardRun", "preset": "small", "out": tyro.MISSING}
    options: Any = parse_with_hyperparameters(TrainOptions, words, choose(words), command="train", **given)
    return options.hyper


def test_values_get_the_names_of_now_in_tables_too() -> None:
    old = {"dream_stride": 3, "planner": {"samples": 7, "momentum": 0.5}, "horizon": 2}
    new = {"imagination_stride": 3, "planner": {"num_samples": 7, "momentum": 0.5}, "horizon": 2}
    assert renamed(SafeDreamer, old) == new
    assert first_names(SafeDreamer, new) == old
    with pytest.raises(ConfigError, match="expected it once, found it under its former name dream_stride, too"):
        renamed(SafeDreamer, {"dream_stride": 3, "imagination_stride": 3})


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_no_former_name_is_that_of_another_field(name: str) -> None:
    assert former_names(ALGORITHMS[name]).keys().isdisjoint(hyperparameters(ALGORITHMS[name]()))


def test_files_have_either_name_and_python_is_warned() -> None:
    kept = first_names(FOSP, hyperparameters(FOSP()))
    assert kept["released"] is False
    assert "reference_code" not in kept
    assert from_hyperparameters(FOSP, kept, source="config.json") == FOSP()
    with pytest.warns(SurefootWarning, match="dream_stride is called imagination_stride now"):
        assert change(FOSP(), dream_stride=5).imagination.imagination_stride == 5
    with pytest.warns(SurefootWarning, match="lanes is called num_envs now"):
        assert known_options(EvaluationRequest, {"lanes": 3}) == {"num_envs": 3}


def test_a_run_of_before_is_read_by_the_names_of_now() -> None:
    run = RunDirectory(RUNS / "fosp")
    assert "dream_branch" in json.loads(run.config_path.read_text())["hyperparameters"]
    config = run.read_config()
    assert config.hyperparameters["imagined_branch"] is True
    assert "dream_branch" not in config.hyperparameters
    carried = config.identity_of(run.checkpoints()[-1])["hyperparameters"]
    assert "dream_branch" in carried  # as the checkpoint itself says


def test_flags_of_before_are_taken_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    hyper = trained("safedreamer", "--dream-stride", "3", "--planner.samples=60")
    assert (hyper.imagination.imagination_stride, hyper.planner.num_samples) == (3, 60)
    assert capsys.readouterr().err == (
        "warning: --dream-stride is called --imagination-stride now; the former name still works.\n"
        "warning: --planner.samples is called --planner.num-samples now; the former name still works.\n"
    )
    assert trained("fosp", "--no-dream-branch").critics.imagined_branch is False
    assert "--no-dream-branch is called --no-imagined-branch now" in capsys.readouterr().err


def test_files_of_options_have_names_of_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "options.toml"
    file.write_text("lanes = 0\n")
    assert main(["evaluate", "nothing", "--config", str(file)]) == 2
    said = capsys.readouterr().err
    assert "warning: --lanes is called --num-envs now" in said
    assert f"{file}: line 1: lanes: expected at least 1, found 0" in said
    file.write_text("lanes = 3\n")
    assert main(["evaluate", "nothing", "--num-envs", "0", "--config", str(file)]) == 2
    assert "--num-envs: expected at least 1, found 0" in capsys.readouterr().err  # the command line wins
    assert EvaluateOptions(run=Path("nothing")).num_envs == 40
