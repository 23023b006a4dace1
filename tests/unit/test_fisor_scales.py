"""FISOR's scales: what is measured on the data, that units do not matter with them, and that resuming is exact."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms.fisor import FISOR, FISORState
from surefoot.algorithms.fisor.acting import estimate
from surefoot.algorithms.fisor.groups import ScalingConfig
from surefoot.algorithms.fisor.scales import (
    Scales,
    constraint_scale,
    margin_of,
    observation_scale,
    region_quantiles,
    scaled_batch,
    standardized,
)
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.errors import ConfigError, FieldError
from surefoot.hyperparameters import change
from surefoot.nn import DenoiserConfig
from surefoot.training import RunDirectory, feed, fit, from_hyperparameters, hyperparameters, make_config
from surefoot.types import UNKNOWN_AHEAD, DataSpec, PolicyInputs, Transition

SPEC = DataSpec(observation_dim=2, action_dim=1, horizon=10)
DIFFUSION = DiffusionPolicyConfig(DenoiserConfig(width=8, blocks=1, expansion=1, frequencies=2, time_width=4))
ALL = ScalingConfig(observations=True, constraint=True, reward=True, weight_quantile=0.9, margin_quantile=0.5)
TINY = change(
    FISOR(),
    constraint_updates=3, reward_updates=2, policy_updates=3, value_batch_size=8, policy_batch_size=8,
    value_hidden=(4,), num_candidates=2, diffusion=DIFFUSION, scaling=ALL, extraction="feasible_first",
)  # fmt: skip


def make_data(rows: int = 40) -> Transition:
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {name: np.zeros(rows, np.float32) for name in Transition._fields}
    columns |= {name: random.normal(size=(rows, 2)).astype(np.float32) for name in ("observation", "next_observation")}
    columns["reward"] = random.normal(size=rows).astype(np.float32)
    columns["action"] = random.uniform(-1, 1, (rows, 1)).astype(np.float32)
    for name in ("constraint", "constraint_before", "constraint_ahead"):
        columns[name] = random.normal(-0.5, 1.0, rows).astype(np.float32)
    columns["episode_violations"] = (np.arange(rows) >= rows // 2).astype(np.float32)
    return Transition(**columns)


def test_columns_are_standardized_and_clipped_beyond_the_data() -> None:
    """0, 2, 4: mean 2, deviation sqrt(8 / 3), range 4; clipped at -2 and 6. A constant column says nothing."""
    scale = observation_scale(jnp.array([[0.0, 1e6], [2.0, 1e6], [4.0, 1e6]]))
    seen = standardized(
        Scales(scale, None, None, None, None), jnp.array([[2.0, 1e6], [4.0, 7.0], [6.0, 1e37], [1e37, -1e37]])
    )
    deviation = np.sqrt(8 / 3)
    np.testing.assert_allclose(seen, [[0, 0], [2 / deviation, 0], [4 / deviation, 0], [4 / deviation, 0]], rtol=1e-6)
    again = standardized(Scales(scale, None, None, None, None), jnp.array([[-1e37, 0.0]]))
    np.testing.assert_allclose(again, [[-4 / deviation, 0]], rtol=1e-6)


def test_a_column_far_from_0_keeps_its_digits() -> None:
    """1,000,000 + (0, 1, 2), where float32 has steps of 1/16."""
    scale = observation_scale(1e6 + jnp.arange(3.0)[:, None])
    seen = standardized(Scales(scale, None, None, None, None), 1e6 + jnp.arange(3.0)[:, None])
    np.testing.assert_allclose(seen[:, 0], np.array([-1, 0, 1]) / np.sqrt(2 / 3), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("h", "scale"), [([-4.0, -2.0, 1.0], 2.0), ([-1.0, -1.0, 1.0], 1.0), ([0.0, 0.0, 3.0], 1.0), ([0.0, 0.0], 1.0)]
)
def test_the_scale_of_h_is_its_usual_size(h: list[float], scale: float) -> None:
    assert float(constraint_scale(jnp.array(h))) == scale


def test_h_is_divided_by_its_scale_and_what_is_unknown_stays_so() -> None:
    batch = make_data(2)._replace(constraint_ahead=jnp.array([4.0, UNKNOWN_AHEAD], jnp.float32))
    scaled = scaled_batch(Scales(None, jnp.asarray(2.0), jnp.asarray(4.0), None, None), batch)
    np.testing.assert_allclose(scaled.constraint, batch.constraint / 2)
    np.testing.assert_allclose(scaled.reward, batch.reward / 4)
    np.testing.assert_array_equal(scaled.constraint_ahead, np.array([2.0, UNKNOWN_AHEAD], np.float32))
    np.testing.assert_array_equal(scaled.observation, batch.observation)


def test_a_share_of_the_safe_states_keeps_the_margin() -> None:
    """Of the safe rows' V_h -4, -3, -2, -1 the share 0.75 is at most -2."""
    data = make_data(6)._replace(episode_violations=jnp.array([0, 0, 0, 0, 1, 2], jnp.float32))
    safe, _ = region_quantiles(jnp.array([-1.0, -4.0, -2.0, -3.0, 9.0, -9.0]), data, cost_limit=0.0)
    assert [float(margin_of(safe, share=share, least=0.5)) for share in (0.75, 0.25, 1.0)] == [2.0, 4.0, 1.0]
    assert float(margin_of(safe, share=1.0, least=1.5)) == 1.5
    assert margin_of(None, share=0.0, least=0.3) == 0.3
    with pytest.raises(ConfigError, match=r"quantile: expected 0 .* found 0.5"):
        margin_of(None, share=0.5, least=0.0)


def test_calm_states_of_episodes_within_the_cost_limit_are_allowed() -> None:
    """Of costs 0, 1, 1, 2 and a limit of 1 the first three rows are, without the one that a violation leaves."""
    data = make_data(4)._replace(
        episode_violations=jnp.array([0, 2, 2, 4], jnp.float32),
        episode_cost=jnp.array([0, 1, 1, 2], jnp.float32),
        constraint=-jnp.ones(4),
        constraint_before=jnp.array([-1, -1, 1, -1], jnp.float32),
    )
    v_h = jnp.array([-4.0, 0.5, 3.0, 9.0])
    for limit, highest in ((1.0, 0.5), (2.0, 9.0), (0.0, -4.0)):
        assert float(region_quantiles(v_h, data, cost_limit=limit)[1][-1]) == highest


def test_candidates_are_held_to_the_allowed_episodes(trained: FISORState) -> None:
    over_allowed = change(TINY, cost_limit=1.0, margin_over="allowed")
    data = make_data()._replace(episode_cost=np.linspace(0, 3, 40, dtype=np.float32))
    one = jax.tree.map(lambda leaf: leaf[0], train(over_allowed, data))
    v_h = np.asarray(estimate(one, jnp.asarray(data.observation), jnp.asarray(data.action), TINY).v_h)
    calm = np.maximum(data.constraint, data.constraint_before) <= 0
    rows = ((data.episode_violations == 0) | (data.episode_cost <= 1)) & calm
    assert rows.sum() not in (0, 20)
    middle = np.sort(v_h[rows])[-(-rows.sum() // 2) - 1]
    np.testing.assert_allclose(over_allowed.feasible_margin(one), -middle * one.scales.constraint, rtol=1e-5)
    assert trained.scales is not None
    assert trained.scales.allowed_quantiles is None


def test_without_safe_episodes_the_calm_states_of_the_best_count() -> None:
    data = make_data(4)._replace(
        episode_violations=jnp.array([1, 1, 3, 4], jnp.float32),
        episode_cost=jnp.array([1, 1, 3, 4], jnp.float32),
        constraint=jnp.array([-1, 1, -1, -1], jnp.float32),
    )
    for quantiles in region_quantiles(jnp.array([-1.0, -2.0, -5.0, -6.0]), data, cost_limit=0.0):
        assert [float(margin_of(quantiles, share=share, least=0.0)) for share in (0.01, 1.0)] == [1.0, 1.0]


# --- training ---


def train(algorithm: FISOR, data: Any, run: RunDirectory | None = None, **options: Any) -> FISORState:
    return fit(algorithm, data, spec=SPEC, seeds=(0, 1), log_interval=3, checkpoint_interval=3, run=run, **options)


def start(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    config = make_config(
        TINY, name="fisor", task="T", spec=SPEC, seeds=(0, 1), data_path="d", data_fingerprint="f", log_interval=3,
        checkpoint_interval=3,
    )  # fmt: skip
    run.start(config, resume=True)
    return run


def bits(state: FISORState) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


@pytest.fixture(scope="module")
def trained() -> FISORState:
    return train(TINY, make_data())


def test_training_keeps_what_was_measured(trained: FISORState) -> None:
    data, scales = make_data(), trained.scales
    assert scales is not None
    assert scales.observation is not None
    assert scales.constraint is not None
    assert scales.safe_quantiles is not None
    np.testing.assert_allclose(scales.observation.mean[0], data.observation.mean(0), rtol=1e-5)
    np.testing.assert_allclose(scales.constraint, np.full(2, np.median(np.abs(data.constraint))), rtol=1e-6)
    one = jax.tree.map(lambda leaf: leaf[1], trained)
    v_h = np.asarray(estimate(one, jnp.asarray(data.observation), jnp.asarray(data.action), TINY).v_h)[:20]
    np.testing.assert_allclose(scales.safe_quantiles[1, [50, 100]], [np.sort(v_h)[9], v_h.max()], rtol=1e-5)


@pytest.mark.parametrize("stop", [3, 5, 6])  # after the first phase, before the last, within it
def test_a_resumed_run_ends_with_the_same_bits(trained: FISORState, tmp_path: Path, stop: int) -> None:
    run = start(tmp_path)
    train(TINY, make_data(), run, stop_at=stop)
    assert bits(train(TINY, make_data(), run)) == bits(trained)


def test_units_of_data_do_not_matter(trained: FISORState) -> None:
    """h times 2^-7, a column times 2^10 and rewards times 8, which rounds nothing, train the same networks and act
    alike."""
    data, unit = make_data(), np.array([[1024.0, 1.0]], np.float32)
    signals = {name: getattr(data, name) / 128 for name in ("constraint", "constraint_before", "constraint_ahead")}
    signals["reward"] = data.reward * 8
    other = data._replace(observation=data.observation * unit, next_observation=data.next_observation * unit, **signals)
    state = train(TINY, other)
    for name in ("reward", "constraint", "policy"):
        assert bits(getattr(state, name)) == bits(getattr(trained, name)), name
    one, two = (jax.tree.map(lambda leaf: leaf[0], each) for each in (trained, state))
    observation = jnp.asarray(data.observation[:5])
    np.testing.assert_allclose(
        TINY.feasible_value(two, observation * unit) * 128, TINY.feasible_value(one, observation), rtol=1e-5
    )
    act = lambda state, seen: TINY.policy(state).act(None, PolicyInputs(seen), jax.random.key(0))[1]  # noqa: E731
    np.testing.assert_array_equal(act(two, observation * unit), act(one, observation))


def test_large_data_are_sampled_alike_in_memory_and_in_their_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SAMPLE_ROWS", 10)
    data = make_data()

    class InFile:
        num_rows = 40

        def take(self, rows: np.ndarray) -> Transition:
            return Transition(*(jnp.asarray(values)[rows] for values in data))

    def sample(kind: Any, source: Any) -> Transition:
        return kind(TINY, source, seeds=(0,), mesh=jax.make_mesh((1,), ("seed",))).sample()

    one, other = sample(feed.ResidentFeed, data), sample(feed.StreamedFeed, InFile())
    assert one.reward.shape == (10,)
    np.testing.assert_array_equal(one.observation, other.observation)


def test_configurations_from_before_load_as_they_were() -> None:
    plain = change(TINY, scaling=ScalingConfig())
    old = {name: value for name, value in hyperparameters(plain).items() if name != "scaling"}
    assert from_hyperparameters(FISOR, old, source="config.json") == plain
    with pytest.raises(ConfigError, match=r"scaling.margin_quantile: expected 0 in joint training, .* found 0.5"):
        change(TINY, schedule="joint", scaling=ScalingConfig(margin_quantile=0.5))


def test_all_that_does_not_go_together_is_named_at_once() -> None:
    """Before, each fault came when the one before it was mended."""
    scaling = ScalingConfig(weight_quantile=0.9)
    with pytest.raises(FieldError) as refused:
        change(TINY, schedule="joint", value_targets="returns", recovery="cost", scaling=scaling)
    assert [fault.name for fault in refused.value.faults] == ["scaling.weight_quantile", "value_targets", "recovery"]
