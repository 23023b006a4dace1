"""Data without rewards: read in every format, imitated by FISOR and BC, refused in one sentence by what needs them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.data_fixtures import BINARY_TASK, file_arrays, is_one_sentence, make_dataset, write_arrays

from surefoot import checkpoint
from surefoot.algorithms import ALGORITHMS
from surefoot.algorithms.bc import BC
from surefoot.algorithms.fisor import FISOR
from surefoot.cli.main import main
from surefoot.data import Dataset, TransitionStream, hdf5, library
from surefoot.data.d4rl import labeller_of, load_d4rl
from surefoot.data.describe import describe
from surefoot.data.minari import load_minari, save_minari
from surefoot.data.prepare import to_transitions
from surefoot.data.remarks import remarks
from surefoot.errors import ConfigError, DataError, MissingRewardsError
from surefoot.experiments import sources
from surefoot.hyperparameters import change
from surefoot.protocols import LearnsWithoutRewards
from surefoot.tasks import get_task
from surefoot.training import RunDirectory, fit

CHEETAH = get_task("HalfCheetahVelocity")
LENGTHS = (20, 30) * 2


def unrewarded(task: Any = CHEETAH) -> Dataset:
    return replace(make_dataset(task, lengths=LENGTHS, tail=0), rewards=None)


def as_dsrl(path: Path, dataset: Dataset) -> Dataset:
    write_arrays(path, file_arrays(dataset))
    return library.load(path, CHEETAH)


def as_mapped(path: Path, dataset: Dataset) -> Dataset:
    hdf5.save(path, dataset)
    return library.load(path, CHEETAH, mapped=True)


def as_d4rl(path: Path, dataset: Dataset) -> Dataset:
    """Without costs, which follow from the speed."""
    arrays = file_arrays(dataset)
    arrays.pop("costs")
    write_arrays(path, arrays)
    return library.load(path, CHEETAH)


def as_minari(path: Path, dataset: Dataset) -> Dataset:
    rows = len(dataset)
    save_minari(path, replace(dataset, rewards=np.zeros(rows, np.float32)), CHEETAH)
    with h5py.File(path / "data" / "main_data.hdf5", "r+") as file:
        for name in file:
            del file[f"{name}/rewards"]
    return library.load(path, CHEETAH)


@pytest.mark.parametrize("form", [as_dsrl, as_mapped, as_d4rl, as_minari])
def test_every_format_is_read_without_rewards(form: Callable[[Path, Dataset], Dataset], tmp_path: Path) -> None:
    """All other numbers are those that were written; the fingerprint is not that of rewards of 0."""
    written = unrewarded()
    found = form(tmp_path / "data", written)
    assert found.rewards is None
    expected = written
    if form is as_d4rl:
        labeller: Any = labeller_of(CHEETAH)
        expected = replace(written, costs=labeller(written.observations, written.actions, written.next_observations))
    for (name, array), (other, wanted) in zip(found.arrays(), expected.arrays(), strict=True):
        assert name == other
        np.testing.assert_array_equal(array, wanted)
    zeros = replace(expected, rewards=np.zeros(len(expected), np.float32))
    assert found.fingerprint() == expected.fingerprint() != zeros.fingerprint()
    assert found.select([1]).rewards is None
    with pytest.raises(MissingRewardsError, match="rewards: expected a number for every step, found none"):
        found.returns.sum()


def test_rewards_under_another_name_or_in_some_episodes_only_are_no_data_without(tmp_path: Path) -> None:
    arrays = file_arrays(make_dataset(CHEETAH, lengths=LENGTHS, tail=0))
    write_arrays(tmp_path / "a.hdf5", arrays | {"reward": arrays["rewards"]} | {"rewards": arrays["rewards"]})
    assert library.load(tmp_path / "a.hdf5", CHEETAH).rewards is not None
    arrays["reward"] = arrays.pop("rewards")
    write_arrays(tmp_path / "b.hdf5", arrays)
    with pytest.raises(DataError, match=r"b.hdf5: rewards: expected a key of that name, found only .*'reward'"):
        library.load(tmp_path / "b.hdf5", CHEETAH)
    save_minari(tmp_path / "c", make_dataset(CHEETAH, lengths=LENGTHS, tail=0), CHEETAH)
    with h5py.File(tmp_path / "c" / "data" / "main_data.hdf5", "r+") as file:
        del file["episode_1/rewards"]
    with pytest.raises(DataError, match="rewards: expected a key of that name in every episode, as in episode_0"):
        load_minari(tmp_path / "c", CHEETAH)


def test_costs_that_follow_from_rewards_need_them(tmp_path: Path) -> None:
    """Where the robot went in a last step follows from its reward."""
    hopper = get_task("Hopper")
    arrays = file_arrays(unrewarded(hopper))
    arrays.pop("costs")
    write_arrays(tmp_path / "hopper.hdf5", arrays)
    with pytest.raises(DataError, match="rewards: expected a key of that name, of which costs of Hopper follow"):
        load_d4rl(tmp_path / "hopper.hdf5", hopper)


def test_transitions_hold_zeros_and_streams_are_the_same(tmp_path: Path) -> None:
    mapped = as_mapped(tmp_path / "data.hdf5", unrewarded())
    whole = to_transitions(mapped, reward_scale=2.0)
    assert not np.asarray(whole.reward).any()
    stream = TransitionStream(mapped, lambda dataset: to_transitions(dataset, reward_scale=2.0))
    rows = np.array([3, 60, 7])
    for part, values in zip(stream.take(rows), whole, strict=True):
        np.testing.assert_array_equal(part, np.asarray(values)[rows])


def test_a_description_counts_what_there_is() -> None:
    dataset = unrewarded(BINARY_TASK)
    found, rewarded = describe(dataset, BINARY_TASK), make_dataset(BINARY_TASK, lengths=LENGTHS, tail=0)
    assert found.returns is None
    assert all(limit.best_return is None for limit in found.limits)
    assert found.cost_counts == describe(rewarded, BINARY_TASK).cost_counts
    assert not [one for one in remarks(dataset, BINARY_TASK) if "reward" in one]


def test_a_plan_describes_the_data_without_returns(data_file: Path) -> None:
    found = sources.describe(data_file, CHEETAH.name)
    assert (found.best_return, found.best_safe_return, found.episodes) == (None, None, len(LENGTHS))


# --- algorithms ---


def test_who_learns_without_rewards() -> None:
    assert {name for name, kind in ALGORITHMS.items() if issubclass(kind, LearnsWithoutRewards)} == {
        "bc", "bc_multi_task", "fisor"
    }  # fmt: skip
    assert BC().without_rewards() == (BC(), [])


@pytest.mark.parametrize(
    ("extraction", "taken"),
    [("feasible_first", "first_feasible"), ("maxq", "minqc"), ("minqc", "minqc"), ("first_feasible", "first_feasible")],
)
def test_a_choice_by_reward_values_gives_way(extraction: Any, taken: str) -> None:
    found, told = change(FISOR(), weighting="imitation", extraction=extraction).without_rewards()
    assert (found.extraction, found.values.reward_values, len(told)) == (taken, False, int(extraction != taken))
    assert "reward" not in [phase.name for phase in found.phases]
    with pytest.raises(ConfigError, match=r"weighting: expected imitation or behaviour_cloning .* found feasibility"):
        FISOR().without_rewards()


# --- commands ---


@pytest.fixture(scope="module")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "cheetah.hdf5"
    hdf5.save(path, unrewarded())
    return path


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err.strip().removeprefix("error: ")
    assert is_one_sentence(error)
    return error


@pytest.mark.parametrize(
    ("algorithm", "found"),
    [
        (["fisor"], "--weighting: expected imitation or behaviour_cloning for data without rewards, found feasibility"),
        (["trebi"], "--algorithm trebi learns from rewards, fisor with --weighting imitation and bc learn without"),
    ],
)
def test_what_needs_rewards_is_refused_with_file_and_key(
    algorithm: list[str], found: str, data_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(
        capsys, "train", "--task", CHEETAH.name, "--data", data_file, "--out", tmp_path / "run", "--algorithm",
        *algorithm,
    )  # fmt: skip
    assert error.startswith(f"{data_file}: rewards: expected a key of that name, found none; ")
    assert found in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["plot", "--out", "a.png"],
        ["imitation", "--return-at-least", 3, "--out", "a.hdf5"],
        ["filter frontier", "--out", "a.hdf5"],
        ["filter density", "--out", "a.hdf5"],
    ],
)
def test_data_commands_that_need_returns_name_the_file(
    command: list[Any], data_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = command
    options = [tmp_path / word if str(word).startswith("a.") else word for word in options]
    error = refused(capsys, "data", *name.split(), data_file, *options)
    assert error == f"{data_file}: rewards: expected a number for every step, found none."
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["convert"], ["subset", "--share", "0.5"], ["filter", "safe"]])
def test_other_data_commands_keep_the_data_without(words: list[str], data_file: Path, tmp_path: Path) -> None:
    name, *options = words
    names, options = ([name, *options], ["--cost-limit", "1000"]) if name == "filter" else ([name], options)
    assert main(["data", *names, str(data_file), *options, "--out", str(tmp_path / "out.hdf5")]) == 0
    assert library.load(tmp_path / "out.hdf5", CHEETAH).rewards is None


def test_information_says_that_there_are_none(
    data_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "info", str(data_file)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("return"))
    assert line.split() == ["return", *["none"] * 6]
    error = refused(capsys, "data", "convert", data_file, "--to", "minari", "--out", tmp_path / "minari")
    assert "rewards: expected a number for every step, as Minari's format has, found data without rewards" in error


def test_imitation_trains_without_rewards_and_resumes_to_the_same_bits(
    data_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choice by Q_r gives way with a warning; with --strict it is refused."""
    tiny = [
        "--value-updates",
        "20",
        "--critic-updates",
        "0",
        "--policy-updates",
        "0",
        "--value-hidden",
        "8",
        "--value-batch-size",
        "8",
    ]
    tiny += ["--log-interval", "10", "--checkpoint-interval", "10", "--seeds", "0"]
    tiny += ["--diffusion.network.width", "16", "--diffusion.network.blocks", "1"]
    words = ["train", "--task", CHEETAH.name, "--data", str(data_file), *tiny, "--weighting", "imitation",
             "--extraction", "feasible_first"]  # fmt: skip
    assert "extraction feasible_first chooses by reward values" in refused(
        capsys, *words, "--strict", "--out", tmp_path / "strict"
    )
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    assert f"warning: {data_file}: no rewards: extraction feasible_first chooses by" in capsys.readouterr().err
    config = RunDirectory(tmp_path / "whole").read_config()
    assert (config.hyperparameters["reward_values"], config.hyperparameters["extraction"]) == (False, "first_feasible")
    assert "reward" not in (tmp_path / "whole" / "metrics.jsonl").read_text()
    with monkeypatch.context() as patch:
        patch.setattr("surefoot.experiments.train.fit", partial(fit, stop_at=10))
        assert main([*words, "--out", str(tmp_path / "parts")]) == 0
    assert main(["train", "--out", str(tmp_path / "parts"), "--resume"]) == 0
    whole, parts = (RunDirectory(tmp_path / name).latest() for name in ("whole", "parts"))
    assert whole is not None
    assert parts is not None
    assert whole.name == parts.name
    assert checkpoint.read_hash(whole) == checkpoint.read_hash(parts)


def test_rewards_may_be_taken_out_of_a_file_that_names_them(tmp_path: Path) -> None:
    """In memory and mapped; frames of images need theirs."""
    path = tmp_path / "data.hdf5"
    hdf5.save(path, make_dataset(BINARY_TASK))
    with h5py.File(path, "r+") as file:
        del file["rewards"]
    for mapped in (False, True):
        assert hdf5.load(path, BINARY_TASK, mapped=mapped).rewards is None
