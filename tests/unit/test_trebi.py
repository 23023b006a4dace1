"""TREBI's own parts: its data, calibration, margins, end of the episode, and what it refuses."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.data_fixtures import BINARY_TASK, make_dataset

from surefoot.algorithms.trebi import TREBI
from surefoot.algorithms.trebi.agent import value_loss, value_outputs
from surefoot.algorithms.trebi.planner import current_actions, empty_memory
from surefoot.algorithms.trebi.segments import Segments, residual_quantiles, time_bin
from surefoot.diffusion.policy import draw_noisy
from surefoot.envs.pure import where_envs
from surefoot.errors import ConfigError, DataError
from surefoot.hyperparameters import change, flat
from surefoot.nn import TemporalConfig
from surefoot.planning import GuideConfig, SamplerConfig, fix_observation
from surefoot.presets.trebi import TREBI_PRESETS, TREBI_TASK_PRESETS
from surefoot.types import DataSpec, PolicyInputs

SIZES = TemporalConfig(width=8, multipliers=(1, 2), kernel=3)
TINY = change(
    TREBI(),
    plan_horizon=4,
    diffusion_steps=3,
    network=SIZES,
    value_network=SIZES,
    num_candidates=2,
    guide=GuideConfig(units="spread", steps=1, scale=0.1, stop=1),
    sampler=SamplerConfig(kind="ddim", steps=2),
)
SPEC = DataSpec(observation_dim=3, action_dim=2, horizon=40)


@pytest.fixture(scope="module")
def state() -> Any:
    """Fresh networks with scales that are not 1, so that a missing one shows."""
    state = jax.jit(lambda key: TINY.init(SPEC, key))(jax.random.key(0))
    scales = state.normalizer._replace(mean=jnp.array([0.1, 0.2, 1.0, 2.0, 3.0]), deviation=jnp.full(5, 0.5))
    return state._replace(normalizer=scales)


def test_the_data_are_segments_with_what_came_after_them() -> None:
    """Episodes of 20 (terminated), 30 (timeout) steps of at most 40, held out 0 of 2: starts 0-19 and 20-49."""
    dataset = make_dataset(BINARY_TASK, lengths=(20, 30), tail=5)
    data = change(TINY, calibration_segments=0, reward_discount=1.0, termination_cost=7.0).prepare(dataset, BINARY_TASK)
    assert np.asarray(data.windows.starts).tolist() == [*range(50)]
    batch = data.take(jnp.array([0, 18, 49]))
    raw = batch.segments.x * data.statistics.deviation[None, None] + data.statistics.mean[None, None]
    steps = np.concatenate([dataset.actions, dataset.observations], -1)
    np.testing.assert_allclose(raw[0], steps[:4], atol=1e-5)
    np.testing.assert_allclose(raw[1], np.concatenate([steps[18:20], np.zeros((2, 5))]), atol=1e-5)
    np.testing.assert_allclose(batch.segments.to_come[0], [dataset.returns[0], dataset.cost_returns[0] + 7], rtol=1e-5)
    np.testing.assert_allclose(batch.segments.to_come[2], [dataset.required_rewards[49], dataset.costs[49]], rtol=1e-5)
    np.testing.assert_allclose(batch.segments.share_left, [1.0, 22 / 40, 11 / 40])
    whole = steps[:50].astype(np.float64)
    np.testing.assert_allclose(data.statistics.mean, whole.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(data.statistics.deviation, whole.std(0), rtol=1e-4)


@pytest.mark.parametrize(("lengths", "held_out"), [((5,) * 20, (45, 95)), ((5,) * 3, (10,))])
def test_whole_episodes_are_held_out(lengths: tuple[int, ...], held_out: tuple[int, ...]) -> None:
    """Every tenth, or the last of fewer; no start is in both."""
    data = TINY.prepare(make_dataset(BINARY_TASK, lengths=lengths, tail=0), BINARY_TASK)
    assert np.asarray(data.held_out).tolist() == [first + offset for first in held_out for offset in range(5)]
    assert set(np.asarray(data.windows.starts).tolist()) == set(range(sum(lengths))) - set(
        np.asarray(data.held_out).tolist()
    )


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_values_batch_stays_clean(state: Any, share: float) -> None:
    """Of four segments the first 4 share are judged without noise, at time 0; the errors are of a mean over all."""
    x, key = jax.random.normal(jax.random.key(1), (4, 4, 5)), jax.random.key(2)
    segments = Segments(x, jnp.arange(8.0).reshape(4, 2), jnp.linspace(0.2, 0.8, 4))
    noisy, _, t = draw_noisy(x, key, TINY.schedule)
    noisy = fix_observation(noisy, x[:, 0, 2:])
    clean = int(4 * share)
    judged, times = jnp.concatenate([x[:clean], noisy[clean:]]), jnp.concatenate([jnp.zeros(clean), t[clean:]])
    options: Any = {"know_time_left": True}
    network = state.values.network
    outputs = value_outputs(network, judged, times, segments.share_left, **options)  # [2, 1, 4]
    wanted = [np.mean((np.asarray(outputs[row, 0]) - [row, row + 2, row + 4, row + 6]) ** 2) for row in (0, 1)]

    loss, metrics = value_loss(
        network, segments, key, scales=(jnp.zeros(2), jnp.ones(2)), action_dim=2, schedule=TINY.schedule,
        clean_share=share, **options,
    )  # fmt: skip
    np.testing.assert_allclose([metrics["values/reward_loss"], metrics["values/cost_loss"]], wanted, rtol=1e-5)
    np.testing.assert_allclose(loss, sum(wanted), rtol=1e-5)


def test_conformal_quantiles_by_time_left() -> None:
    """Nine residuals 1, ..., 9 in the first half of the time left: level 0.9 is the ceil(10 * 0.9) = 9th, 0.5 the 5th.

    One residual in the second half, and none in a third bin.
    """
    residual = jnp.array([3.0, 1, 2, 9, 8, 7, 4, 6, 5, 100])
    left = jnp.array([0.3] * 9 + [0.6])
    table = np.asarray(residual_quantiles(residual, left, bins=3))
    assert table[0, [0, 50, 90, 100]].tolist() == [1, 5, 9, 9]
    assert table[1, 90] == 100
    assert not table[2].any()
    assert time_bin(jnp.array([0.0, 0.001, 0.1, 0.11, 1.0]), bins=10).tolist() == [0, 0, 0, 1, 9]


def test_a_margin_is_taken_off_the_budget(state: Any) -> None:
    calibrated = state._replace(residuals=jnp.broadcast_to(jnp.arange(101.0), (10, 101)))
    left = jnp.array([0.05, 1.0])
    assert TINY.margin(calibrated, left).tolist() == [0.0, 0.0]
    assert change(TINY, cost_margin=2.0, margin_level=0.1).margin(calibrated, left).tolist() == [92.0, 92.0]


@pytest.fixture(scope="module")
def plans(state: Any) -> Any:
    """Three environments, two of them at the end of their time."""
    observation = jnp.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    budget, step = jnp.array([5.0, 5.0, -1.0]), jnp.array([0, 38, 38])
    return observation, jax.jit(TINY.plan)(state, observation, budget, step, jax.random.key(1))


def test_a_plan_is_in_the_environments_units(state: Any, plans: Any) -> None:
    observation, (memory, plan) = plans
    np.testing.assert_allclose(plan.observations[:, 0], observation, atol=1e-5)
    assert (np.abs(plan.actions) <= 1).all()
    np.testing.assert_allclose(
        current_actions(memory, state.normalizer, action_dim=2), plan.actions[:, 0], rtol=1e-5, atol=1e-6
    )
    assert plan.budget.tolist() == [5, 5, -1]
    assert memory.age.tolist() == [0, 0, 0]
    assert not memory.fresh.any()


def test_values_of_the_last_steps_are_those_of_a_segments_length(state: Any, plans: Any) -> None:
    """Two of 40 steps are left where segments have four: half of what the values say of four is to come."""
    _, (memory, plan) = plans
    _, cost = jax.jit(TINY.predict)(state, memory.segments, jnp.zeros(1), jnp.array([1.0, 0.1, 0.1]))
    np.testing.assert_allclose(plan.cost, cost * jnp.array([1.0, 0.5, 0.5]), rtol=1e-4, atol=1e-5)


def test_a_plan_is_carried_out_for_the_control_interval(state: Any) -> None:
    warm = SamplerConfig(kind="ddim", steps=2, warm_steps=1)
    algorithm = change(TINY, control_interval=2, sampler=warm, guide=GuideConfig(steps=0))
    policy = algorithm.policy(state)
    act = jax.jit(lambda memory, inputs, key: algorithm.policy(state).act(memory, inputs, key))
    inputs = PolicyInputs(jnp.ones((2, 3)), jnp.array([1.0, jnp.inf]))
    memory, first = act(policy.initial(2), inputs, jax.random.key(0))
    planned = memory.segments
    memory, second = act(memory, inputs._replace(observation=jnp.full((2, 3), 9.0)), jax.random.key(1))
    np.testing.assert_array_equal(memory.segments, planned)
    scales = state.normalizer
    at = lambda age: np.clip(np.asarray(planned)[:, age, :2] * 0.5 + np.asarray(scales.mean)[:2], -1, 1)  # noqa: E731
    np.testing.assert_allclose(first, at(0), atol=1e-6)
    np.testing.assert_allclose(second, at(1), atol=1e-6)
    memory, _ = act(memory, inputs, jax.random.key(2))
    assert not np.allclose(memory.segments, planned)
    assert memory.step.tolist() == [3, 3]


def test_what_an_environment_does_does_not_depend_on_the_others(state: Any) -> None:
    """Two environments, one of which begins again while the other carries on with its plan, and each alone."""
    algorithm = change(TINY, control_interval=2, sampler=SamplerConfig(kind="ancestral", warm_steps=1))

    @jax.jit
    def act(memory: Any, inputs: Any, keys: Any) -> Any:
        policy = algorithm.policy(state)
        first = inputs.step == 0
        memory = where_envs(first, policy.initial(len(first)), memory)
        return policy.act(memory, inputs, jax.vmap(jax.random.fold_in)(keys, inputs.step))

    observation, budget = jnp.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]), jnp.array([1.0, 5.0])
    keys, steps = jax.random.split(jax.random.key(4)), [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, 2)]

    def actions(own: slice) -> Any:
        memory = algorithm.policy(state).initial(len(budget[own]))
        taken = []
        for now in steps:
            inputs = PolicyInputs(observation[own], budget[own], jnp.array(now)[own])
            memory, action = act(memory, inputs, keys[own])
            taken.append(action)
        return np.stack(taken)

    together = actions(slice(2))
    for one in range(2):
        np.testing.assert_allclose(actions(slice(one, one + 1))[:, 0], together[:, one], rtol=1e-4, atol=1e-5)
    assert len({*together[:, 0, 0].tolist()}) == len(steps)
    np.testing.assert_allclose(together[3:, 1], together[:3, 1], rtol=1e-5, atol=1e-6)  # begun again


def test_an_empty_memory_asks_for_a_plan() -> None:
    memory = empty_memory(3, 4, 5, age=2)
    assert memory.fresh.all()
    assert memory.age.tolist() == [2, 2, 2]


def test_budgets_count_as_the_costs_do() -> None:
    assert TREBI().budget_discount == 1.0
    assert change(TREBI(), **TREBI_PRESETS["legacy"]).budget_discount == 0.99
    assert TREBI.inputs.budget


@pytest.mark.parametrize("task", list(TREBI_TASK_PRESETS))
def test_presets_of_tasks_build(task: str) -> None:
    for name, changes in TREBI_TASK_PRESETS[task].items():
        algorithm = change(TREBI(), **changes)
        assert {name: flat(algorithm)[name] for name in changes} == changes, name
    assert {"small", "legacy"} <= TREBI_TASK_PRESETS[task].keys()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"plan_horizon": 31}, r"plan_horizon: expected a multiple of 2, .* found 31"),
        ({"cost_discount": 1.5}, r"cost_discount: expected a number in .0, 1., found 1.5"),
        ({"num_candidates": 0}, "num_candidates: expected at least 1, found 0"),
        ({"clean_value_share": 1.1}, r"clean_value_share: expected a number in .0, 1., found 1.1"),
        ({"cost_margin": math.inf}, r"cost_margin: expected a number in .-inf, inf., found inf"),
        ({"margin_level": 1.0}, r"margin_level: expected a number in .0, 1., found 1"),
        ({"held_out_share": 0.6}, r"held_out_share: expected a number in .0, 0.5., found 0.6"),
        ({"ema_rate": 0.0}, r"ema_rate: expected a number in .0, 1., found 0"),
        ({"learning_rate": -1e-3}, r"learning_rate: expected a number in .0, inf., found -0.001"),
        ({"model_updates": -1}, "model_updates: expected at least 0, found -1"),
        ({"sampler": SamplerConfig(steps=3, warm_steps=3)}, r"sampler.warm_steps: expected .* .0, 3., found 3"),
        ({"control_interval": 5}, r"control_interval: expected a number in .1, 4., found 5"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        change(TINY, **changes)


def test_guides_and_samplers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^guide.cost_weight: expected a number in .0, inf., found nan"):
        GuideConfig(cost_weight=math.nan)
    with pytest.raises(ConfigError, match=r"^guide.steps: expected at least 0, found -1"):
        GuideConfig(steps=-1)
    with pytest.raises(ConfigError, match=r"^sampler.temperature: expected a number in .0, inf., found -1"):
        SamplerConfig(temperature=-1.0)


def test_no_budget_and_wrong_horizons_are_refused_in_a_sentence(state: Any) -> None:
    policy = TINY.policy(state)
    with pytest.raises(ConfigError, match=r"expected PolicyInputs.remaining_budget, found none"):
        policy.act(policy.initial(1), PolicyInputs(jnp.ones((1, 3))), jax.random.key(0))
    with pytest.raises(ConfigError, match="plan_horizon: expected 4 steps, which the values were trained for, found 8"):
        change(TINY, plan_horizon=8).plan(state, jnp.ones((1, 3)), jnp.ones(1), jnp.zeros(1), jax.random.key(0))
    with pytest.raises(ConfigError, match=r"plan_horizon: expected at most 40 steps, .* found 64"):
        change(TINY, plan_horizon=64).init(SPEC, jax.random.key(0))
    with pytest.raises(DataError, match="expected at most 3 steps, the longest episode's, found 4"):
        TINY.prepare(make_dataset(BINARY_TASK, lengths=(3, 2), tail=0), BINARY_TASK)
    data = TINY.prepare(make_dataset(BINARY_TASK), BINARY_TASK)
    update = lambda rows: TINY.update(state, data.take(rows), jax.random.key(0), phase="sleep")  # noqa: E731
    with pytest.raises(ConfigError, match="unknown phase 'sleep'; known: model, values, calibration"):
        jax.eval_shape(update, jnp.zeros(1, jnp.int32))
