"""The folder of a run: its configuration, which checkpoint is the latest, who may write, hyper-parameters and back."""

import dataclasses
import json
import logging
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.toy_algorithm import SPEC, ToyAlgorithm, ToySizes

from surefoot.errors import CheckpointError, ConfigError
from surefoot.training import RunConfig, RunDirectory, from_hyperparameters, hyperparameters, make_config
from surefoot.types import BEFORE

TOY = ToyAlgorithm(sizes=ToySizes(3, 5), batch_sizes=(2, 7), learning_rate=0.25)


def toy_config(**changes: object) -> RunConfig:
    config = make_config(
        TOY, name="toy", task="Toy", spec=SPEC, seeds=(4, 2), data_path="data.hdf5", data_fingerprint="abc",
        log_interval=5, checkpoint_interval=10, command=("surefoot", "train"),
    )  # fmt: skip
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def test_the_configuration_comes_back_as_it_was(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "a" / "run")
    run.start(toy_config(), resume=False)
    assert run.read_config() == toy_config()
    assert run.read_config().versions["jax"]
    assert [path.name for path in run.path.iterdir()] == ["config.json"]


def test_hyperparameters_come_back_as_the_same_algorithm() -> None:
    values = hyperparameters(TOY)
    assert values["sizes"] == {"value_updates": 3, "policy_updates": 5}
    assert values["batch_sizes"] == [2, 7]
    loaded = from_hyperparameters(ToyAlgorithm, values, source="config.json")
    assert loaded == TOY
    assert hash(loaded) == hash(TOY)  # lists became tuples, so it can be a static argument


def test_missing_and_unknown_hyperparameters_are_refused() -> None:
    values = hyperparameters(TOY)
    with pytest.raises(ConfigError, match=r"config\.json: hyperparameter 'tempo': ToyAlgorithm has no such field"):
        from_hyperparameters(ToyAlgorithm, values | {"tempo": 1}, source="config.json")
    del values["sizes"]["value_updates"]
    with pytest.raises(ConfigError, match="hyperparameter 'value_updates': expected a value, found none"):
        from_hyperparameters(ToyAlgorithm, values, source="config.json")


def test_a_hyperparameter_that_was_added_later_is_what_older_runs_did() -> None:
    """Not its default, which may have changed since; a value in the file comes first."""

    @dataclass(frozen=True)
    class Later:
        old: int = 1
        new: int = field(default=2, metadata={BEFORE: 0})

    assert from_hyperparameters(Later, {"old": 5}, source="config.json") == Later(5, 0)
    assert from_hyperparameters(Later, {"old": 5, "new": 7}, source="config.json") == Later(5, 7)
    with pytest.raises(ConfigError, match="hyperparameter 'old': expected a value, found none"):
        from_hyperparameters(Later, {"new": 7}, source="config.json")


def test_a_run_is_not_begun_twice_and_resumed_only_as_itself(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    (tmp_path / "data.hdf5").write_text("may lie in the run's folder")
    run.start(toy_config(), resume=True)  # nothing there yet: begins
    run.start(toy_config(command=("another", "wording"), log_interval=50), resume=True)
    (run.checkpoints_path / "000000005").mkdir(parents=True)
    with pytest.raises(ConfigError, match="already holds a run"):
        run.start(toy_config(), resume=False)
    other = {**toy_config().hyperparameters, "learning_rate": 0.5}
    for changes, sentence in [
        ({"task": "CarRun"}, 'task: expected "Toy", found "CarRun"'),
        ({"algorithm": "bc"}, 'algorithm: expected "toy", found "bc"'),
        ({"seeds": (0,)}, r"seeds: expected \[4, 2\], found \[0\]"),
        ({"data_fingerprint": "abd"}, 'data_fingerprint: expected "abc", found "abd"'),
        ({"hyperparameters": other}, r"hyperparameters\.learning_rate: expected 0\.25, found 0\.5"),
    ]:
        with pytest.raises(ConfigError, match=sentence):
            run.start(toy_config(**changes), resume=True)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "expected a run directory, found no config.json"),
        (b"\xff\xfe", "cannot be read"),
        (b"{", "cannot be read"),
        (b"[]", "expected the configuration of a run .an object., found .."),
        (b"{}", "found other JSON"),
        (b'{"format_version": 9}', "format_version: expected 1, found 9"),
        (b'{"format_version": 1}', "algorithm: expected a value, found none"),
    ],
)
def test_a_bad_configuration_is_refused(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    run = RunDirectory(tmp_path)
    if content is not None:
        run.config_path.write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        run.read_config()


def test_a_bad_field_of_the_configuration_is_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.start(toy_config(), resume=False)
    values = json.loads(run.config_path.read_text())
    changes = [
        ({"spec": {"observation_dim": 3}}, "spec.action_dim: expected a value, found none"),
        ({"seeds": 0}, "seeds: expected a valid array, found 0"),
        ({"seeds": ["0"]}, 'seeds.0: expected a valid integer, found "0"'),
        ({"seeds": [-1]}, "seeds: expected at least 0, found -1"),
        ({"spec": None}, "spec: expected an object, found null"),
        ({"hyperparameters": []}, "hyperparameters: expected an object"),
        ({"data_path": 3}, "data_path: expected a valid string, found 3"),
        ({"data_selection": None}, "data_selection: expected an object, found null"),
    ]
    for change, sentence in changes:
        run.config_path.write_text(json.dumps(values | change))
        with pytest.raises(ConfigError, match=sentence) as refusal:
            run.read_config()
        assert str(refusal.value).startswith(f"{run.config_path}: ")
    run.config_path.write_text(json.dumps(values | {"colour": "red"}))
    with pytest.raises(ConfigError, match="colour: expected no such field, found one"):
        run.read_config()


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.latest() is None
    for step in (5, 10, 15):
        assert run.save_checkpoint(step, jnp.ones(2), {}).name == f"{step:09d}"
    assert [path.name for path in run.checkpoints()] == ["000000010", "000000015"]
    assert len(list(run.checkpoints_path.iterdir())) == 2  # nothing hidden is left either
    assert run.latest() == run.checkpoints_path / "000000015"


def test_latest_passes_over_leftovers_and_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = RunDirectory(tmp_path)
    for step in (5, 10):
        run.save_checkpoint(step, jnp.ones(2), {})
    leftover = run.checkpoints_path / ".000000015.1.tmp"
    leftover.mkdir()
    with caplog.at_level(logging.WARNING):
        assert run.latest() == run.checkpoints_path / "000000010"
    assert caplog.messages == []
    (run.checkpoints_path / "000000010" / "checkpoint.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert run.latest() == run.checkpoints_path / "000000005"
    assert "passing over a damaged checkpoint" in caplog.text
    assert "000000010" in caplog.text
    run.discard_after(5)
    assert [path.name for path in run.checkpoints_path.iterdir()] == ["000000005"]


def test_a_copy_under_another_number_is_not_the_latest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Before, a finished training was found in a copy of its first checkpoint, and its weights were evaluated."""
    run = RunDirectory(tmp_path)
    for step in (5, 10):
        run.save_checkpoint(step, jnp.ones(2), {})
    shutil.copytree(run.checkpoints_path / "000000005", run.checkpoints_path / "000000020")
    assert run.latest() == run.checkpoints_path / "000000010"
    assert run.latest_step() == 10
    assert "000000020: step: expected 20 as its name, found 5" in caplog.text


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("linked", [False, True])
def test_resuming_removes_nothing_that_it_did_not_make(tmp_path: Path, linked: bool) -> None:
    """Hidden files and folders of others stay, in the folder and in one that it is a link to; links stay, too."""
    run, home, key = RunDirectory(tmp_path / "run"), tmp_path / "home", tmp_path / "key"
    run.path.mkdir()
    home.mkdir()
    key.write_text("key")
    if linked:
        run.checkpoints_path.symlink_to(home)
    run.save_checkpoint(5, jnp.ones(2), {})
    folder = run.checkpoints_path
    for name in (".git/objects", ".ssh", ".000000005.notes", ".x.77.tmp", ".000000005.77.tmp.old", "notes", "000"):
        (folder / name).mkdir(parents=True)
    (folder / ".ssh" / "id").write_text("key")
    (folder / ".DS_Store").write_text("")
    (folder / ".link").symlink_to(home)
    (folder / ".dangling").symlink_to(tmp_path / "nowhere")
    (folder / ".000000009.77.old").symlink_to(key)
    os.mkfifo(folder / ".pipe")
    before = listing(tmp_path)
    (folder / ".000000009.78.tmp").mkdir()
    (folder / ".000000009.78.tmp" / "checkpoint.json").write_text("{")
    for _ in range(2):
        with run.locked():
            assert run.latest() == folder / "000000005"
            run.discard_after(5)
    assert listing(tmp_path) == sorted([*before, "run/.lock"])
    assert key.read_text() == "key"


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "notes", "pipe"])
def test_what_only_has_a_checkpoints_name_gets_another(tmp_path: Path, kind: str) -> None:
    run, outside = RunDirectory(tmp_path / "run"), tmp_path / "outside"
    run.save_checkpoint(5, jnp.ones(2), {})
    (outside / "inside").mkdir(parents=True)
    (outside / "checkpoint.json").write_text("{")
    path = run.checkpoints_path / "000000010"
    match kind:
        case "file":
            path.write_text("notes")
        case "link":
            path.symlink_to(outside)
        case "dangling link":
            path.symlink_to(tmp_path / "nowhere")
        case "notes":
            path.mkdir()
            (path / "notes").write_text("notes")
        case "pipe":
            os.mkfifo(path)
    run.discard_after(5)
    assert [path.name for path in sorted(run.checkpoints_path.iterdir())] == ["000000005", "000000010.found-1"]
    assert listing(outside) == ["checkpoint.json", "inside"]
    if kind == "notes":
        assert (run.checkpoints_path / "000000010.found-1" / "notes").read_text() == "notes"
    assert run.save_checkpoint(10, jnp.ones(2), {}) == run.latest() == path


def test_a_note_in_an_old_checkpoint_stays(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for step in (5, 10):
        path = run.save_checkpoint(step, jnp.ones(2), {})
        (path / "notes.txt").write_text("the best so far")
    (path / "link").symlink_to(tmp_path)
    for step in (15, 20, 25):
        run.save_checkpoint(step, jnp.ones(2), {})
    assert listing(run.checkpoints_path / "000000005") == ["notes.txt"]
    assert listing(run.checkpoints_path / "000000010") == ["link", "notes.txt"]
    assert run.latest() == run.checkpoints_path / "000000025"


def test_checkpoints_that_cannot_be_written_are_known_before_training(tmp_path: Path) -> None:
    for kind in ("file", "dangling link"):
        run = RunDirectory(tmp_path / kind)
        run.path.mkdir()
        if kind == "file":
            run.checkpoints_path.write_text("")
        else:
            run.checkpoints_path.symlink_to(tmp_path / "nowhere")
        with pytest.raises(ConfigError, match="checkpoints: expected a folder that can be written to"), run.locked():
            pass


def test_only_damaged_checkpoints_are_not_taken_for_none(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    path = run.save_checkpoint(5, jnp.ones(2), {})
    (path / "checkpoint.json").unlink()
    with pytest.raises(CheckpointError, match="found only damaged ones"):
        run.latest()


def test_a_checkpoint_of_a_newer_format_is_not_passed_over(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for step in (5, 10):
        description = run.save_checkpoint(step, jnp.ones(2), {}) / "checkpoint.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"format_version": 2}))
    with pytest.raises(CheckpointError, match="format_version: expected 1, found 2"):
        run.latest()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with run.locked(), pytest.raises(ConfigError, match="another process is training"), run.locked():
        pass
    with run.locked():
        pass


@pytest.mark.parametrize("changes", [{"data_path": "/data/\udcff.hdf5"}, {"command": ("train", "--out", "\udce9")}])
def test_names_that_json_cannot_hold_are_refused_before_training(changes: dict[str, Any]) -> None:
    given: dict[str, Any] = {"data_path": "data.hdf5", "command": ()}
    with pytest.raises(ConfigError, match="expected a name in UTF-8, which a run can keep, found other bytes"):
        make_config(
            TOY, name="toy", task="Toy", spec=SPEC, seeds=(0,), data_fingerprint="abc", log_interval=5,
            checkpoint_interval=10, **{**given, **changes},
        )  # fmt: skip
