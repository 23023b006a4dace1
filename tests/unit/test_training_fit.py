"""Training: resuming is exact, seeds do not disturb each other, a loss that diverges stops the run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

sys.path.append(str(Path(__file__).parents[2]))
from tests.toy_algorithm import SPEC, ToyAlgorithm, ToySizes, toy_data

from surefoot.errors import CheckpointError, ConfigError, DataError, DeviceMemoryError, DivergenceError, SurefootWarning
from surefoot.training import Progress, RunDirectory, fit, make_config
from surefoot.training.chunk import (
    UPDATE_STREAM,
    init_states,
    phase_cumulative,
    replicate,
    run_chunk,
    seed_keys,
    seed_mesh,
)
from surefoot.training.tensorboard import TensorBoard
from surefoot.types import Transition

SEEDS = (3, 0, 9)
"""Chosen so that their first values have both signs, which the poisoned data need."""
TOY = ToyAlgorithm()


def start(path: Path, *, task: str = "Toy", data_fingerprint: str = "abc") -> RunDirectory:
    run = RunDirectory(path)
    config = make_config(
        TOY, name="toy", task=task, spec=SPEC, seeds=SEEDS, data_path="toy.hdf5", data_fingerprint=data_fingerprint,
        log_interval=4, checkpoint_interval=5,
    )  # fmt: skip
    run.start(config, resume=True)
    return run


def train(
    run: RunDirectory | None,
    algorithm: ToyAlgorithm = TOY,
    *,
    seeds: tuple[int, ...] = SEEDS,
    data: Transition | None = None,
    **options: Any,
) -> Any:
    options = {"log_interval": 4, "checkpoint_interval": 5} | options
    return fit(algorithm, toy_data() if data is None else data, spec=SPEC, seeds=seeds, run=run, **options)


def bits(state: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))]


def rows(run: RunDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics_path.read_text().splitlines()]


def steps(run: RunDirectory) -> list[int]:
    return [int(path.name) for path in run.checkpoints()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Any]:
    """10 + 10 updates without a stop."""
    run = start(tmp_path_factory.mktemp("whole"))
    return run, train(run)


def test_both_phases_learn(whole: tuple[RunDirectory, Any]) -> None:
    run, state = whole
    assert np.asarray(state.updates).tolist() == [20, 20, 20]
    losses = {(row["step"], row["phase"], row["seed"]): row["metrics"] for row in rows(run)}
    # Chunks of 4 within phases of 10: 4, 8, 10 and 14, 18, 20.
    assert list(losses) == [
        (step, phase, seed)
        for phase, ends in [("value", (4, 8, 10)), ("policy", (14, 18, 20))]
        for step in ends
        for seed in SEEDS
    ]
    for seed in SEEDS:
        assert losses[10, "value", seed]["value/loss"] < 0.5 * losses[4, "value", seed]["value/loss"]
        assert losses[20, "policy", seed]["policy/loss"] < losses[14, "policy", seed]["policy/loss"]


def test_checkpoints_lie_at_chunk_ends_past_the_interval_and_at_phase_ends(whole: tuple[RunDirectory, Any]) -> None:
    # The chunk at 8 passes 5; 10 ends the phase; 18 passes 15; 20 is the end. The last two are kept.
    assert steps(whole[0]) == [18, 20]


@pytest.mark.parametrize("stops", [[4], [6], [10], [14], [18], [4, 8, 10, 14, 18]])
def test_a_stopped_run_ends_with_the_same_bits(
    tmp_path: Path, whole: tuple[RunDirectory, Any], stops: list[int]
) -> None:
    """10 + 10 is 20, wherever it is cut: in a phase, between the two, in the middle of a log interval."""
    run = start(tmp_path)
    for stop in stops:
        stopped = train(run, stop_at=stop)
        at = min(end for end in (4, 8, 10, 14, 18, 20) if end >= stop)  # stops at the chunk's end
        assert np.asarray(stopped.updates).tolist() == [at] * 3
        assert steps(run)[-1] == at
    assert bits(train(run)) == bits(whole[1])
    assert run.metrics_path.read_bytes() == whole[0].metrics_path.read_bytes()


def test_a_finished_run_returns_its_state_and_trains_no_further(whole: tuple[RunDirectory, Any]) -> None:
    reports: list[Progress] = []
    before = whole[0].metrics_path.read_bytes()
    assert bits(train(whole[0], on_progress=reports.append)) == bits(whole[1])
    assert reports == []
    assert whole[0].metrics_path.read_bytes() == before


def test_a_killed_run_falls_back_to_its_checkpoint_and_cuts_the_metrics(
    tmp_path: Path, whole: tuple[RunDirectory, Any]
) -> None:
    """Rows after the checkpoint, half a row, and a half-written checkpoint, as a kill leaves them."""
    run = start(tmp_path)
    train(run, stop_at=10)
    with run.metrics_path.open("a") as file:
        file.write('{"step": 14, "phase": "policy", "seed": 3, "metrics": {"policy/loss": 9.0}}\n{"step": 14, "pha')
    (run.checkpoints_path / ".000000014.77.tmp").mkdir()
    (run.path / ".metrics.jsonl.77.tmp").write_text("{")
    (run.checkpoints_path / "000000014").mkdir()
    assert bits(train(run)) == bits(whole[1])
    assert run.metrics_path.read_bytes() == whole[0].metrics_path.read_bytes()
    assert {path.name for path in run.checkpoints_path.iterdir()} == {"000000018", "000000020"}
    assert list(run.path.glob(".*.tmp")) == []


def test_rows_of_a_run_killed_before_its_first_checkpoint_are_cut(
    tmp_path: Path, whole: tuple[RunDirectory, Any]
) -> None:
    run = start(tmp_path)
    run.metrics_path.write_text('{"step": 4, "phase": "value", "seed": 3, "metrics": {"value/loss": 9.0}}\n')
    train(run)
    assert run.metrics_path.read_bytes() == whole[0].metrics_path.read_bytes()


def test_a_seed_alone_is_that_seed_beside_others(whole: tuple[RunDirectory, Any]) -> None:
    for place, seed in enumerate(SEEDS):
        alone = train(None, seeds=(seed,))
        for one, many in zip(alone[:5], whole[1][:5], strict=True):
            np.testing.assert_allclose(one[0], many[place], rtol=1e-5, atol=1e-6)
    assert np.abs(whole[1].value[0] - whole[1].value[1]).max() > 1e-3  # and seeds differ


def test_without_a_run_directory_the_bits_are_the_same(whole: tuple[RunDirectory, Any]) -> None:
    assert bits(train(None)) == bits(whole[1])


def test_a_chunk_draws_by_weight_and_averages_its_metrics() -> None:
    """Rows whose value is negative weigh 0: their rewards must not appear in the policy phase."""
    data = jax.tree.map(jnp.asarray, toy_data())
    value = jnp.array([1.0, -1.0, 0.5])  # reward = observation . value exactly, so weight = max(reward, 0)
    states = init_states(TOY, SPEC, SEEDS)._replace(value_target=jnp.tile(value, (3, 1)))
    assert phase_cumulative(TOY, states, data=data, phase=TOY.phases[0], seeds=SEEDS) is None
    cumulative = phase_cumulative(TOY, states, data=data, phase=TOY.phases[1], seeds=SEEDS)
    assert cumulative is not None
    assert cumulative.shape == (3, 64)
    inputs: dict[str, Any] = {"keys": seed_keys(SEEDS, stream=UPDATE_STREAM), "data": data}

    def lowest(first: int, length: int, *, phase: int = 1) -> Any:
        start, weights = jnp.asarray(first, jnp.int32), cumulative if phase else None
        copy = jax.tree.map(jnp.copy, states)
        mesh = seed_mesh(SEEDS)
        _, metrics = run_chunk(
            TOY, copy, **inputs, mesh=mesh, cumulative=weights, first=start, phase_index=phase, length=length
        )
        return np.asarray(metrics[f"{TOY.phases[phase].name}/lowest_reward"])

    # The lowest reward of a batch depends on the draws alone, so 4 updates average what 2 and 2 do.
    np.testing.assert_allclose(lowest(0, 4), (lowest(0, 2) + lowest(2, 2)) / 2, rtol=1e-5)
    assert np.abs(lowest(0, 2) - lowest(2, 2)).max() > 1e-3
    assert lowest(0, 4).min() > 0
    assert lowest(0, 4, phase=0).max() < 0  # the lowest of 4 uniform rows, half of which are negative


def test_states_are_donated_and_targets_do_not_share_buffers() -> None:
    mesh = seed_mesh(SEEDS)
    states = replicate(init_states(TOY, SPEC, SEEDS), mesh)
    assert states.value.unsafe_buffer_pointer() != states.value_target.unsafe_buffer_pointer()
    data = jax.tree.map(jnp.asarray, toy_data())
    keys = seed_keys(SEEDS, stream=UPDATE_STREAM)
    first = jnp.asarray(0, jnp.int32)
    run_chunk(TOY, states, mesh=mesh, keys=keys, data=data, cumulative=None, first=first, phase_index=0, length=2)
    assert states.value.is_deleted()
    assert not data.reward.is_deleted()


def test_seeds_that_do_not_divide_among_the_devices_learn_the_same(tmp_path: Path) -> None:
    """Three seeds on two devices, in a process of its own, against one device here: the same weights to rounding."""
    script = (
        "import numpy as np\n"
        "from surefoot.training import fit\n"
        "from tests.toy_algorithm import SPEC, ToyAlgorithm, toy_data\n"
        "state = fit(ToyAlgorithm(), toy_data(), spec=SPEC, seeds=(3, 0, 9), log_interval=4, checkpoint_interval=5)\n"
        "import jax\n"
        "assert len(jax.devices()) == 2\n"
        f"np.save({str(tmp_path / 'value.npy')!r}, np.asarray(state.value))\n"
    )
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, cwd=Path(__file__).parents[2])
    state = fit(TOY, toy_data(), spec=SPEC, seeds=SEEDS, log_interval=4, checkpoint_interval=5)
    np.testing.assert_allclose(np.load(tmp_path / "value.npy"), state.value, rtol=1e-5, atol=1e-6)


def first_values_positive() -> list[bool]:
    return (np.asarray(init_states(TOY, SPEC, SEEDS).first_value)[:, 0] > 0).tolist()


def test_a_metric_that_becomes_nan_stops_the_run_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    positive = first_values_positive()
    assert sorted(set(positive)) == [False, True]
    seed = SEEDS[positive.index(True)]
    run, data = start(tmp_path), toy_data(poisoned_update=12)
    # Update number 12, counted from 0, is the 13th: in the chunk of updates 11 to 14. The phase's end saved 10.
    sentence = (
        rf"metric 'policy/loss' of seed {seed} became nan in updates 11 to 14 \(phase 'policy'\); "
        rf"the last good checkpoint is kept in {run.checkpoints_path}/000000010\."
    )
    with pytest.raises(DivergenceError, match=sentence):
        train(run, data=data)
    assert steps(run) == [8, 10]
    assert rows(run)[-1]["step"] == 10
    with pytest.raises(DivergenceError, match=sentence):  # and again when resumed
        train(run, data=data)


def test_a_state_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    """The very last update before a checkpoint spoils the state, and no loss has seen it yet."""
    seed = SEEDS[first_values_positive().index(True)]
    run = start(tmp_path)
    with pytest.raises(DivergenceError, match=rf"the state of seed {seed} is not finite after update 10 .*000000008\."):
        train(run, data=toy_data(poisoned_update=9, poisoned="state"))
    assert steps(run) == [8]


def test_divergence_before_any_checkpoint_says_so() -> None:
    with pytest.raises(DivergenceError, match=r"updates 1 to 4 .*; no checkpoint had been written"):
        train(None, data=toy_data(poisoned_update=0))


def test_weights_that_are_all_zero_stop_the_run() -> None:
    data = toy_data()
    sentence = r"sampling weights of seed 3 in phase 'policy' are of no use; weights: expected at least one above 0"
    with pytest.raises(DivergenceError, match=sentence):
        train(None, data=data._replace(cost=jnp.ones_like(data.cost)))


def test_progress_counts_all_phases_and_estimates_what_is_left(whole: tuple[RunDirectory, Any]) -> None:
    reports: list[Progress] = []
    train(None, on_progress=reports.append)
    assert [(report.phase, report.done) for report in reports] == [
        ("value", 0), ("value", 4), ("value", 8), ("value", 10),
        ("policy", 10), ("policy", 14), ("policy", 18), ("policy", 20),
    ]  # fmt: skip
    assert {report.total for report in reports} == {20}
    for report in reports:
        if report.done in (0,) or (report.phase, report.done) == ("policy", 10):
            assert (report.updates_per_second, report.seconds_remaining, report.metrics) == (None, None, {})
        else:
            assert report.updates_per_second is not None
            assert report.updates_per_second > 0
            assert report.seconds_remaining == pytest.approx((20 - report.done) / report.updates_per_second)
            assert report.metrics[f"{report.phase}/loss"].shape == (3,)


class Recorder:
    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, float]]] = []

    def log(self, step: int, metrics: Any) -> None:
        self.logged.append((step, dict(metrics)))


def test_loggers_receive_every_seed_by_name(whole: tuple[RunDirectory, Any]) -> None:
    recorder = Recorder()
    train(None, loggers=[recorder])
    assert [step for step, _ in recorder.logged] == [4, 8, 10, 14, 18, 20]
    for step, metrics in recorder.logged:
        wanted = {
            f"seed_{row['seed']}/{name}": value
            for row in rows(whole[0]) if row["step"] == step for name, value in row["metrics"].items()
        }  # fmt: skip
        assert metrics == wanted


def interrupt_at(step: int, how: Callable[[], None]) -> Callable[[Progress], None]:
    return lambda progress: how() if progress.done == step and progress.metrics else None


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.parametrize("how", [raise_interrupt, press_ctrl_c, terminate, hang_up])
def test_ctrl_c_writes_a_checkpoint(tmp_path: Path, whole: tuple[RunDirectory, Any], how: Callable[[], None]) -> None:
    run = start(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(run, on_progress=interrupt_at(14, how), checkpoint_interval=1000)
    assert steps(run) == [10, 14]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    assert bits(train(run)) == bits(whole[1])


def test_ctrl_c_at_the_very_end_is_not_swallowed(tmp_path: Path) -> None:
    run = start(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(run, on_progress=interrupt_at(20, press_ctrl_c))
    assert steps(run)[-1] == 20


def test_a_run_of_something_else_is_not_resumed(tmp_path: Path) -> None:
    run = start(tmp_path)
    train(run, stop_at=4)
    with pytest.raises(ConfigError, match=r"config.json: seeds: expected \[3, 0, 9\], found \[3, 0\]"):
        train(run, seeds=(3, 0))
    with pytest.raises(ConfigError, match=r"hyperparameters\.learning_rate: expected 0\.1, found 0\.2"):
        train(run, ToyAlgorithm(learning_rate=0.2))
    run.config_path.unlink()
    start(tmp_path, task="CarRun")
    with pytest.raises(CheckpointError, match=r'000000004: task: expected "CarRun", found "Toy"'):
        train(run)
    run.config_path.unlink()
    start(tmp_path, data_fingerprint="abd")
    with pytest.raises(CheckpointError, match='data_fingerprint: expected "abd", found "abc"'):
        train(run)


def test_a_run_in_use_is_refused(tmp_path: Path) -> None:
    run = start(tmp_path)
    with run.locked(), pytest.raises(ConfigError, match="another process is training"):
        train(run)


def test_tensorboard_continues_where_the_checkpoint_was(tmp_path: Path, whole: tuple[RunDirectory, Any]) -> None:
    run = start(tmp_path)
    train(run, stop_at=8)
    train(run)
    for seed in SEEDS:
        for name in ("value/loss", "policy/loss"):
            events = EventAccumulator(str(run.tensorboard_path(seed))).Reload().Scalars(name)
            wanted = [(r["step"], r["metrics"][name]) for r in rows(run) if r["seed"] == seed and name in r["metrics"]]
            assert [event.step for event in events] == [step for step, _ in wanted]
            np.testing.assert_allclose([event.value for event in events], [value for _, value in wanted], rtol=1e-6)


def test_tensorboard_hides_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    run = start(tmp_path)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(run, checkpoint_interval=1000, on_progress=interrupt_at(18, pull_the_plug))
    assert steps(run) == [10]  # steps 14 and 18 were logged and are lost
    train(run)
    events = EventAccumulator(str(run.tensorboard_path(3))).Reload().Scalars("policy/loss")
    assert [event.step for event in events] == [14, 18, 20]


def test_places_for_metrics_that_fail_are_warnings_and_change_no_number(
    tmp_path: Path, whole: tuple[RunDirectory, Any]
) -> None:
    class Broken:
        def log(self, step: int, metrics: Any) -> None:
            raise ConnectionError("nobody is there")

    run = start(tmp_path)
    (run.path / "tensorboard").write_text("a file where the folder should be")
    with pytest.warns(SurefootWarning) as said:
        state = train(run, loggers=[Broken()])
    assert bits(state) == bits(whole[1])
    assert rows(run) == rows(whole[0])
    assert [str(one.message).split(":")[0] for one in said] == [f"TensorBoard ({run.path}/tensorboard)", "Broken"]
    assert str(said[1].message) == (
        "Broken: metrics cannot be written there (ConnectionError: nobody is there); training goes on without it."
    )


def test_a_full_disk_under_tensorboard_ends_no_training(
    tmp_path: Path, whole: tuple[RunDirectory, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoard, "write", full)
    run = start(tmp_path)
    with pytest.warns(SurefootWarning, match=r"No space left on device\); training goes on without it") as said:
        state = train(run)
    assert len(said) == 1
    assert bits(state) == bits(whole[1])


def test_a_batch_that_does_not_fit_is_named_with_what_to_lower() -> None:
    # Numbers of 4 bytes, a billion in a column: more than any machine that runs this has.
    with pytest.raises(DeviceMemoryError) as found:
        train(None, ToyAlgorithm(batch_sizes=(2**31 - 1, 8)), seeds=(3,))
    assert str(found.value) == (
        "out of memory: training 1 seed on batches of 2147483647 (phase 'value') does not fit; lower the batch size or "
        "the networks' width, train fewer seeds at once, or leave data in their file."
    )


def pull_the_plug() -> None:
    raise RuntimeError("pulled the plug")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seeds": ()}, r"seeds: expected different whole numbers .*found \[\]"),
        ({"seeds": (1, 1)}, r"found \[1, 1\]"),
        ({"seeds": (-1,)}, r"found \[-1\]"),
        ({"log_interval": 0}, "log_interval: expected at least 1, found 0"),
        ({"checkpoint_interval": -3}, "checkpoint_interval: expected at least 1, found -3"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        train(None, **options)


def test_data_of_another_shape_are_refused() -> None:
    data = toy_data()
    for wrong, sentence in [
        (data._replace(action=data.observation), r"data: action: expected float32\[64, 2\].*found float32\[64, 3\]"),
        (data._replace(cost=data.cost[:9]), r"data: cost: expected float32\[64\].*found float32\[9\]"),
        (data._replace(cost=cast(Any, np.zeros(64))), r"data: cost: expected float32\[64\].*found float64\[64\]"),
        (toy_data(0), r"data: observation: expected float32\[0, 3\] of at least one row"),
    ]:
        with pytest.raises(DataError, match=sentence):
            train(None, data=wrong)


def test_a_phase_without_updates_is_left_out() -> None:
    state = train(None, ToyAlgorithm(sizes=ToySizes(0, 3)))
    assert np.asarray(state.updates).tolist() == [3, 3, 3]
    np.testing.assert_array_equal(state.value, state.first_value)
