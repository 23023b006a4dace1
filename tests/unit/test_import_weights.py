"""Diffuser's weights as ours: names, layouts and sizes, against numbers of the published code.

PyTorch is some hundred megabytes for one call, `torch.load(..., weights_only=True)`, so it is no requirement of the
tests: where a file is read, a stand-in with that call and its two names takes its place.
"""

import json
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence

import surefoot
from surefoot import data
from surefoot.cli.main import main
from surefoot.data import Dataset
from surefoot.diffusion.schedules import cosine_betas
from surefoot.errors import ConfigError, DataError
from surefoot.experiments import import_weights
from surefoot.nn.diffuser import denoiser_from_diffuser
from surefoot.training import RunDirectory

GOLDEN = Path(__file__).parents[1] / "golden"


def entry_values(entry: dict[str, Any]) -> np.ndarray:
    """The array of an entry of the golden file's list, in PyTorch's layout (shared/golden/README.md)."""
    shape = tuple(entry["shape"])
    s = np.sin(0.731 * np.arange(np.prod(shape)) + entry["salt"]).reshape(shape)
    if entry["kind"] == "kernel":
        return entry["gain"] * np.sqrt(2.0 / np.prod(shape[1:])) * s
    return (1.0 if entry["kind"] == "scale" else 0.0) + 0.1 * s


def around(named: dict[str, np.ndarray], *, steps: int, horizon: int, action_dim: int) -> dict[str, np.ndarray]:
    """A state dictionary: the named tensors of a network with the buffers beside them."""
    facts = json.loads((GOLDEN / "diffuser_state_dict.json").read_text())["diffusion"]
    buffers = {name: np.zeros(steps) for name in facts if not name.startswith("model.")}
    segment_dim = named["model.final_conv.1.bias"].shape[0]
    weights = np.ones((horizon, segment_dim))
    weights[0, :action_dim] = 10.0
    return {**named, **buffers, "betas": cosine_betas(steps), "loss_fn.weights": weights}


def tensors_of(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: 0.1 * generator.normal(size=shape) for name, shape in shapes.items() if name.startswith("model.")}


def small_state() -> dict[str, np.ndarray]:
    """Two levels of 8 and 16 channels over segments of SafePendulum: action 1, observation 3, horizon 8, 4 steps.

    Cut from the published listing: its levels 0 and 1, its last stage upwards, and the sizes changed.
    """
    facts = json.loads((GOLDEN / "diffuser_state_dict.json").read_text())["diffusion"]
    named = {}
    for name, shape in facts.items():
        if any(part in name for part in ("downs.2", "downs.3", "downs.1.3", "ups.0", "ups.1")):
            continue
        # 32 -> 8 (and the embedding's 128 -> 32), 64 -> 16, 23 -> 4; the widest, 256, is the 16 of the second level.
        sizes = {32: 8, 128: 32, 64: 16, 23: 4, 256: 16}
        named[name.replace("ups.2", "ups.0")] = [sizes.get(size, size) for size in shape]
    return around(tensors_of(named), steps=4, horizon=8, action_dim=1)


def test_the_mapped_network_gives_the_published_codes_numbers() -> None:
    entries = json.loads((GOLDEN / "trebi_parameters.json").read_text())["unet"]
    named = {f"model.{entry['name']}": entry_values(entry) for entry in entries}
    imported = denoiser_from_diffuser(
        around(named, steps=20, horizon=16, action_dim=2), observation_dim=5, action_dim=2
    )
    assert (imported.config.width, imported.config.multipliers, imported.config.kernel) == (32, (1, 2, 4), 5)
    assert (imported.horizon, len(imported.betas)) == (16, 20)
    with np.load(GOLDEN / "trebi.npz") as golden:
        x, t = jnp.asarray(golden["batch/x_noisy"]), jnp.asarray(golden["batch/t"], jnp.float32)
        expected = golden["forward/unet"]
    np.testing.assert_allclose(jax.jit(lambda network: network(x, t))(imported.network), expected, rtol=1e-4, atol=1e-5)


def test_every_published_name_and_shape_is_taken() -> None:
    facts = json.loads((GOLDEN / "diffuser_state_dict.json").read_text())["diffusion"]
    state = around(tensors_of(facts), steps=20, horizon=32, action_dim=6)
    assert {name: list(array.shape) for name, array in state.items()} == facts
    imported = denoiser_from_diffuser(state, observation_dim=17, action_dim=6)
    assert (imported.config.multipliers, imported.horizon) == ((1, 2, 4, 8), 32)
    # Every number of the listing, which includes no others: about 3.96 million.
    count = sum(array.size for name, array in state.items() if name.startswith("model."))
    assert sum(leaf.size for leaf in jax.tree.leaves(imported.network)) == count


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"model.mid_block1.time_mlp.1.bias": None},
            "model.mid_block1.time_mlp.1.bias: expected a tensor of that name",
        ),
        (
            {"model.downs.0.2.fn.fn.to_qkv.weight": np.zeros((3, 3))},
            "model.downs.0.2.fn.fn.to_qkv.weight: expected no ",
        ),
        ({"model.ups.0.3.conv.bias": np.zeros(3)}, "model.ups.0.3.conv.bias: expected shape [8], found [3]."),
        ({"model.time_mlp.3.bias": np.full(8, np.nan)}, "model.time_mlp.3.bias: expected finite numbers"),
        ({"model.final_block.0.weight": np.zeros((1, 1))}, "expected a denoiser, found Diffuser's value network."),
        (
            {"loss_fn.weights": np.array([[10.0, 10.0, 1.0, 1.0]])},
            "expected the first 1 numbers of a segment to be its",
        ),
    ],
)
def test_other_tensors_are_refused_by_name(change: dict[str, Any], sentence: str) -> None:
    state = {name: array for name, array in {**small_state(), **change}.items() if array is not None}
    with pytest.raises(DataError) as error:
        denoiser_from_diffuser(state, observation_dim=3, action_dim=1)
    assert sentence in str(error.value)
    assert is_one_sentence(str(error.value))


def test_the_weights_of_another_task_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected 3 \+ 11 numbers a step, as the task has, found 4"):
        denoiser_from_diffuser(small_state(), observation_dim=11, action_dim=3)


class FakeTensor:
    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def numpy(self) -> np.ndarray:
        return self._array


def fake_torch(content: Any) -> SimpleNamespace:
    def load(path: Path, *, map_location: str, weights_only: bool) -> Any:
        assert weights_only  # nothing pickled may ever run
        if isinstance(content, Exception):
            raise content
        return content

    return SimpleNamespace(load=load, Tensor=FakeTensor)


def wrapped(state: dict[str, np.ndarray]) -> dict[str, Any]:
    tensors: dict[str, Any] = {name: FakeTensor(array) for name, array in state.items()}
    return {"step": 7, "model": {name: FakeTensor(-array._array) for name, array in tensors.items()}, "ema": tensors}


@pytest.fixture
def pendulum(tmp_path: Path) -> Path:
    """Five episodes of 20 steps."""
    generator, rows = np.random.default_rng(0), 100
    path = generator.normal(size=(rows + 1, 3)).astype(np.float32)
    ends = np.arange(rows) % 20 == 19
    dataset = Dataset(
        "SafePendulum", path[:-1], generator.uniform(-1, 1, (rows, 1)).astype(np.float32), np.ones(rows, np.float32),
        np.ones(rows, np.float32), path[1:], np.zeros(rows, bool), ends,
    )  # fmt: skip
    data.save(tmp_path / "pendulum.hdf5", dataset)
    (tmp_path / "state_7.pt").write_bytes(b"read by a stand-in")
    return tmp_path


def words(folder: Path) -> list[str]:
    return [
        *("import", "diffuser", str(folder / "state_7.pt"), "--task", "SafePendulum", "--seeds", "0:2"),
        *("--data", str(folder / "pendulum.hdf5"), "--out", str(folder / "run")),
    ]


TINY = [
    *("--value-updates", "2", "--batch-size", "4", "--num-candidates", "2", "--sampler.steps", "2"),
    *("--sampler.warm-steps", "0", "--calibration-segments", "0"),
    *("--value-network.width", "8", "--value-network.multipliers", "1", "2"),
]


def test_an_imported_run_is_trained_and_loaded(
    pendulum: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_weights, "pytorch", lambda: fake_torch(wrapped(small_state())))
    assert main([*words(pendulum), *TINY]) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert command[:2] == ["surefoot", "train"]
    assert main(command[1:]) == 0  # as printed: the run holds what was given to the import
    expected = denoiser_from_diffuser(small_state(), observation_dim=3, action_dim=1).network
    loaded = surefoot.load(pendulum / "run", seed=1)
    found = loaded.state.model.average
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True))
    config = RunDirectory(pendulum / "run").read_config()
    assert config.hyperparameters["model_updates"] == 0
    assert config.command[:3] == ("surefoot", "import", "diffuser")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            RuntimeError("Weights only load failed.\nmore"),
            "tensors in PyTorch's format, found something else (RuntimeError).",
        ),
        ({"model": {}}, "ema: expected a dictionary of tensors under that key, found none."),
        ({"ema": {"betas": 3.0}}, "ema: expected named tensors, found other things among them."),
        (wrapped({**small_state(), "betas": np.full(4, 0.1)}), "betas: expected the cosine schedule of 4 steps"),
    ],
)
def test_bad_files_leave_nothing_behind(
    pendulum: Path, content: Any, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_weights, "pytorch", lambda: fake_torch(content))
    assert main(words(pendulum)) == 2
    assert sentence in capsys.readouterr().err
    assert not (pendulum / "run").exists()


def test_what_the_weights_settle_is_not_given(
    pendulum: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_weights, "pytorch", lambda: fake_torch(wrapped(small_state())))
    for name, words_ in (("--plan-horizon", ["--plan-horizon", "64"]), ("--network", ["--network.width=128"])):
        assert main([*words(pendulum), *TINY, *words_]) == 2
        assert f"{name}: expected none, for the weights settle it" in capsys.readouterr().err
    assert not (pendulum / "run").exists()


def test_without_pytorch_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"pip install 'surefoot\[import\]'"):
        import_weights.pytorch()
