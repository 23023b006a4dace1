"""BCRL: budgets that can be kept, and acting under them."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.data_fixtures import BINARY_TASK, make_dataset

from surefoot.algorithms.bcrl import BCRL
from surefoot.algorithms.bcrl.agent import drawn_budgets
from surefoot.algorithms.bcrl.parts import Head, Scaled, cost_critic, cost_value
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change
from surefoot.nn import Dense
from surefoot.types import PolicyInputs, Transition

TINY = BCRL(updates=4, batch_size=8, hidden=(8,))
DATA: Transition = TINY.prepare(make_dataset(BINARY_TASK, lengths=(20, 30), tail=0), BINARY_TASK)


@pytest.fixture(scope="module")
def state() -> Any:
    state = TINY.init(BINARY_TASK.spec, jax.random.key(0))
    return TINY.calibrate(state, jax.tree.map(jnp.asarray, DATA), phase="joint")


def head_of(value: float, size_in: int) -> Head:
    """Always the same action."""
    return Head((Dense(jnp.zeros((size_in, 2)), jnp.full(2, np.arctanh(value))),))


def with_constants(state: Any, *, least: float) -> Any:
    """A least cost that is the same everywhere, and heads that say 0.5 (reward) and -0.5 (safe)."""
    value = jax.tree.map(jnp.zeros_like, state.cost_value.network)
    value = replace(value, layers=(*value.layers[:-1], replace(value.layers[-1], bias=jnp.full(1, least))))
    return state._replace(
        cost_value=state.cost_value._replace(network=value),
        reward_head=state.reward_head._replace(network=head_of(0.5, 4)),
        safe_head=state.safe_head._replace(network=head_of(-0.5, 3)),
    )


def act(algorithm: BCRL, state: Any, budgets: list[float], memory: Any = None) -> tuple[Any, np.ndarray]:
    policy = algorithm.policy(state)
    memory = policy.initial(len(budgets)) if memory is None else memory
    inputs = PolicyInputs(jnp.ones((len(budgets), 3)), jnp.asarray(budgets))
    memory, actions = policy.act(memory, inputs, jax.random.key(0))
    return memory, np.asarray(actions[:, 0])


def test_scales_are_the_data_s(state: Any) -> None:
    costs = np.asarray(DATA.episode_cost)
    assert float(state.statistics.largest_budget) == costs.max()
    np.testing.assert_allclose(state.statistics.mean, np.asarray(DATA.observation).mean(0), atol=1e-6)
    discounted = change(TINY, cost_discount=0.5)  # at most 1 / (1 - 0.5) for costs of 1
    assert (
        float(discounted.calibrate(state, jax.tree.map(jnp.asarray, DATA), phase="joint").statistics.largest_budget)
        == 2
    )


def test_budgets_are_drawn_where_they_can_be_kept(state: Any) -> None:
    batch = Scaled.of(jax.tree.map(jnp.asarray, DATA.take(np.arange(50))), state.statistics)
    before, after = drawn_budgets(state, batch, jax.random.key(3), TINY)
    least = np.asarray(cost_value(state.cost_value.network, batch.next_observation))
    q = np.asarray(cost_critic(state.cost_critic.target, batch.observation, batch.action))
    assert (np.asarray(after) >= np.maximum(least, (q - np.asarray(batch.cost)) / 0.99) - 1e-5).all()
    assert (np.asarray(after) <= float(state.statistics.largest_budget) + 1e-5).all()
    np.testing.assert_allclose(before, batch.cost + 0.99 * after, rtol=1e-6)
    assert (np.asarray(before) >= q - 1e-4).all()  # so the action keeps it


def test_rewards_are_sought_while_the_budget_is_above_the_cost_to_come(state: Any) -> None:
    fixed = with_constants(state, least=4.0)
    np.testing.assert_allclose(act(TINY, fixed, [0.0, 3.9, 4.1, np.inf])[1], [-0.5, -0.5, 0.5, 0.5], atol=1e-6)
    careful = change(TINY, budget_margin=1.0)
    np.testing.assert_allclose(act(careful, fixed, [4.1, 5.1])[1], [-0.5, 0.5], atol=1e-6)
    with pytest.raises(ConfigError, match="bcrl acts under a budget"):
        TINY.policy(fixed).act(None, PolicyInputs(jnp.ones((1, 3))), jax.random.key(0))


def test_the_slack_falls_by_what_chosen_actions_cost_more(state: Any) -> None:
    """Stochastic form: the budget that is told counts at the first step alone."""
    stochastic = change(TINY, form="stochastic")
    fixed = with_constants(state, least=2.0)
    critic = jax.tree.map(jnp.zeros_like, fixed.cost_critic.target)
    last = replace(critic.layers[-1], bias=jnp.full((2, 1), 5.0))
    critic = replace(critic, layers=(*critic.layers[:-1], last))
    fixed = fixed._replace(cost_critic=fixed.cost_critic._replace(target=critic))
    memory, action = act(stochastic, fixed, [6.0])
    assert action[0] == pytest.approx(0.5)
    assert float(memory.slack[0]) == pytest.approx(6.0 - 2.0 - (5.0 - 2.0))
    memory, action = act(stochastic, fixed, [0.0], memory)  # 1 is left
    assert action[0] == pytest.approx(0.5)
    assert float(memory.slack[0]) == pytest.approx(1.0 - 3.0)
    assert act(stochastic, fixed, [100.0], memory)[1][0] == pytest.approx(-0.5)


def test_least_costs_are_learned_from_the_data(state: Any) -> None:
    """Without a discount and with costs of 1 in every step of episodes that end after it, V_c is 1."""
    plain = change(TINY, cost_discount=1.0, learning_rate=3e-2, updates=1000, target_rate=1.0)
    ended = DATA._replace(cost=np.ones(50, np.float32), terminated=np.ones(50, np.float32))
    batch = jax.tree.map(jnp.asarray, ended)
    update = jax.jit(plain.update, static_argnames="phase")
    metrics: dict[str, Any] = {}
    for number in range(60):
        state, metrics = update(state, batch, jax.random.key(number), phase="joint")
    np.testing.assert_allclose(metrics["cost/critic"], 1.0)
    np.testing.assert_allclose(plain.cost_to_come(state, batch.observation).mean(), 1.0, atol=0.2)
