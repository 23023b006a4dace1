"""FISOR: phases, the constraint signal, masks, limits, weights over the data. Values are set by hand where it helps."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms.fisor import FISOR, FISORState
from surefoot.algorithms.fisor.acting import estimate
from surefoot.data import Dataset
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change
from surefoot.nn import DenoiserConfig
from surefoot.protocols import ActsFeasibly
from surefoot.tasks import get_task
from surefoot.types import UNKNOWN_AHEAD, DataSpec, Phase, Transition

SPEC = DataSpec(observation_dim=3, action_dim=2, horizon=10)
DIFFUSION = DiffusionPolicyConfig(DenoiserConfig(width=8, blocks=1, expansion=1, frequencies=2, time_width=4))
TINY = change(
    FISOR(),
    constraint_updates=10, reward_updates=20, policy_updates=30, joint_updates=40, value_batch_size=4,
    policy_batch_size=8, value_hidden=(4,), num_candidates=2, diffusion=DIFFUSION,
)  # fmt: skip


@pytest.fixture(scope="module")
def state() -> FISORState:
    return jax.jit(lambda key: TINY.init(SPEC, key))(jax.random.key(0))


def rows(count: int = 6, **columns: Any) -> Transition:
    """Transitions of zeros but for the given columns."""
    zeros = jnp.zeros(count)
    defaults: dict[str, Any] = dict.fromkeys(Transition._fields, zeros)
    wide = jnp.zeros((count, SPEC.observation_dim))
    defaults |= {"observation": wide, "next_observation": wide, "action": jnp.zeros((count, SPEC.action_dim))}
    return Transition(**(defaults | {name: jnp.asarray(value) for name, value in columns.items()}))


def constant(network: Any, value: float) -> Any:
    """A value network that says `value` everywhere: all zero but the last bias."""
    network = jax.tree.map(jnp.zeros_like, network)
    last = network.layers[-1]
    return replace(network, layers=(*network.layers[:-1], replace(last, bias=last.bias + value)))


def with_values(state: FISORState, *, v_h: float, q_h: float, v_r: float = 0.0, q_r: float = 0.0) -> FISORState:
    constraint, reward = state.constraint, state.reward
    return state._replace(
        constraint=constraint._replace(
            value=constant(constraint.value, v_h), critic_target=constant(constraint.critic_target, q_h)
        ),
        reward=reward._replace(value=constant(reward.value, v_r), critic_target=constant(reward.critic_target, q_r)),
    )


def critic_targets(algorithm: FISOR, state: FISORState, batch: Transition, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a constraint update regresses its critics on."""
    return targets(algorithm, state, batch, monkeypatch)[1]


def value_targets(algorithm: FISOR, state: FISORState, batch: Transition, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a constraint update regresses its value on."""
    return targets(algorithm, state, batch, monkeypatch)[0]


def targets(algorithm: FISOR, state: FISORState, batch: Transition, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Those of the value and of the critics, which a constraint update regresses in this order."""
    seen = []

    def spy(pair: Any, inputs: Any, target: Any, **_: Any) -> Any:
        seen.append(np.asarray(target))
        return pair, {}

    for name in ("step_value", "step_critic"):
        monkeypatch.setattr(f"surefoot.algorithms.fisor.agent.{name}", spy)
    algorithm.update(state, batch, jax.random.key(0), phase="constraint")
    return seen


# --- phases and configuration ---


def test_phases() -> None:
    assert TINY.phases == (Phase("constraint", 10, 4), Phase("reward", 20, 4), Phase("policy", 30, 8))
    assert change(TINY, reward_updates=0).phases == (Phase("constraint", 10, 4), Phase("policy", 30, 8))
    assert change(TINY, schedule="joint").phases == (Phase("joint", 40, 16),)  # two policy steps on 8 rows each


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"discount": 1.0}, r"^discount: expected a number in \[0, 1\), found 1"),
        ({"constraint_discount": -0.1}, r"^constraint_discount: expected a number in \[0, 1\), found -0.1"),
        ({"constraint_discount_start": 1.5}, "constraint_discount_start: expected .* found 1.5"),
        ({"expectile": 0.4}, r"^expectile: expected a number in \[0.5, 1\), found 0.4"),
        ({"constraint_expectile": 1.0}, "constraint_expectile: expected .* found 1"),
        ({"num_candidates": 0}, "num_candidates: expected at least 1, found 0"),
        ({"ensemble": 0}, "ensemble: expected at least 1, found 0"),
        (
            {"backup_quantile": 0.9, "trajectory_bound": True},
            "backup_quantile: expected 0 with trajectory_bound",
        ),
        ({"backup_quantile": 0.9, "critic": "qc"}, "backup_quantile: expected 0 with critic = qc, found 0.9"),
        ({"schedule": "joint", "value_batch_size": 17}, r"at most policy_steps \* policy_batch_size = 16 .* found 17"),
    ],
)
def test_values_that_cannot_be(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        change(TINY, **changes)


def test_the_discount_anneals_from_its_start_to_its_end() -> None:
    """1 - g: 0.1, then geometrically to 0.001 over 10 updates; half-way 0.01."""
    algorithm = change(TINY, constraint_discount_start=0.9, constraint_discount=0.999)

    def at(update: int, algorithm: FISOR = algorithm) -> float:
        return float(algorithm.annealed_discount(jnp.asarray(update)))

    np.testing.assert_allclose([at(0), at(5), at(10), at(99)], [0.9, 0.99, 0.999, 0.999], rtol=1e-5)
    assert at(0, change(algorithm, schedule="joint")) == 0.999
    assert at(0, TINY) == 0.99


# --- data ---


def dataset(**changes: Any) -> Dataset:
    """Two steps that end in a timeout; the second costs."""
    columns: dict[str, Any] = {
        "task": "PointRobot",
        "observations": np.zeros((2, 11), np.float32),
        "actions": np.ones((2, 2), np.float32),
        "rewards": np.array([1.0, 2.0], np.float32),
        "costs": np.array([0.0, 1.0], np.float32),
        "next_observations": np.zeros((2, 11), np.float32),
        "terminated": np.zeros(2, bool),
        "truncated": np.array([False, True]),
    }
    return Dataset(**(columns | changes))


def test_prepared_data() -> None:
    task = get_task("PointRobot")
    prepared = TINY.prepare(dataset(), task)
    # 300 steps over 8.05 of return; h = 25 where there is cost, else -1
    np.testing.assert_allclose(prepared.reward, np.array([1.0, 2.0]) * 300 / 8.05, rtol=1e-5)
    np.testing.assert_array_equal(prepared.constraint, [-1.0, 25.0])
    plain = change(TINY, reward_scaling="none", violation_scale=3.0).prepare(dataset(), task)
    np.testing.assert_array_equal(plain.reward, [1.0, 2.0])
    np.testing.assert_array_equal(plain.constraint, [-1.0, 3.0])
    logged = TINY.prepare(dataset(constraints=np.array([-0.3, 0.2], np.float32)), task)
    np.testing.assert_array_equal(logged.constraint, np.array([-0.3, 0.2], np.float32))


# --- targets of the constraint critics ---

ENDS: dict[str, Any] = {"constraint": [-1.0, -1.0, -1.0], "terminated": [0.0, 1.0, 0.0], "truncated": [0.0, 0.0, 1.0]}


def test_only_termination_ends_the_future_by_default(state: FISORState, monkeypatch: pytest.MonkeyPatch) -> None:
    # V_h = 3: 0.01 (-1) + 0.99 * 3 = 2.96; where it ends, h = -1
    state = with_values(state, v_h=3.0, q_h=0.0)
    batch = rows(3, **ENDS, constraint_before=[-1.0] * 3)
    target = critic_targets(TINY, state, batch, monkeypatch)
    np.testing.assert_allclose(target, [2.96, -1.0, 2.96], rtol=1e-5)
    target = critic_targets(change(TINY, timeouts_terminal=True), state, batch, monkeypatch)
    np.testing.assert_allclose(target, [2.96, -1.0, -1.0], rtol=1e-5)


def test_the_state_left_counts_unless_told_otherwise(state: FISORState, monkeypatch: pytest.MonkeyPatch) -> None:
    state = with_values(state, v_h=-9.0, q_h=0.0)
    batch = rows(2, constraint=[-1.0, 0.5], constraint_before=[0.7, 0.2])
    np.testing.assert_allclose(critic_targets(TINY, state, batch, monkeypatch), [0.7, 0.5], rtol=1e-5)
    entered = change(TINY, count_state_left=False)
    np.testing.assert_allclose(critic_targets(entered, state, batch, monkeypatch), [-1.0, 0.5], rtol=1e-5)


def test_the_logged_way_on_bounds_the_target_where_asked(state: FISORState, monkeypatch: pytest.MonkeyPatch) -> None:
    """V_h = 3 backs up to 2.96. The logged way's worst: 0.5; -2, below the h = -1 of the step itself; unknown."""
    state = with_values(state, v_h=3.0, q_h=0.0)
    batch = rows(3, constraint=[-1.0] * 3, constraint_before=[-1.0] * 3, constraint_ahead=[0.5, -2.0, UNKNOWN_AHEAD])
    np.testing.assert_allclose(critic_targets(TINY, state, batch, monkeypatch), [2.96] * 3, rtol=1e-5)
    bounded = change(TINY, trajectory_bound=True)
    np.testing.assert_allclose(critic_targets(bounded, state, batch, monkeypatch), [0.5, -1.0, 2.96], rtol=1e-5)


def test_the_logged_way_on_bounds_what_the_value_learns_where_asked(
    state: FISORState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q_h = 1 against logged ways worth 0.5, -2 (below the step's own h = -1), unknown."""
    state = with_values(state, v_h=3.0, q_h=1.0)
    batch = rows(3, constraint=[-1.0] * 3, constraint_before=[-1.0] * 3, constraint_ahead=[0.5, -2.0, UNKNOWN_AHEAD])
    np.testing.assert_allclose(value_targets(TINY, state, batch, monkeypatch), [1.0, 1.0, 1.0], rtol=1e-5)
    bounded = change(TINY, value_bound=True)
    np.testing.assert_allclose(value_targets(bounded, state, batch, monkeypatch), [0.5, -1.0, 1.0], rtol=1e-5)
    costs = change(bounded, critic="qc", cost_limit=3.0, horizon=2)  # other units: nothing is bounded
    np.testing.assert_allclose(value_targets(costs, state, batch, monkeypatch), [1.0, 1.0, 1.0], rtol=1e-5)


def test_qc_counts_costs_against_the_discounted_limit(state: FISORState, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit 3 over 2 steps at discount 0.5 is 2.25 (test_constraints); V_c = 4 is 1.75 above it."""
    algorithm = change(TINY, critic="qc", cost_limit=3.0, horizon=2, discount=0.5)
    state = with_values(state, v_h=4.0, q_h=1.0)
    observation, action = jnp.zeros((2, 3)), jnp.zeros((2, 2))
    np.testing.assert_allclose(algorithm.feasible_value(state, observation), [1.75, 1.75], rtol=1e-5)
    np.testing.assert_allclose(estimate(state, observation, action, algorithm).q_h, [-1.25, -1.25], rtol=1e-5)
    np.testing.assert_array_equal(TINY.feasible_value(state, observation), [4.0, 4.0])
    batch = rows(2, cost=[1.0, 1.0], terminated=[0.0, 1.0], constraint=[9.0, 9.0])
    # 1 + 0.5 * 4 = 3 and 1, without the limit: it is subtracted where values are read, not where they are learned
    np.testing.assert_allclose(critic_targets(algorithm, state, batch, monkeypatch), [3.0, 1.0], rtol=1e-5)


# --- weights over the data ---


def weigh(algorithm: FISOR, state: FISORState, data: Transition) -> Any:
    return algorithm.sample_weights(state, data, phase="policy")


def test_weights_are_asked_for_in_the_policy_phase_only(state: FISORState) -> None:
    for phase in ("constraint", "reward", "joint"):
        assert TINY.sample_weights(state, rows(), phase=phase) is None


@pytest.mark.parametrize(
    ("values", "weight"),
    [
        ({"v_h": -0.1, "q_h": 0.1, "q_r": 5.0}, 0.0),  # inside, the action leaves
        ({"v_h": -0.1, "q_h": -0.1, "q_r": 0.5}, np.exp(1.5)),  # inside: exp(3 (0.5 - 0))
        ({"v_h": 0.4, "q_h": 0.1}, np.exp(1.5)),  # outside: exp(5 (0.4 - 0.1))
    ],
)
def test_weights_of_rows(state: FISORState, values: dict[str, float], weight: float) -> None:
    weights = weigh(TINY, with_values(state, **values), rows())
    np.testing.assert_allclose(weights, np.full(6, weight), rtol=1e-4)


def test_a_weight_margin_shrinks_the_region(state: FISORState) -> None:
    # V_h = -0.1 is outside V_h <= -0.2: exp(5 (-0.1 + 0.3)) instead of exp(3 * 0)
    state = with_values(state, v_h=-0.1, q_h=-0.3)
    weights = weigh(change(TINY, weight_margin=0.2), state, rows(1))
    np.testing.assert_allclose(weights, [np.exp(1.0)], rtol=1e-4)
    np.testing.assert_allclose(weigh(TINY, state, rows(1)), [1.0], rtol=1e-4)


def test_weights_computed_in_blocks_are_those_computed_at_once(
    state: FISORState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 rows in blocks of 4: the last block is padded, the padding is cut off. Scaling looks at all rows."""
    keys = jax.random.split(jax.random.key(1), 2)
    batch = rows(10, observation=jax.random.normal(keys[0], (10, 3)), action=jax.random.normal(keys[1], (10, 2)))
    algorithm = change(TINY, scaled_advantages=True)
    at_once = weigh(algorithm, state, batch)
    monkeypatch.setattr("surefoot.algorithms.fisor.scales.BLOCK", 4)
    blocks = weigh(algorithm, state, batch)
    assert at_once.shape == (10,)
    np.testing.assert_allclose(blocks, at_once, rtol=1e-5)


def test_the_value_ensembles_largest_member_counts(state: FISORState) -> None:
    algorithm = change(TINY, constraint_value_ensemble=3)
    wide = jax.jit(lambda key: algorithm.init(SPEC, key))(jax.random.key(0))
    observation = jax.random.normal(jax.random.key(1), (5, 3))
    members = wide.constraint.value(observation)
    assert members.shape == (3, 5)
    np.testing.assert_array_equal(algorithm.feasible_value(wide, observation), np.asarray(members).max(0))


# --- without rewards ---


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, r"^weighting: expected imitation or behaviour_cloning without reward values, found feasibility"),
        (
            {"weighting": "imitation", "extraction": "maxq"},
            "extraction: expected minqc or first_feasible .* found maxq",
        ),
    ],
)
def test_without_reward_values_nothing_may_read_them(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        change(TINY, reward_values=False, **changes)


def test_without_reward_values_no_reward_is_read_and_no_value_of_it_moves(state: FISORState) -> None:
    """Rewards and values of NaN would be in everything that reads them."""
    algorithm = change(TINY, reward_values=False, weighting="imitation", schedule="joint")
    blind = state._replace(reward=jax.tree.map(lambda leaf: leaf * jnp.nan, state.reward))
    batch = rows(16, reward=np.full(16, np.nan))
    assert [phase.name for phase in change(algorithm, schedule="decoupled").phases] == ["constraint", "policy"]
    after, metrics = jax.jit(partial(algorithm.update, phase="joint"))(blind, batch, jax.random.key(0))
    assert not [name for name in metrics if name.startswith("reward")]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after.constraint, after.policy, metrics)))
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(after.reward.value))
    weights = weigh(change(algorithm, schedule="decoupled"), with_values(blind, v_h=-0.1, q_h=-0.2), rows(1))
    np.testing.assert_allclose(weights, [3.0])  # inside: alpha_r
    assert np.isfinite(jax.jit(algorithm.decide)(blind, batch.observation[:1], jax.random.key(0)).action).all()


# --- acting ---


@pytest.mark.parametrize(
    ("extraction", "q_h", "feasible"),
    [
        ("first_feasible", -0.5, True),  # a margin of 0.5 is kept
        ("first_feasible", -0.4, False),
        ("minqc", -0.1, True),  # which knows no margin
        ("minqc", 0.1, False),
    ],
)
def test_a_decision_says_whether_any_candidate_counts_as_feasible(
    state: FISORState, extraction: Any, q_h: float, feasible: bool
) -> None:
    algorithm = change(TINY, extraction=extraction, margin=0.5)
    found = jax.jit(algorithm.decide)(with_values(state, v_h=0.0, q_h=q_h), jnp.zeros((3, 3)), jax.random.key(0))
    assert found.action.shape == (3, 2)
    assert np.asarray(found.feasible).tolist() == [feasible] * 3
    assert isinstance(algorithm, ActsFeasibly)


# --- joint ---


def test_a_joint_update_takes_its_values_from_the_first_rows(state: FISORState) -> None:
    """The value steps see the first 4 of 16 rows: other rows may change without effect on them."""
    algorithm = change(TINY, schedule="joint")
    update = jax.jit(partial(algorithm.update, phase="joint"))
    generator = np.random.default_rng(0)
    observation = generator.normal(size=(16, 3)).astype(np.float32)
    batch = rows(16, observation=observation, reward=generator.normal(size=16).astype(np.float32))
    changed = batch._replace(observation=batch.observation.at[4:].add(1.0))
    first, _ = update(state, batch, jax.random.key(0))
    second, _ = update(state, changed, jax.random.key(0))
    same = lambda a, b: all(np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))  # noqa: E731
    assert same(first.reward, second.reward)
    assert same(first.constraint, second.constraint)
    assert not same(first.policy, second.policy)
