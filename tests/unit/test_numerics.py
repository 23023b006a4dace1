"""JAX's modes and platforms: numbers stay as they are, and what cannot start says so in one sentence."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.toy_algorithm import SPEC, ToyAlgorithm, ToySizes, toy_data

from surefoot import jax_start, numerics
from surefoot.envs.pure import PURE_TASKS
from surefoot.envs.registration import POINT_ROBOT_ID, SAFE_PENDULUM_ID
from surefoot.errors import ConfigError, DeviceMemoryError, OutputError
from surefoot.numerics import enough_memory, pinned, platform_sentence, start_jax
from surefoot.training import RunDirectory, fit, load_policy, make_config

TOY = ToyAlgorithm(ToySizes(4, 4))


def run_of(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    config = make_config(
        TOY, name="toy", task="Toy", spec=SPEC, seeds=(3,), data_path="toy.hdf5", data_fingerprint="abc",
        log_interval=4, checkpoint_interval=4,
    )  # fmt: skip
    run.start(config, resume=False)
    return run


def actions(path: Path, *, stop_at: int | None = None) -> np.ndarray:
    run = run_of(path)
    settings: dict[str, Any] = {"spec": SPEC, "seeds": (3,), "run": run, "log_interval": 4, "checkpoint_interval": 4}
    fit(TOY, toy_data(), stop_at=stop_at, **settings)
    fit(TOY, toy_data(), **settings)  # resumed
    policy = load_policy(path, algorithms={"toy": ToyAlgorithm})
    observations = np.asarray(toy_data(3).observation, np.float64)
    session = policy.session()
    return np.stack([policy.act(observations), session.act(observations), session.act(observations)])


def test_training_resuming_and_acting_are_alike_in_every_mode_of_jax(tmp_path: Path) -> None:
    wanted = actions(tmp_path / "plain")
    with (
        jax.enable_x64(True), jax.default_prng_impl("rbg"), jax.numpy_dtype_promotion("strict"),
        jax.threefry_partitionable(False),
    ):  # fmt: skip
        found = actions(tmp_path / "other", stop_at=4)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", [POINT_ROBOT_ID, SAFE_PENDULUM_ID])
def test_environments_are_float32_whatever_the_mode(name: str) -> None:
    def episode() -> list[Any]:
        env = gymnasium.make(name).unwrapped
        seen: list[Any] = [env.reset(seed=3)]
        action = np.full(env.action_space.shape or (), 0.3)
        return [*seen, *(env.step(action) for _ in range(3))]

    wanted = episode()
    with jax.enable_x64(True):
        found = episode()
    assert all(step[0].dtype == np.float32 for step in found)
    assert repr(found) == repr(wanted)


def test_pure_environments_start_in_float32() -> None:
    for task in ("PointRobot", "SafePendulum"):
        with jax.enable_x64(True):
            state, observation = PURE_TASKS[task].reset(jax.random.split(jax.random.key(0), 2))
        assert observation.dtype == np.float32
        assert not [leaf for leaf in jax.tree.leaves(state) if leaf.dtype == np.float64]


def test_a_number_that_is_not_finite_is_named_with_its_place() -> None:
    good = np.arange(3.0)
    assert numerics.check_finite("action", good, "so it is") is good
    with pytest.raises(OutputError, match=r"^action: expected finite numbers, found -inf at \[1, 0\]; so it is\.$"):
        numerics.check_finite("action", [[1.0, 2.0], [-np.inf, np.nan]], "so it is")
    with pytest.raises(OutputError, match=r"^value: expected finite numbers, found nan; so it is\.$"):
        numerics.check_finite("value", np.float32(np.nan), "so it is")


def test_a_platform_that_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> str:
        def devices() -> None:
            raise error

        monkeypatch.setattr(jax, "devices", devices)
        start_jax.cache_clear()
        with pytest.raises(ConfigError) as found, pinned():
            pass
        return str(found.value)

    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    wanted = "JAX_PLATFORMS=cuda: expected a platform that is here, found none"
    assert fail(AssertionError()) == f"{wanted} (the plugin for it is not installed)."
    # JAX advises to set what the user has set.
    advice = "Unable to initialize backend 'cuda': no GPU. (set JAX_PLATFORMS='' to automatically choose an available "
    assert fail(RuntimeError(f"{advice}backend)")) == f"{wanted} (Unable to initialize backend 'cuda': no GPU)."
    assert platform_sentence(RuntimeError("something else")) is None


def test_the_command_line_says_it_before_any_work() -> None:
    words = [sys.executable, "-m", "surefoot.cli.main", "evaluate", "nowhere"]
    variables = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cuda"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: JAX_PLATFORMS=cuda: expected a platform that is here, found none (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("JAX_NUM_CPU_DEVICES", "0", "expected a whole number from 1 to 1024, found '0'"),
        ("JAX_NUM_CPU_DEVICES", "many", "found 'many'"),
        ("JAX_NUM_CPU_DEVICES", "100000", "found '100000'"),
        ("XLA_FLAGS", "--nonsense=1", "XLA_FLAGS: Unknown flag in XLA_FLAGS: --nonsense=1"),
        ("XLA_FLAGS", "--xla_force_host_platform_device_count=many", "XLA_FLAGS: "),
    ],
)
def test_variables_that_jax_would_die_of_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.delitem(sys.modules, "jax")
    monkeypatch.setattr(jax_start.importlib, "import_module", lambda name: None)
    for variable in jax_start.PINNED:
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as found:
        jax_start.prepare_jax()
    assert sentence in str(found.value)
    assert "\n" not in str(found.value)


def test_running_out_of_memory_is_a_sentence_that_names_the_work() -> None:
    exhausted = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.")
    for error in (exhausted, MemoryError()):
        with pytest.raises(DeviceMemoryError, match=r"^out of memory: a batch of 7 does not fit; lower it\.$"):  # noqa: SIM117
            with enough_memory("a batch of 7", "lower it"):
                raise error
    other = jax.errors.JaxRuntimeError("INTERNAL: something else")
    with pytest.raises(jax.errors.JaxRuntimeError), enough_memory("a batch of 7", "lower it"):
        raise other


def test_the_mode_of_the_caller_comes_back() -> None:
    with jax.enable_x64(True):
        with pinned():
            assert jnp.zeros(1).dtype == jnp.float32
        assert jnp.zeros(1).dtype == jnp.float64
    assert numerics.GENERATOR == "threefry2x32"
