"""FISOR's values from returns along logged trajectories: their arithmetic, windows, weights, and what acts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms.fisor import FISOR
from surefoot.algorithms.fisor.acting import choose_candidate
from surefoot.algorithms.fisor.groups import ReturnsConfig
from surefoot.algorithms.fisor.returns import (
    STRETCH,
    Signals,
    Triple,
    return_weights,
    returns_along,
    signals_of,
    step_recovery,
)
from surefoot.data import TransitionStream
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change
from surefoot.nn import DenoiserConfig
from surefoot.training import RunDirectory, feed, fit, make_config
from surefoot.types import DataSpec, Phase, Transition

SPEC = DataSpec(observation_dim=2, action_dim=1, horizon=10)
DIFFUSION = DiffusionPolicyConfig(DenoiserConfig(width=8, blocks=1, expansion=1, frequencies=2, time_width=4))
TINY = change(
    FISOR(),
    value_targets="returns", value_updates=5, critic_updates=3, policy_updates=2, value_batch_size=8,
    policy_batch_size=8, returns=ReturnsConfig(refresh_interval=2), value_hidden=(4,), num_candidates=2,
    diffusion=DIFFUSION, recovery="cost", advantage="return",
)  # fmt: skip


def make_data(rows: int = 40, **columns: Any) -> Transition:
    random = np.random.default_rng(0)
    found: dict[str, Any] = {name: np.zeros(rows, np.float32) for name in Transition._fields}
    found |= {name: random.normal(size=(rows, 2)).astype(np.float32) for name in ("observation", "next_observation")}
    found["action"] = random.uniform(-1, 1, (rows, 1)).astype(np.float32)
    found["constraint"] = found["constraint_before"] = random.normal(-0.5, 1.0, rows).astype(np.float32)
    found |= {name: np.asarray(values, np.float32) for name, values in columns.items()}
    return Transition(**found)


def returns(h: list[float], **flags: Any) -> Triple:
    """One line; V is 10 h-units, 100 violations and 1,000 rewards everywhere, lambda 0.5, discounts 0.5 and 0.8."""
    line = lambda values: jnp.asarray([values])  # noqa: E731
    no = [False] * len(h)
    signals = Signals(
        line(h), line([float(value > 0) for value in h]), line([1.0] * len(h)),
        line(flags.get("final", no)), line(flags.get("cut", [*no[1:], True])),
    )  # fmt: skip
    ones = jnp.ones((1, len(h)))
    found = returns_along(
        signals, Triple(10 * ones, 100 * ones, 1000 * ones), mixing=0.5, discount=0.5, reachability_discount=0.8
    )
    return jax.tree.map(lambda values: np.asarray(values)[0], found)


def test_returns_mix_what_follows_with_its_value() -> None:
    """Last: 0.2 * 2 + 0.8 * 10 = 8.4, 1 + 0.5 * 100 = 51, 1 + 0.5 * 1000 = 501. Before: the mean of that and V.
    -1: 0.2 * -1 + 0.8 * (10 + 8.4) / 2 = 7.16; 0 + 0.5 * 75.5 = 37.75; 1 + 0.5 * 750.5 = 376.25."""
    found = returns([-1.0, 2.0])
    np.testing.assert_allclose(found.h, [7.16, 8.4], rtol=1e-6)
    np.testing.assert_allclose(found.cost, [37.75, 51.0], rtol=1e-6)
    np.testing.assert_allclose(found.reward, [376.25, 501.0], rtol=1e-6)


def test_nothing_follows_the_final_step_and_only_a_value_a_cut() -> None:
    final = returns([-1.0, 2.0], final=[False, True])
    assert (final.h[1], final.cost[1], final.reward[1]) == (2.0, 1.0, 1.0)
    cut = returns([-1.0, 2.0], cut=[True, True])
    np.testing.assert_allclose([cut.h[0], cut.cost[0], cut.reward[0]], [7.8, 50.0, 501.0], rtol=1e-6)


def test_rows_of_several_episodes_lie_side_by_side() -> None:
    """Six rows in lines of four: an end within a line, the last row and each line's end cut what follows."""
    rows = make_data(
        6, terminated=[0, 1, 0, 0, 0, 0], truncated=[0, 0, 0, 0, 1, 0], constraint=[-2, -1, 1, 2, -3, -4],
        constraint_before=[-2, -2, -1, 1, 2, -3],
    )  # fmt: skip
    found = signals_of(jax.tree.map(jnp.asarray, rows), 4, config=TINY)
    np.testing.assert_array_equal(found.h, [[-2, -1, 1, 2], [2, -3, 0, 0]])
    np.testing.assert_array_equal(found.violating, [[0, 0, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(found.final[0], [False, True, False, False])
    np.testing.assert_array_equal(found.cut, [[False, True, False, True], [True, True, False, True]])
    logged = change(TINY, count_state_left=False, timeouts_terminal=True)
    as_logged = signals_of(jax.tree.map(jnp.asarray, rows), 4, config=logged)
    np.testing.assert_array_equal(as_logged.h[1, :2], [-3, -4])
    assert bool(as_logged.final[1, 0])


def test_weights_by_the_ways_own_advantage() -> None:
    """Inside rows 0 to 2, of which 2 leaves; outside rows 3 and 4. Advantages inside -1, 1: mean 0, spread 1. Outside
    V_c - G_c = 2, -2: spread 2."""
    values = Triple(jnp.array([-2.0, -2, -2, 0, 0]), jnp.zeros(5), jnp.zeros(5))
    found = Triple(jnp.array([-2.0, -2, 0, 0, 0]), jnp.array([0.0, 0, 0, -2, 2]), jnp.array([-1.0, 1, 9, 0, 0]))
    options: dict[str, Any] = {"margin": 1.0, "reward_temperature": 2.0, "constraint_temperature": 1.0}
    weights = return_weights(found, values, weighting="feasibility", **options, largest=5.0, by_cost=True)
    np.testing.assert_allclose(weights, [np.exp(-2), 5.0, 0.0, np.exp(1), np.exp(-1)], rtol=1e-5)
    imitated = return_weights(found, values, weighting="imitation", **options, largest=5.0, by_cost=True)
    np.testing.assert_allclose(imitated, [2.0, 2.0, 0.0, np.exp(1), 0.0], rtol=1e-5)


def test_imitation_reads_no_rewards() -> None:
    """The weights are the same whatever the data's rewards are, where reward values are learned and where not."""
    data = jax.tree.map(jnp.asarray, make_data(12, reward=np.arange(12)))
    state = TINY.init(SPEC, jax.random.key(0))
    for algorithm in (change(TINY, weighting="imitation"), change(TINY, weighting="imitation", reward_values=False)):
        weights = [
            algorithm.sample_weights(state, data._replace(reward=scale * data.reward), phase="policy")
            for scale in (1.0, -7.0)
        ]
        np.testing.assert_array_equal(weights[0], weights[1])


def test_the_smallest_q_c_acts_where_no_candidate_is_feasible() -> None:
    q_r, q_h = jnp.array([[1.0, 2.0, 3.0]] * 2), jnp.array([[-1.0, -1.0, 0.0], [0.1, 0.2, 0.3]])
    q_c = jnp.array([[3.0, 2.0, 1.0]] * 2)
    for extraction, chosen in (("feasible_first", [1, 2]), ("first_feasible", [0, 2])):
        assert choose_candidate(q_r, q_h, q_c, extraction=extraction, margin=0.5).tolist() == chosen  # pyright: ignore[reportArgumentType]


# --- training ---


def test_phases_and_what_does_not_go_together() -> None:
    assert TINY.phases == (Phase("values", 5, 8), Phase("critics", 3, 8), Phase("policy", 2, 8))
    backups = change(TINY, value_targets="backup", constraint_updates=3, reward_updates=5)
    assert [phase.name for phase in backups.phases] == ["constraint", "recovery", "reward", "policy"]
    with pytest.raises(ConfigError, match=r"value_targets: expected backup in joint training, found returns"):
        change(TINY, schedule="joint", value_batch_size=8)
    with pytest.raises(
        ConfigError, match=r"value_targets: expected backup with critics of costs \(qc\), found returns"
    ):
        change(TINY, critic="qc")


def test_recovery_by_backups_counts_violating_steps_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """V_c = 4 of what follows, discount 0.5: 0 + 2, 1 + 2, and 1 of a final step; a V_c below 0 counts as 0."""
    seen: list[Any] = []

    def spy(pair: Any, inputs: Any, target: Any, **_: Any) -> Any:
        seen.append(np.asarray(target))
        return pair, {}

    for name in ("step_value", "step_critic"):
        monkeypatch.setattr(f"surefoot.algorithms.fisor.returns.{name}", spy)
    algorithm = change(TINY, value_targets="backup", discount=0.5)
    rows = jax.tree.map(jnp.asarray, make_data(3, constraint=[-1, 2, 3], terminated=[0, 0, 1]))
    value = 4.0
    pair: Any = SimpleNamespace(value=lambda states: jnp.full((1, len(states)), value))
    step_recovery(pair, rows, rows.action, jnp.zeros(3), config=algorithm)
    value = -4.0
    step_recovery(pair, rows, rows.action, jnp.zeros(3), config=algorithm)
    assert [target.tolist() for target in seen[1::2]] == [[2, 3, 1], [0, 1, 1]]


class InFile(TransitionStream):
    """Rows in memory, as if they lay in a file."""

    def __init__(self, data: Transition) -> None:
        self._rows = data

    @property
    def num_rows(self) -> int:
        return self._rows.num_rows

    def take(self, rows: np.ndarray) -> Transition:
        return self._rows.take(rows)


def train(data: Any, run: RunDirectory | None = None, **options: Any) -> Any:
    return fit(TINY, data, spec=SPEC, seeds=(0, 1), log_interval=3, checkpoint_interval=3, run=run, **options)


def bits(state: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


DATA = make_data(truncated=np.arange(40) % 20 == 19, reward=np.ones(40))


@pytest.fixture(scope="module")
def trained() -> Any:
    return train(DATA)


def test_labels_are_returns_from_the_values_as_they_were_frozen(trained: Any) -> None:
    """Before the first update from h = -1, no violation and the mean reward for ever: all of one size then."""
    one = jax.tree.map(lambda leaf: leaf[0], trained)
    data = jax.tree.map(jnp.asarray, DATA)
    found = TINY.labels(one, data, phase="critics")
    moved = TINY.refreeze(one._replace(constraint=one.constraint._replace(updates=jnp.asarray(0))), phase="values")
    first = TINY.labels(moved, data, phase="values")
    calm = DATA.constraint[39] <= 0
    assert float(first.h[39]) == pytest.approx(
        0.01 * DATA.constraint[39] - 0.99 if calm else DATA.constraint[39], abs=0.1
    )
    np.testing.assert_allclose(first.reward, np.full(40, 100.0), rtol=1e-4)
    assert not np.allclose(first.h, found.h)
    assert [int(pair.updates[1]) for pair in (trained.constraint, trained.recovery, trained.reward)] == [8, 8, 8]


@pytest.mark.parametrize("stop", [3, 5, 9])  # within an interval, between phases, in the policy's
def test_a_resumed_run_ends_with_the_same_bits(trained: Any, tmp_path: Path, stop: int) -> None:
    run = RunDirectory(tmp_path)
    config = make_config(
        TINY, name="fisor", task="T", spec=SPEC, seeds=(0, 1), data_path="d", data_fingerprint="f", log_interval=3,
        checkpoint_interval=3,
    )  # fmt: skip
    run.start(config, resume=True)
    train(DATA, run, stop_at=stop)
    assert bits(train(DATA, run)) == bits(trained)


def test_data_in_a_file_are_learned_from_alike(trained: Any) -> None:
    for leaf, streamed in zip(jax.tree.leaves(trained), jax.tree.leaves(train(InFile(DATA))), strict=True):
        np.testing.assert_allclose(leaf, streamed, rtol=1e-4, atol=1e-5)


def test_weights_are_computed_on_the_stretches_that_a_file_is_read_in() -> None:
    assert feed.STRETCH_ROWS % STRETCH == 0
