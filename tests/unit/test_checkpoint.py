"""Checkpoints: what is saved comes back bit by bit, whatever does not fit is refused, a kill leaves old or new."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from surefoot import checkpoint, files
from surefoot.checkpoint import DamagedCheckpointError
from surefoot.errors import CheckpointError


class State(NamedTuple):
    critic: dict[str, Any]
    updates: jax.Array
    key: jax.Array


def make_state(*, scale: float = 1.0) -> State:
    layers = [{"kernel": scale * jnp.arange(6.0).reshape(2, 3), "bias": jnp.array([0.1, -0.0, 3.4e38])}]
    return State({"q_h": {"layers": layers}}, jnp.array(7, jnp.int32), jax.random.key(3))


def assert_same_bits(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        plain = [jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in (a, b)]
        assert np.asarray(plain[0]).tobytes() == np.asarray(plain[1]).tobytes()


def arrays_file(directory: Path) -> Path:
    (found,) = directory.glob("*.safetensors")
    return found


def change_description(directory: Path, **changes: Any) -> None:
    path = directory / checkpoint.DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_round_trip_from_shapes_alone(tmp_path: Path) -> None:
    state = make_state()
    checkpoint.save(tmp_path / "c", state, {"task": "PointRobot", "seeds": (0, 1), "rate": 0.1})
    loaded, metadata = checkpoint.load(tmp_path / "c", jax.eval_shape(make_state))
    assert_same_bits(loaded, state)
    assert metadata == {"task": "PointRobot", "seeds": [0, 1], "rate": 0.1}
    assert jax.random.bits(loaded.key) == jax.random.bits(jax.random.key(3))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_not_loaded(tmp_path: Path, number: float) -> None:
    tree = {"steps": jnp.ones(2, jnp.int32), "w": jnp.array([[1.0, 2.0], [number, number]])}
    checkpoint.save(tmp_path / "c", tree, {})
    sentence = rf"c: array 'w': expected finite numbers, found {number} at \[1, 0\] \(2 of 4 are not\)\.$"
    with pytest.raises(CheckpointError, match=sentence):
        checkpoint.load(tmp_path / "c", tree)


def test_arrays_have_readable_names_and_the_description_says_the_versions(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", make_state(), {})
    names = safetensors.numpy.load_file(arrays_file(tmp_path / "c")).keys()
    assert names == {"critic/q_h/layers/0/kernel", "critic/q_h/layers/0/bias", "updates", "key"}
    description = json.loads((tmp_path / "c" / "checkpoint.json").read_text())
    assert description["format_version"] == 1
    assert description["versions"]["jax"] == jax.__version__
    assert {"python", "surefoot", "numpy"} <= description["versions"].keys()
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"checkpoint.json", arrays_file(tmp_path / "c").name}


def test_a_lone_array_and_the_leaves_of_two_equal_paths(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", jnp.ones(2), {})
    assert_same_bits(checkpoint.load(tmp_path / "c", jnp.zeros(2))[0], jnp.ones(2))
    with pytest.raises(ValueError, match="same path"):
        checkpoint.save(tmp_path / "d", {"a/b": jnp.ones(1), "a": {"b": jnp.ones(1)}}, {})


BIAS = "critic/q_h/layers/0/bias"


@pytest.mark.parametrize(
    ("bias", "sentence"),
    [
        (jnp.zeros(4), rf"array '{BIAS}': expected float32\[4\], found float32\[3\]\."),
        (jnp.zeros((3, 1)), rf"array '{BIAS}': expected float32\[3, 1\], found float32\[3\]\."),
        (jnp.zeros(3, jnp.int32), rf"array '{BIAS}': expected int32\[3\], found float32\[3\]\."),
        (jax.random.key(0), rf"array '{BIAS}': expected key<fry>\[\], found float32\[3\]\."),
        ({"b": jnp.zeros(3)}, rf"array '{BIAS}/b': expected float32\[3\], found none\."),
        (None, rf"array '{BIAS}': expected none, found float32\[3\]\."),
    ],
)
def test_another_array_is_refused(tmp_path: Path, bias: Any, sentence: str) -> None:
    checkpoint.save(tmp_path / "c", make_state(), {})
    template = make_state()
    template.critic["q_h"]["layers"][0]["bias"] = bias
    with pytest.raises(CheckpointError, match=sentence):
        checkpoint.load(tmp_path / "c", template)


def test_a_key_of_another_generator_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", jax.random.key(0), {})
    with pytest.raises(CheckpointError, match=r"array 'value': expected key<rbg>\[\], found key<fry>\[\]\."):
        checkpoint.load(tmp_path / "c", jax.random.key(0, impl="rbg"))


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        ({"task": "CarRun"}, 'task: expected "CarRun", found "PointRobot"'),
        ({"task": "PointRobot", "algorithm": "bc"}, 'algorithm: expected "bc", found "fisor"'),
        ({"hyperparameters": {"a": 1, "b": [2, 4]}}, r"hyperparameters\.b: expected \[2, 4\], found \[2, 3\]"),
        ({"seeds": (0, 1)}, r"seeds: expected \[0, 1\], found null"),
    ],
)
def test_other_metadata_are_refused(tmp_path: Path, expect: dict[str, Any], sentence: str) -> None:
    metadata = {"task": "PointRobot", "algorithm": "fisor", "hyperparameters": {"a": 1, "b": (2, 3)}}
    checkpoint.save(tmp_path / "c", make_state(), metadata)
    checkpoint.load(tmp_path / "c", make_state(), expect=metadata)
    with pytest.raises(CheckpointError, match=sentence):
        checkpoint.load(tmp_path / "c", make_state(), expect=expect)


def test_another_format_is_refused_but_not_as_damaged(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", make_state(), {})
    change_description(tmp_path / "c", format_version=2)
    with pytest.raises(CheckpointError, match="format_version: expected 1, found 2") as raised:
        checkpoint.load(tmp_path / "c", make_state())
    assert not isinstance(raised.value, DamagedCheckpointError)


def flip_a_byte(directory: Path) -> None:
    content = bytearray(arrays_file(directory).read_bytes())
    content[-1] ^= 1
    arrays_file(directory).write_bytes(content)


def truncate(directory: Path) -> None:
    arrays_file(directory).write_bytes(arrays_file(directory).read_bytes()[:40])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "there is no such checkpoint"),
        (lambda d: (d / "checkpoint.json").unlink(), "the description of a checkpoint, found no such file"),
        (lambda d: (d / "checkpoint.json").write_text('{"format_'), "checkpoint as JSON, found something that cannot"),
        (
            lambda d: (d / "checkpoint.json").write_text("[1]"),
            "expected the description of a checkpoint .an object., found .1.",
        ),
        (lambda d: change_description(d, sha256=None), "sha256: expected a valid string, found null"),
        (lambda d: change_description(d, metadata=[]), "metadata: expected an object, found .."),
        (lambda d: arrays_file(d).unlink(), "arrays cannot be read"),
        (flip_a_byte, "corrupted, sha256: expected"),
        (truncate, "corrupted, sha256: expected"),
    ],
)
def test_damage_is_refused_in_one_sentence(tmp_path: Path, damage: Any, sentence: str) -> None:
    checkpoint.save(tmp_path / "c", make_state(), {})
    damage(tmp_path / "c")
    with pytest.raises(DamagedCheckpointError, match=sentence) as raised:
        checkpoint.load(tmp_path / "c", make_state())
    assert str(tmp_path / "c") in str(raised.value)
    assert "\n" not in str(raised.value)


class Killed(BaseException):
    """Stands for SIGKILL: no handler of ours expects it."""


OLD, NEW = {"step": 1}, {"step": 2}


@pytest.mark.parametrize("function", ["write", "fsync", "replace"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_kill_at_any_file_operation_leaves_old_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, existing: bool
) -> None:
    """The n-th call of a file operation never returns, for every n, and nothing is tidied up afterwards."""
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    outcomes, killed = [], True
    for survived in range(20):
        directory = tmp_path / f"{survived}"
        if existing:
            checkpoint.save(directory, make_state(), OLD)
        with monkeypatch.context() as patch:
            kill_after(patch, function, survived)
            try:
                checkpoint.save(directory, make_state(scale=2.0), NEW)
                killed = False
            except Killed:
                killed = True
        if existing or directory.exists():
            state, metadata = checkpoint.load(directory, make_state())
            assert_same_bits(state, make_state(scale=metadata["step"]))  # old step 1 scale 1, new step 2 scale 2
            outcomes.append(metadata["step"])
        else:
            outcomes.append(0)
        if not killed:
            break
    assert not killed
    assert outcomes[-1] == 2
    assert outcomes == sorted(outcomes)  # old, ..., old, new, ..., new
    assert outcomes[0] == int(existing)


def kill_after(patch: pytest.MonkeyPatch, function: str, survived: int) -> None:
    """Let the first `survived` calls pass. A killed write leaves half of the bytes."""
    calls = iter(range(1000))
    original: Any = files.write_bytes if function == "write" else getattr(os, function)

    def operation(*arguments: Any, **options: Any) -> Any:
        if next(calls) < survived:
            return original(*arguments, **options)
        if function == "write":
            path, content = arguments
            path.write_bytes(content[: len(content) // 2])
        raise Killed

    if function == "write":
        patch.setattr(files, "write_bytes", operation)
    else:
        patch.setattr(os, function, operation)


def test_a_failed_save_tidies_up_and_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CheckpointError, match=r"c: the checkpoint cannot be written \(No space left on device\)\."):
        checkpoint.save(tmp_path / "c", make_state(), {})
    assert list(tmp_path.iterdir()) == []


def test_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years")
    for directory in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(CheckpointError, match="found something else"):
            checkpoint.save(directory, make_state(), {})
    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_saving_twice_keeps_only_the_second(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", make_state(), OLD)
    checkpoint.save(tmp_path / "c", make_state(scale=2.0), NEW)
    state, metadata = checkpoint.load(tmp_path / "c", make_state())
    assert_same_bits(state, make_state(scale=2.0))
    assert metadata == NEW
    assert len(list((tmp_path / "c").iterdir())) == 2
