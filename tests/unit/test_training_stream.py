"""Training on data that stay in their file: as in memory, however a chunk is cut, and to the bit when resumed."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import BINARY_TASK, make_dataset
from tests.toy_algorithm import SPEC, ToyAlgorithm

from surefoot.data import TransitionStream, load, save, to_transitions
from surefoot.errors import DataError, DivergenceError
from surefoot.training import Progress, RunDirectory, feed, fit, make_config
from surefoot.types import DataSpec

SEEDS = (3, 0, 9)
TOY = ToyAlgorithm()
PREPARE = partial(to_transitions, reward_scale=1.0, violation_scale=-1.0)
"""Rewards as they are, and h = -1 in every row: an update of that number, which would be poisoned, never comes."""
ROW_BYTES = 4 * (3 + 2 + 1 + 1 + 3 + 6)
"""observation, action, reward, cost, next_observation, and six single numbers."""


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> TransitionStream:
    path = tmp_path_factory.mktemp("data") / "data.hdf5"
    save(path, make_dataset(BINARY_TASK, lengths=(40,) * 50))
    return TransitionStream(load(path, BINARY_TASK, mapped=True), PREPARE)


def train(data: Any, run: RunDirectory | None = None, **options: Any) -> Any:
    return fit(TOY, data, spec=SPEC, seeds=SEEDS, log_interval=4, checkpoint_interval=5, run=run, **options)


def bits(state: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))]


def start(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    config = make_config(
        TOY, name="toy", task="Toy", spec=SPEC, seeds=SEEDS, data_path="toy.hdf5", data_fingerprint="abc",
        log_interval=4, checkpoint_interval=5,
    )  # fmt: skip
    run.start(config, resume=True)
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, stream: TransitionStream) -> tuple[RunDirectory, Any]:
    run = start(tmp_path_factory.mktemp("whole"))
    return run, train(stream, run)


def test_streaming_learns_what_training_in_memory_does(whole: tuple[RunDirectory, Any]) -> None:
    """Both phases, the second drawn by weight: the same rows in the same order."""
    in_memory = train(PREPARE(make_dataset(BINARY_TASK, lengths=(40,) * 50)))
    for name, values in whole[1]._asdict().items():
        if name != "key":
            np.testing.assert_allclose(getattr(in_memory, name), values, rtol=1e-5, atol=1e-6, err_msg=name)


# A batch of 8 for three seeds: 3 x 8 rows an update.
@pytest.mark.parametrize("updates_at_once", [1, 3])
def test_a_resumed_run_ends_with_the_same_bits_however_its_chunks_are_cut(
    updates_at_once: int, stream: TransitionStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PIECE_BYTES", updates_at_once * 3 * 8 * ROW_BYTES)
    unbroken = start(tmp_path / "unbroken")
    expected = bits(train(stream, unbroken))
    run = start(tmp_path / "stopped")
    for stop in (4, 14):
        train(stream, run, stop_at=stop)
    assert bits(train(stream, run)) == expected
    assert run.metrics_path.read_bytes() == unbroken.metrics_path.read_bytes()


def test_pieces_change_neither_the_weights_learnt_nor_the_means_logged(
    whole: tuple[RunDirectory, Any], stream: TransitionStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PIECE_BYTES", 3 * 3 * 8 * ROW_BYTES)  # chunks of 4 as 1 + 3 or 2 + 2
    seen: dict[int, Any] = {}
    state = train(stream, on_progress=lambda progress: seen.update({progress.done: progress.metrics}))
    for one, other in zip(
        jax.tree.leaves(state._replace(key=None)), jax.tree.leaves(whole[1]._replace(key=None)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    rows = [line for line in whole[0].metrics_path.read_text().splitlines() if '"step": 14' in line]
    for row, value in zip(rows, seen[14]["policy/loss"], strict=True):
        assert f'"policy/loss": {value:.4f}'[:20] in row


def test_weights_are_asked_for_in_blocks_that_hold_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "STRETCH_ROWS", 10)
    monkeypatch.setattr(feed, "WEIGHT_STRETCHES", 3)
    blocks = list(feed._scattered_blocks(95))
    assert [len(block) for block in blocks] in ([30, 30, 30, 5], [30, 30, 25, 10], [30, 25, 30, 10], [25, 30, 30, 10])
    assert sorted(np.concatenate(blocks).tolist()) == list(range(95))
    assert [len(block) for block in feed._scattered_blocks(30)] == [30]


def test_blocks_give_the_weights_of_all_rows_together(
    whole: tuple[RunDirectory, Any], stream: TransitionStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "STRETCH_ROWS", 100)
    monkeypatch.setattr(feed, "WEIGHT_STRETCHES", 4)  # 2,010 rows: five blocks of 400 and one of 10
    reports: list[Progress] = []
    state = train(stream, on_progress=reports.append)
    for one, other in zip(
        jax.tree.leaves(state._replace(key=None)), jax.tree.leaves(whole[1]._replace(key=None)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    told = [(report.done, report.total) for report in reports if report.unit == "rows"]
    assert len(told) == 6
    assert told[0][1] == told[-1][0] == told[-1][1] == 2010
    assert {report.phase for report in reports if report.unit == "rows"} == {"policy, weights"}


def test_weights_that_are_all_zero_stop_the_run(stream: TransitionStream) -> None:
    costly = TransitionStream(stream._dataset, lambda part: PREPARE(part)._replace(cost=np.ones(len(part), np.float32)))
    with pytest.raises(DivergenceError, match="sampling weights of seed 3 in phase 'policy' are of no use"):
        train(costly)


def test_a_stream_of_another_shape_is_refused(stream: TransitionStream) -> None:
    with pytest.raises(DataError, match=r"data: observation: expected float32\[1, 4\]"):
        fit(TOY, stream, spec=DataSpec(4, 2, 10), seeds=SEEDS, log_interval=4, checkpoint_interval=5)
