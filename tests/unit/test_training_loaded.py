"""A loaded policy: acts for one and for many, says how safe it is, and refuses what is no observation."""

import copy
import os
import pickle
import shutil
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.toy_algorithm import SPEC, ToyAlgorithm, toy_data

from surefoot import checkpoint
from surefoot.errors import CheckpointError, ConfigError, DeviceMemoryError, OutputError, UnknownNameError
from surefoot.forks import inherited_jax
from surefoot.training import LoadedPolicy, RunDirectory, fit, load_policy, loaded, make_config

SEEDS = (3, 0, 9)
TABLE: dict[str, type[Any]] = {"toy": ToyAlgorithm}


def start(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    config = make_config(
        ToyAlgorithm(), name="toy", task="Toy", spec=SPEC, seeds=SEEDS, data_path="toy.hdf5", data_fingerprint="abc",
        log_interval=4, checkpoint_interval=5,
    )  # fmt: skip
    run.start(config, resume=False)
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    run = start(tmp_path_factory.mktemp("run"))
    state = fit(
        ToyAlgorithm(), toy_data(), spec=SPEC, seeds=SEEDS, run=run, log_interval=4, checkpoint_interval=5
    )  # fmt: skip
    return run.path, state


@pytest.fixture(scope="module")
def policy(trained: tuple[Path, Any]) -> LoadedPolicy:
    return load_policy(trained[0], algorithms=TABLE)


OBSERVATIONS = np.asarray(toy_data(5).observation)


def test_the_first_seed_is_loaded_or_the_one_asked_for(trained: tuple[Path, Any]) -> None:
    path, state = trained
    for place, seed in [(0, None), (0, 3), (2, 9)]:
        policy = load_policy(path, seed=seed, algorithms=TABLE)
        assert (policy.seed, policy.step) == (SEEDS[place], 20)
        np.testing.assert_array_equal(policy.state.value, state.value[place])
        # feasible_value is observation . value in the toy
        wanted = OBSERVATIONS @ np.asarray(state.value[place])
        np.testing.assert_allclose(policy.feasible_value(OBSERVATIONS), wanted, rtol=1e-5)


def test_one_and_many(policy: LoadedPolicy) -> None:
    one, many = policy.act(OBSERVATIONS[0]), policy.act(OBSERVATIONS)
    assert isinstance(one, np.ndarray)
    assert (one.shape, many.shape, many.dtype) == ((2,), (5, 2), np.float32)
    assert policy.act(OBSERVATIONS[:0]).shape == (0, 2)
    value = policy.feasible_value(OBSERVATIONS[0].astype(np.float64))
    assert value.shape == ()
    assert value == pytest.approx(policy.feasible_value(OBSERVATIONS)[0], rel=1e-5)
    assert policy.feasible_value(OBSERVATIONS[:0]).shape == (0,)


def test_the_same_call_gives_the_same_action_and_another_key_another(policy: LoadedPolicy) -> None:
    first = policy.act(OBSERVATIONS)
    policy.act(OBSERVATIONS[0])
    np.testing.assert_array_equal(policy.act(OBSERVATIONS), first)
    key = jax.random.key(1)
    np.testing.assert_array_equal(policy.act(OBSERVATIONS, key=key), policy.act(OBSERVATIONS, key=key))
    assert np.abs(policy.act(OBSERVATIONS, key=key) - first).max() > 0


def test_large_batches_are_cut_and_every_part_draws_its_own_noise(
    policy: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = policy.feasible_value(OBSERVATIONS)
    monkeypatch.setattr(loaded, "LARGEST_BATCH", 2)
    np.testing.assert_allclose(policy.feasible_value(OBSERVATIONS), whole, rtol=1e-5)
    actions = policy.act(np.zeros((5, 3)))  # the mean action is 0: what is seen is noise
    assert actions.shape == (5, 2)
    assert len(np.unique(actions)) == 10


def test_few_shapes_are_compiled(trained: tuple[Path, Any]) -> None:
    traced = []

    class Counting(ToyAlgorithm):
        def feasible_value(self, state: Any, observations: Any) -> Any:
            traced.append(observations.shape[0])
            return super().feasible_value(state, observations)

    policy = load_policy(trained[0], algorithms={"toy": Counting})
    for rows in (1, 2, 3, 4, 5, 6, 7, 8, 3, 5):
        policy.feasible_value(np.zeros((rows, 3)))
    assert traced == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        (np.zeros(4), r"observation: expected shape \[3\] or \[n, 3\], found \[4\]"),
        (np.zeros((2, 4)), r"found \[2, 4\]"),
        (np.zeros((1, 2, 3)), r"found \[1, 2, 3\]"),
        (1.0, r"found \[\]"),
        ([0.0, np.nan, 0.0], r"expected finite numbers, found nan in column 1\."),
        ([[0.0, 0.0, 0.0], [0.0, 0.0, -np.inf]], r"found -inf in column 2 of observation 1\."),
        (["left", "right", "up"], "expected numbers"),
        ([[0.0, 0.0, 0.0], [0.0]], "expected numbers"),
    ],
)
def test_what_is_no_observation_is_refused(policy: LoadedPolicy, observation: Any, sentence: str) -> None:
    for method in (policy.act, policy.feasible_value):
        with pytest.raises(ConfigError, match=sentence):
            method(observation)


def test_an_algorithm_without_feasible_value_says_so(trained: tuple[Path, Any]) -> None:
    class Bare(ToyAlgorithm):
        feasible_value: Any = None  # so a protocol takes a method for lacking

    policy = load_policy(trained[0], algorithms={"toy": Bare})
    with pytest.raises(ConfigError, match="algorithm 'toy' has no feasible value"):
        policy.feasible_value(OBSERVATIONS)


def test_outputs_that_overflow_are_a_sentence_and_the_policy_goes_on(policy: LoadedPolicy) -> None:
    # Three numbers of 1e38 times weights above 1 in all exceed float32's 3.4e38; inf - inf is not a number.
    far = np.full(3, 3e38, np.float32) * np.sign(np.asarray(policy.state.value))
    steep = LoadedPolicy(
        policy.algorithm, policy.state._replace(value=10 * policy.state.value, policy=policy.state.policy * np.nan),
        config=policy.config, seed=policy.seed, step=policy.step,
    )  # fmt: skip
    with pytest.raises(OutputError, match=r"^feasible value: expected finite numbers, found inf; the networks of seed"):
        steep.feasible_value(far)
    with pytest.raises(OutputError, match=r"^action: .* found nan at \[0, 0\]; .* with numbers up to 3e\+38\.$"):
        steep.act(np.stack([np.zeros(3), far]))
    session = steep.session()
    with pytest.raises(OutputError, match="action: expected finite numbers"):
        session.act(OBSERVATIONS[0])
    assert session.steps == 0


def test_observations_that_do_not_fit_are_counted(policy: LoadedPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_: Any) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.")

    for name in ("_act", "_step", "_value"):
        monkeypatch.setattr(policy, name, exhaust)
    sentence = r"^out of memory: a batch of 8 observations does not fit; give fewer at once\.$"
    for method in (policy.act, policy.feasible_value):
        with pytest.raises(DeviceMemoryError, match=sentence):
            method(OBSERVATIONS)
    with pytest.raises(DeviceMemoryError, match="a session of 5 environments does not fit; begin sessions of fewer"):
        policy.session().act(OBSERVATIONS)


def test_several_threads_act_with_one_policy(policy: LoadedPolicy) -> None:
    wanted = [policy.act(row) for row in OBSERVATIONS]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: policy.act(OBSERVATIONS[number % 5]), range(100)))
    for number, action in enumerate(found):
        np.testing.assert_array_equal(action, wanted[number % 5])


def test_a_pickled_policy_is_loaded_again_from_its_checkpoint(trained: tuple[Path, Any], tmp_path: Path) -> None:
    path = Path(shutil.copytree(trained[0], tmp_path / "run"))
    policy = load_policy(path, seed=9, algorithms=TABLE, overrides={"learning_rate": 0.5})
    content = pickle.dumps(policy)
    assert len(content) < 1000
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.act(OBSERVATIONS), policy.act(OBSERVATIONS))
    assert (again.seed, again.step, again.algorithm) == (9, 20, ToyAlgorithm(learning_rate=0.5))
    assert copy.deepcopy(policy) is policy
    # A later checkpoint is not the policy's; it may be there.
    run = RunDirectory(path)
    identity = run.read_config().identity
    run.save_checkpoint(21, jax.tree.map(jnp.zeros_like, trained[1]), identity)
    np.testing.assert_array_equal(pickle.loads(content).act(OBSERVATIONS), policy.act(OBSERVATIONS))
    changed = jax.tree.map(jnp.zeros_like, trained[1])
    checkpoint.save(run.checkpoints_path / f"{20:09d}", changed, {**identity, "step": 20})
    with pytest.raises(CheckpointError, match=r"000000020: expected the checkpoint .* it was changed since"):
        pickle.loads(content)
    shutil.rmtree(run.checkpoints_path)
    with pytest.raises(CheckpointError, match=r"found none; training has gone on or the run was moved since"):
        pickle.loads(content)


def test_what_cannot_go_to_another_process_says_so(policy: LoadedPolicy) -> None:
    made = LoadedPolicy(policy.algorithm, policy.state, config=policy.config, seed=3, step=20)
    with pytest.raises(ConfigError, match="policy: expected one that was loaded from a run's checkpoint"):
        pickle.dumps(made)
    with pytest.raises(ConfigError, match="session: expected to stay in its process"):
        pickle.dumps(policy.session())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_after_jax_had_started_says_that_it_would_hang(policy: LoadedPolicy) -> None:
    policy.act(OBSERVATIONS)
    content = pickle.dumps(policy)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX's own, of what may come
        child = os.fork()
    if not child:
        try:
            # A pool's worker that could not read its task would leave the pool waiting: reading works, acting says why.
            for one in (policy, pickle.loads(content)):
                try:
                    one.act(OBSERVATIONS)
                except ConfigError as error:
                    os.write(writing, f"{error}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        sentences = said.read().splitlines()
    assert len(sentences) == 2
    assert all(one.startswith("this process was forked after JAX had started, and JAX would") for one in sentences)
    os.waitpid(child, 0)
    assert not inherited_jax(os.getpid())


def test_loading_what_is_not_there_is_refused(trained: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"found no config\.json"):
        load_policy(tmp_path, algorithms=TABLE)
    with pytest.raises(ConfigError, match=r"seed: expected one of \[3, 0, 9\], found 4"):
        load_policy(trained[0], seed=4, algorithms=TABLE)
    with pytest.raises(UnknownNameError, match="unknown algorithm 'toy'"):
        load_policy(trained[0], algorithms={"fisor": ToyAlgorithm})
    start(tmp_path)
    with pytest.raises(CheckpointError, match="found none; the run was stopped before its first"):
        load_policy(tmp_path, algorithms=TABLE)
