"""CDT: its data, what was wrong in OSRL's code and is not by default, and acting with targets."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.data_fixtures import BINARY_TASK, make_dataset

from surefoot.algorithms.cdt import CDT
from surefoot.algorithms.cdt.agent import SLICE, EntropyConfig, TokenConfig, sequence_gradient, sequence_loss
from surefoot.algorithms.cdt.augment import AugmentationConfig, assigned, kept_order, relabeled_episodes
from surefoot.algorithms.cdt.data import DrawConfig, Seen, episode_weights, seen_of, target_returns
from surefoot.errors import ConfigError, DataError
from surefoot.hyperparameters import change
from surefoot.nn.transformer import TransformerConfig
from surefoot.presets.cdt import CDT_PRESETS
from surefoot.types import DataSpec, PolicyInputs

TINY = CDT(
    policy_updates=2, policy_batch_size=4, window=3, network=TransformerConfig(width=8, blocks=1, heads=2, dropout=0.0)
)
SPEC = DataSpec(observation_dim=3, action_dim=2, horizon=40)
LEGACY = {name: value for name, value in CDT_PRESETS["legacy"].items() if name != "augment_share"}


@pytest.fixture(scope="module")
def state() -> Any:
    return jax.jit(lambda key: TINY.init(SPEC, key))(jax.random.key(0))


# --- how episodes are drawn ---


def test_an_episode_of_cost_200_is_drawn() -> None:
    costs = np.array([0.0, 200.0])
    # The reference is a tenth above the largest cost: 220 - 0 to 220 - 200 is 11 to 1.
    np.testing.assert_allclose(episode_weights(costs, DrawConfig()), [11 / 12, 1 / 12])
    np.testing.assert_allclose(episode_weights(costs, DrawConfig(draw_reference=70.0)), [1.0, 0.0])


def test_episodes_that_all_cost_more_than_the_reference() -> None:
    with pytest.raises(DataError, match="costs: expected an episode that costs less than draw_reference 70, found 80"):
        episode_weights(np.array([80.0, 90.0]), DrawConfig(draw_reference=70.0))
    assert episode_weights(np.array([80.0, 90.0]), DrawConfig()).sum() == 1.0
    np.testing.assert_allclose(episode_weights(np.array([0.0, 10.0]), DrawConfig(draw="inverse")), [2 / 3, 1 / 3])


def test_windows_of_an_episode() -> None:
    """Episodes of 5 and 4 steps; the unfinished tail is left out."""
    dataset = make_dataset(BINARY_TASK, lengths=(5, 4), tail=2)
    data = TINY.prepare(dataset, BINARY_TASK)
    assert data.num_rows == 9
    batch = data.take(jnp.array([0, 4, 8]))
    np.testing.assert_array_equal(batch.valid, [[True] * 3, [True, False, False], [True, False, False]])
    np.testing.assert_allclose(batch.steps.return_to_go[0, 0], dataset.returns[0], rtol=1e-5)
    np.testing.assert_allclose(batch.steps.cost_to_go[:, 0], [dataset.cost_returns[0], *dataset.costs[[4, 8]]])
    np.testing.assert_array_equal(batch.steps.time[:, 0], [0, 4, 3])
    # Both episodes are drawn by their cost, whatever their length.
    of_episodes = np.asarray(data.weights)[[0, 5]] * [5, 4]
    np.testing.assert_allclose(of_episodes, episode_weights(dataset.cost_returns, DrawConfig()), rtol=1e-6)


# --- relabeled episodes ---


def test_relabeled_episodes_are_windows_with_other_targets() -> None:
    dataset = make_dataset(BINARY_TASK, lengths=(5, 4, 6, 3, 5), tail=0)
    augmented = change(TINY, augment_share=0.4, fewest_in_bin=0)
    added = relabeled_episodes(dataset.returns, dataset.cost_returns, augmented.augmentation)
    assert len(added.episode) == 2
    assert (added.cost >= dataset.cost_returns[added.episode]).all()
    data = augmented.prepare(dataset, BINARY_TASK)
    first = data.take(jnp.array([len(dataset)]))
    np.testing.assert_allclose(first.steps.return_to_go[0, 0], added.episode_return[0], rtol=1e-5)
    np.testing.assert_allclose(first.steps.cost_to_go[0, 0], added.cost[0], atol=1e-5)


def test_episodes_belong_to_their_targets() -> None:
    """Targets nearest to 0, 1 and 0: the third gets another, and stays third."""
    points = np.array([[0.0, 0.0], [10.0, 10.0], [0.0, -0.5]])
    targets = np.array([[0.0, 1.0], [10.0, 11.0], [1.0, 1.0]])
    last = lambda weights: len(weights) - 1  # noqa: E731
    assert assigned(points, targets, AugmentationConfig(), last).tolist() == [0, 1, 2]
    assert assigned(points, targets, AugmentationConfig(in_order=False), last).tolist() == [0, 2, 1]


def test_the_thin_frontier_is_kept() -> None:
    returns, costs = np.array([1.0, 1.0, 1.0, 9.0]), np.array([0.0, 0.0, 0.0, 9.0])
    order = lambda config: kept_order(returns, costs, config, np.random.default_rng(0)).tolist()  # noqa: E731
    assert order(AugmentationConfig()) == [0, 1, 2, 3]
    assert order(AugmentationConfig(fewest_in_bin=2)) == [0, 1, 2]
    legacy = AugmentationConfig(augment_share=0.5, fewest_in_bin=2)
    with pytest.raises(DataError, match="augmentation: expected at least two episodes, found 0"):
        relabeled_episodes(np.array([1.0, 5.0]), np.array([0.0, 9.0]), legacy)


# --- tokens and losses ---


def test_the_cost_token_is_a_share_of_the_largest_limit_and_never_negative() -> None:
    seen = Seen.none()._replace(cost_range=jnp.array([0.0, 200.0]), largest_limit=jnp.float32(80.0))
    cost = jnp.array([-5.0, 0.0, 40.0, 80.0, jnp.inf])
    np.testing.assert_allclose(TINY.cost_token(cost, seen), [0.0, 0.0, 0.5, 1.0, 2.5])
    np.testing.assert_allclose(change(TINY, **LEGACY).cost_token(cost, seen), [55.0, 50.0, 10.0, -30.0, -150.0])


@pytest.mark.parametrize(("config", "like"), [(TokenConfig(), 3.0), (TokenConfig(cost_class="truncated"), 0.0)])
def test_a_cost_of_nine_tenths_is_a_cost(state: Any, config: TokenConfig, like: float) -> None:
    """OSRL's code takes its whole part, 0."""
    algorithm = change(TINY, cost_class=config.cost_class)
    batch = algorithm.prepare(make_dataset(BINARY_TASK, lengths=(5, 4)), BINARY_TASK).take(jnp.arange(4))
    tokens = algorithm.tokens_of(batch, state.seen)

    @jax.jit
    def cost_loss(cost: Any) -> Any:
        changed = batch._replace(steps=batch.steps._replace(cost=cost + jnp.zeros_like(batch.steps.cost)))
        loss = sequence_loss(state.network, tokens, changed, jnp.float32(0.1), None, config=algorithm)
        return loss[1]["policy/cost_loss"]

    found = {cost: float(cost_loss(cost)) for cost in (0.0, 0.9, 3.0)}
    assert found[0.9] == found[like] != found[3.0 - like]


def test_entropy_is_summed_over_the_numbers_of_an_action(state: Any) -> None:
    """Heads start at 0: a standard deviation of 1, so 1.4189 nats for each of two numbers."""
    batch = TINY.prepare(make_dataset(BINARY_TASK, lengths=(5, 4)), BINARY_TASK).take(jnp.arange(4))
    for over, expected in (("sum", 2 * 1.4189), ("mean", 1.4189)):
        algorithm = change(TINY, entropy_over=over)
        network = jax.tree.map(jnp.zeros_like, state.network)
        tokens = algorithm.tokens_of(batch, state.seen)
        _, metrics = sequence_loss(network, tokens, batch, jnp.float32(0.1), None, config=algorithm)
        np.testing.assert_allclose(metrics["policy/entropy"], expected, rtol=1e-4)
    assert EntropyConfig().entropy_over == "sum"


def test_slices_of_a_batch_add_up_to_its_gradient(state: Any) -> None:
    """Three slices on a CPU, with more valid steps in the first than in the last."""
    data = TINY.prepare(make_dataset(BINARY_TASK, lengths=(5, 4)), BINARY_TASK)
    batch = data.take(jnp.arange(3 * SLICE) // 11)
    assert len({int(count) for count in batch.valid.reshape(3, -1).sum(1)}) == 3
    given = state.network, TINY.tokens_of(batch, state.seen), batch, jnp.float32(0.1)
    key = jax.random.key(0)  # nothing is dropped

    def gradients(network: Any, tokens: Any, batch: Any, temperature: Any) -> tuple[Any, Any]:
        given = network, tokens, batch, temperature, key
        return jax.grad(sequence_loss, has_aux=True)(*given, config=TINY), sequence_gradient(*given, config=TINY)

    whole, summed = jax.jit(gradients)(*given)
    for expected, found in zip(jax.tree.leaves(whole), jax.tree.leaves(summed), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


# --- acting ---


def test_the_target_is_the_best_return_under_the_budget() -> None:
    costs, returns = np.array([0.0, 10.0, 20.0]), np.array([1.0, 5.0, 3.0])
    seen = seen_of(returns, costs, BINARY_TASK)
    budget = jnp.array([-1.0, 0.0, 9.9, 10.0, 20.0, jnp.inf])
    np.testing.assert_allclose(target_returns(seen, budget), [1.0, 1.0, 1.0, 5.0, 5.0, 5.0])
    assert float(seen.largest_limit) == 10.0  # the task's


def test_a_window_runs_along_and_targets_go_down(state: Any) -> None:
    """What acts at a step is what the network says of the last three steps, tokens decremented by what came."""
    seen = seen_of(np.array([2.0, 8.0]), np.array([0.0, 20.0]), BINARY_TASK)
    state = state._replace(seen=seen)
    policy = TINY.policy(state)
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(5, 1, 3)).astype(np.float32)
    rewards, budgets = [0.0, 1.0, 2.0, 0.5, 0.25], [20.0, 19.0, 19.0, 15.0, 15.0]
    act = jax.jit(policy.act)
    memory, actions = policy.initial(1), []
    for observation, reward, budget in zip(observations, rewards, budgets, strict=True):
        inputs = PolicyInputs(jnp.asarray(observation), jnp.array([budget]), None, jnp.array([reward]))
        memory, action = act(memory, inputs, jax.random.key(0))
        actions.append(np.asarray(action[0]))
    tokens = memory.tokens
    # 8, then less 1, 2, 0.5 and 0.25, in units of the largest return, 8. The last three steps.
    np.testing.assert_allclose(tokens.return_to_go[0], np.array([5.0, 4.5, 4.25]) / 8.0, rtol=1e-6)
    np.testing.assert_allclose(tokens.cost_to_go[0], np.array([19.0, 15.0, 15.0]) / 10.0, rtol=1e-6)
    np.testing.assert_array_equal(tokens.time[0], [2, 3, 4])
    np.testing.assert_allclose(tokens.observation[0], observations[2:, 0])
    np.testing.assert_allclose(tokens.action[0], np.stack(actions[2:]), rtol=1e-6)
    np.testing.assert_allclose(np.clip(state.network.act(tokens)[0, -1], -1, 1), actions[-1], atol=1e-6)
    with pytest.raises(ConfigError, match="cdt acts under a budget"):
        policy.act(policy.initial(1), PolicyInputs(jnp.ones((1, 3))), jax.random.key(0))


def test_a_decision_transformer_reads_what_was_applied(state: Any) -> None:
    """Its window of three holds 0.5 in place of what it chose at every step but the last."""
    policy = TINY.policy(state)
    memory, given = policy.initial(1), PolicyInputs(jnp.ones((1, 3)), jnp.array([10.0]))
    for applied in (0.0, 0.5, 0.5, 0.5):
        width = state.network.action_dim
        memory, action = policy.act(memory, given._replace(applied=jnp.full((1, width), applied)), jax.random.key(0))
    np.testing.assert_array_equal(memory.tokens.action[0, :2], np.full((2, width), 0.5))
    np.testing.assert_array_equal(memory.tokens.action[0, 2], action[0])


def test_targets_that_the_data_never_had(state: Any) -> None:
    state = state._replace(seen=seen_of(np.array([2.0, 8.0]), np.array([5.0, 20.0]), BINARY_TASK))
    found = TINY.budget_remarks(state, [1.0, 10.0, 30.0, float("inf")])
    assert found == [
        "cost limit 1: expected one that episodes of the data had, 5 to 20, found none so cheap; the policy is asked "
        "for what it never saw",
        "cost limit 30: expected one that episodes of the data had, 5 to 20, found none that costs so much; the policy "
        "is asked for what it never saw",
    ]
    with pytest.raises(ConfigError, match="target_return: expected at most 8, the largest return of the data, found 9"):
        change(TINY, target_return=9.0).budget_remarks(state, [10.0])
    assert change(TINY, target_return=1.0).budget_remarks(state, [10.0]) == [
        "target_return: expected at least 2, the smallest return of the data, found 1; the policy is asked for what it "
        "never saw"
    ]
    with pytest.raises(ConfigError, match=r"target_return: expected at most .*, the largest return of the data, found"):
        change(TINY, target_return=1e9).prepare(make_dataset(BINARY_TASK), BINARY_TASK)  # before it is trained
