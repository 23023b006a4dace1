"""Longer training is, bit by bit, as if it had been asked for at first; where it is not, it is refused."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.toy_algorithm import SPEC, ToyAlgorithm, toy_data

from surefoot import checkpoint, presets
from surefoot.algorithms import BC, FISOR, FOSP, TREBI
from surefoot.errors import ConfigError
from surefoot.experiments.agreement import agreed
from surefoot.hyperparameters import change
from surefoot.nn import TemporalConfig
from surefoot.observer import Observer
from surefoot.runs.output_folder import check_output_folder
from surefoot.tasks import get_task
from surefoot.training import RunConfig, RunDirectory, fit, make_config
from surefoot.training.longer import changed_counts, why_not_longer
from surefoot.training.run_config import Extension
from surefoot.types import Phase

SEEDS, ROWS_EVERY = (4, 2), 5


@dataclass(frozen=True)
class Counted(ToyAlgorithm):
    """The toy with its numbers of updates as algorithms have them."""

    value_updates: int = 10
    policy_updates: int = 10

    @property
    def phases(self) -> tuple[Phase, ...]:
        return Phase("value", self.value_updates, 4), Phase("policy", self.policy_updates, 8)


def config_of(algorithm: Any, **changes: Any) -> RunConfig:
    config = make_config(
        algorithm, name="toy", task="Toy", spec=SPEC, seeds=SEEDS, data_path="none", data_fingerprint="abc",
        log_interval=ROWS_EVERY, checkpoint_interval=ROWS_EVERY, command=("surefoot", "train"),
    )  # fmt: skip
    return replace(config, **changes)


def train(algorithm: Any, path: Path, *, stop_at: int | None = None) -> RunDirectory:
    run = RunDirectory(path)
    run.start(
        agreed(run, config_of(algorithm), algorithm, observer=Observer())
        if run.checkpoints()
        else config_of(algorithm),
        resume=True,
    )
    fit(
        algorithm, toy_data(), spec=SPEC, seeds=SEEDS, log_interval=ROWS_EVERY, checkpoint_interval=ROWS_EVERY,
        run=run, stop_at=stop_at,
    )  # fmt: skip
    return run


def arrays_of(run: RunDirectory) -> dict[str, bytes]:
    latest = run.latest()
    assert latest is not None
    return {path.name: path.read_bytes() for path in latest.iterdir() if "safetensors" in path.name}


@pytest.mark.parametrize("stop_at", [None, 15], ids=["finished", "stopped"])
def test_a_longer_training_ends_with_the_bits_of_one_that_was_asked_for_at_first(
    tmp_path: Path, stop_at: int | None
) -> None:
    longer = Counted(policy_updates=25)
    train(Counted(), tmp_path / "grown", stop_at=stop_at)
    grown, whole = train(longer, tmp_path / "grown"), train(longer, tmp_path / "whole")
    assert grown.latest_step() == whole.latest_step() == 35
    assert arrays_of(grown) == arrays_of(whole) != {}
    assert grown.metrics_path.read_text() == whole.metrics_path.read_text()
    assert grown.read_config().hyperparameters == whole.read_config().hyperparameters
    done = 20 if stop_at is None else 15
    (extension,) = grown.read_config().extensions
    assert extension == Extension(done, {"policy_updates": 10}, ("surefoot", "train"))


def test_a_run_made_longer_twice_knows_the_checkpoints_of_before(tmp_path: Path) -> None:
    run = train(Counted(), tmp_path)
    for count in (15, 20):
        agreed(run, config_of(Counted(policy_updates=count)), Counted(policy_updates=count), observer=Observer())
    config, latest = run.read_config(), run.latest()
    assert [one["hyperparameters"]["policy_updates"] for one in config.identities] == [20, 15, 10]
    assert latest is not None
    assert config.identity_of(latest)["hyperparameters"]["policy_updates"] == 10
    train(Counted(policy_updates=20), tmp_path)  # killed in between, it goes on
    assert run.latest_step() == 30
    assert checkpoint.read_metadata(run.checkpoints()[-1])["hyperparameters"]["policy_updates"] == 20


SMALL = presets.build("fisor", get_task("PointRobot"))
"""Its learning rate and its discount move over the updates of the values."""
STEADY = change(SMALL, value_final_learning_rate=SMALL.values.value_learning_rate, constraint_discount=0.99)
TINY: Any = {"network": TemporalConfig(8, (1, 2)), "value_network": TemporalConfig(8, (1, 2))}
UNCALIBRATED = change(TREBI(), calibration_segments=0, **TINY)


@pytest.mark.parametrize(
    ("algorithm", "changes", "step", "reason"),
    [
        # 15,000 updates of the constraint, 12,000 of the reward, 5,000 of the policy.
        (SMALL, {"policy_updates": 6000}, 32_000, None),
        (SMALL, {"policy_updates": 6000}, 30_000, None),
        (SMALL, {"reward_updates": 20_000}, 10_000, None),
        (SMALL, {"reward_updates": 20_000}, 20_000, "the learning rate falls over it, so the updates of a longer"),
        (SMALL, {"constraint_updates": 20_000}, 10_000, "the discount of the backup moves over it"),
        (SMALL, {"constraint_updates": 20_000}, 0, None),
        (STEADY, {"constraint_updates": 20_000}, 10_000, None),
        (STEADY, {"constraint_updates": 20_000}, 15_000, None),
        (STEADY, {"constraint_updates": 20_000}, 15_500, "its phase 'reward' has trained on what the shorter phase"),
        (SMALL, {"policy_updates": 4000}, 31_500, "the run has done 4,500 updates of its phase 'policy'"),
        (SMALL, {"policy_updates": 4000}, 31_000, None),
        (change(SMALL, policy_updates=5100), {"policy_updates": 6000}, 32_100, "stopped 100 updates after a row"),
        (change(FISOR(), schedule="joint"), {"joint_updates": 200_000}, 100_000, None),
        (BC(), {"policy_updates": 200_000}, 100_000, None),
        (FOSP(schedule="joint"), {"joint_updates": 600_000}, 500_000, None),
        (change(TREBI(), **TINY), {"value_updates": 300_000}, 400_000, None),
        (
            change(TREBI(), **TINY),
            {"value_updates": 300_000},
            400_001,
            "its phase 'calibration' has trained on what the shorter phase",
        ),
        (
            change(TREBI(), final_learning_rate=1e-5),
            {"value_updates": 300_000},
            300_000,
            "the learning rate falls over it",
        ),
        (UNCALIBRATED, {"value_updates": 300_000}, 400_000, None),
    ],
)
def test_training_is_made_longer_only_where_what_was_done_stays(
    algorithm: Any, changes: dict[str, int], step: int, reason: str | None
) -> None:
    later = change(algorithm, **changes)
    spec = get_task("HazardRun").spec if isinstance(algorithm, FOSP) else get_task("BallCircle").spec
    assert changed_counts(algorithm, later) == list(changes)
    found = why_not_longer(algorithm, later, list(changes), step=step, log_interval=500, spec=spec)
    assert (found is None) == (reason is None), found
    assert reason is None or reason in str(found)


def test_algorithms_that_differ_in_more_are_other_ones() -> None:
    assert changed_counts(FISOR(), change(FISOR(), policy_updates=1, expectile=0.8)) is None
    assert changed_counts(FISOR(), BC()) is None
    assert changed_counts(FISOR(), FISOR()) == []


def test_a_training_that_died_before_its_first_checkpoint_does_not_block_its_folder(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.start(config_of(Counted()), resume=False)
    with run.locked():
        run.metrics_path.write_text('{"step": 5}\n')
        with pytest.raises(ConfigError, match="another process is training in this folder"):
            run.start(config_of(Counted(learning_rate=0.2)), resume=False)
    check_output_folder(tmp_path, resume=False)
    run.start(config_of(Counted(learning_rate=0.2)), resume=False)
    assert run.read_config().hyperparameters["learning_rate"] == 0.2
    run.save_checkpoint(5, {"a": np.zeros(1)}, {})
    with pytest.raises(ConfigError, match="expected an empty or new folder"):
        check_output_folder(tmp_path, resume=False)
    with pytest.raises(ConfigError, match="already holds a run"):
        run.start(config_of(Counted()), resume=False)


@pytest.mark.parametrize(
    ("names", "free"),
    [
        ([".lock"], True),
        ([".lock", "checkpoints/"], True),
        (["wandb/"], True),
        (["config.json"], False),
        (["config.json", "thesis.tex"], False),
        (["wandb/run.log"], False),
        (["metrics.jsonl"], False),
    ],
)
def test_only_what_training_left_makes_no_obstacle(tmp_path: Path, names: list[str], free: bool) -> None:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_text("{}")
    if free:
        check_output_folder(tmp_path, resume=False)
        return
    with pytest.raises(ConfigError, match="expected an empty or new folder, found files"):
        check_output_folder(tmp_path, resume=False)


@pytest.mark.parametrize("extensions", [3, [3], [{"updates": 1}], [{"updates": -1, "before": {}, "command": []}], [{}]])
def test_extensions_that_cannot_be_are_one_sentence(tmp_path: Path, extensions: Any) -> None:
    run = RunDirectory(tmp_path)
    run.start(config_of(Counted()), resume=False)
    run.config_path.write_text(json.dumps({**json.loads(run.config_path.read_text()), "extensions": extensions}))
    with pytest.raises(ConfigError, match=r"config\.json: .*extensions"):
        run.read_config()
