"""CDT against numbers computed with OSRL's code: one update, and its data."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.golden_baselines import check_gradient, check_moved, close, filled, golden_arrays

from surefoot.algorithms.cdt import CDT
from surefoot.algorithms.cdt.agent import sequence_loss, temperature_gradient
from surefoot.algorithms.cdt.augment import (
    AugmentationConfig,
    assigned,
    fitted_frontier,
    kept_order,
    target_bounds,
)
from surefoot.algorithms.cdt.data import DrawConfig, SequenceBatch, StepTable, episode_weights
from surefoot.algorithms.cdt.network import Tokens
from surefoot.data import Dataset
from surefoot.data.windows import sums_to_go
from surefoot.hyperparameters import change
from surefoot.nn.transformer import TransformerConfig
from surefoot.presets.cdt import CDT_PRESETS
from surefoot.types import DataSpec

NETWORK = TransformerConfig(width=32, blocks=2, heads=4, dropout=0.0)
LEGACY = change(CDT(), **CDT_PRESETS["legacy"] | {"network": NETWORK, "window": 5, "warm_up": 0})
SPEC = DataSpec(observation_dim=7, action_dim=2, horizon=12)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return golden_arrays()


@pytest.fixture(scope="module")
def batch(golden: dict[str, np.ndarray]) -> SequenceBatch:
    """Rewards to come in the task's units: OSRL's are a tenth of them."""
    named = {name: jnp.asarray(golden[f"cdt/batch/{name}"]) for name in ("states", "actions", "costs")}
    steps = StepTable(
        observation=named["states"], action=named["actions"],
        return_to_go=10.0 * jnp.asarray(golden["cdt/batch/returns"]), cost=named["costs"],
        cost_to_go=jnp.asarray(golden["cdt/batch/costs_to_go"]),
        time=jnp.asarray(golden["cdt/batch/time_steps"]).astype(jnp.int32),
    )  # fmt: skip
    return SequenceBatch(steps, jnp.asarray(golden["cdt/batch/mask"]) > 0)


@pytest.fixture(scope="module")
def tokens(golden: dict[str, np.ndarray], batch: SequenceBatch) -> Tokens:
    """As OSRL has them: no cost is beyond the data's."""
    seen = LEGACY.init(SPEC, jax.random.key(0)).seen._replace(cost_range=jnp.array([0.0, 1e6]))
    found = LEGACY.tokens_of(batch, seen)
    close(found.cost_to_go, 50.0 - golden["cdt/batch/costs_to_go"])
    close(found.return_to_go, golden["cdt/batch/returns"])
    return found


@pytest.fixture(scope="module")
def network() -> Any:
    return filled(LEGACY.init(SPEC, jax.random.key(0)).network, "cdt", "transformer")


def test_the_transformer(golden: dict[str, np.ndarray], network: Any, tokens: Tokens, batch: SequenceBatch) -> None:
    found, valid = jax.jit(lambda given: network(given, dropout=None))(tokens), np.asarray(batch.valid)[..., None]
    for ours, name in (
        (found.mean, "action_mean"),
        (jnp.exp(found.log_std), "action_std"),
        (jax.nn.log_softmax(found.cost_logits), "cost_log_prob"),
        (found.next_observation, "state"),
    ):
        close(np.asarray(ours) * valid, golden[f"cdt/forward/{name}"] * valid)
    close(network.act(tokens)[0, -1], golden["cdt/forward/rollout_action_mean"])


def test_one_update(golden: dict[str, np.ndarray], network: Any, tokens: Tokens, batch: SequenceBatch) -> None:
    temperature = jnp.float32(0.1)
    gradient, metrics = jax.jit(
        lambda network: jax.grad(sequence_loss, has_aux=True)(network, tokens, batch, temperature, None, config=LEGACY)
    )(network)
    check_gradient(gradient, golden["cdt/grad/transformer"])
    close(optax.tree.norm(gradient), golden["cdt/loss/grad_norm"])
    for ours, theirs, sign in (
        ("log_likelihood", "nll", -1.0), ("entropy", "ent", 1.0), ("loss", "all_loss", 1.0),
        ("cost_loss", "cost_loss", 1.0), ("cost_accuracy", "cost_acc", 1.0), ("state_loss", "state_loss", 1.0),
    ):  # fmt: skip
        close(sign * metrics[f"policy/{ours}"], golden[f"cdt/loss/{theirs}"])
    close(
        temperature_gradient(jnp.log(temperature), metrics["policy/entropy"], action_dim=2),
        golden["cdt/loss/temperature_raw_grad"],
    )


def test_the_state_after_an_update(golden: dict[str, np.ndarray], network: Any, batch: SequenceBatch) -> None:
    state = LEGACY.init(SPEC, jax.random.key(0))
    seen = state.seen._replace(cost_range=jnp.array([0.0, 1e6]))
    state = state._replace(network=network, seen=seen)
    update = jax.jit(LEGACY.update, static_argnames="phase")
    after, _ = update(state, batch, jax.random.key(0), phase="policy")
    check_moved(network, after.network, golden["cdt/after/transformer"])
    close(after.log_temperature, golden["cdt/loss/log_temperature_after"])


def test_the_rate_rises(golden: dict[str, np.ndarray]) -> None:
    rising = change(LEGACY, warm_up=500)
    rates = [rising.learning_rate_after(update - 1) for update in (1, 2, 3, 500, 501)]
    close(rates, golden["cdt/schedule/lr_of_update_1_2_3_500_501"], atol=0.0)


@pytest.fixture(scope="module")
def dataset(golden: dict[str, np.ndarray]) -> Dataset:
    rewards, costs, lengths = (golden[f"data/{name}"] for name in ("rewards", "costs", "lengths"))
    rows = len(rewards)
    ends = np.zeros(rows, bool)
    ends[np.cumsum(lengths.astype(int)) - 1] = True
    nothing = np.zeros((rows, 1), np.float32)
    return Dataset("Noise", nothing, nothing, rewards, costs, nothing, terminated=np.zeros(rows, bool), truncated=ends)


def test_what_is_to_come(golden: dict[str, np.ndarray], dataset: Dataset) -> None:
    close(sums_to_go(dataset.required_rewards, dataset, discount=1.0), golden["data/returns_to_go"])
    close(sums_to_go(dataset.costs, dataset, discount=1.0), golden["data/costs_to_go"])
    starts = np.zeros(len(dataset))
    starts[dataset.episode_starts] = 1.0
    close(starts, golden["data/is_init"])


def test_how_often_episodes_are_drawn(golden: dict[str, np.ndarray], dataset: Dataset) -> None:
    linear = episode_weights(dataset.cost_returns, DrawConfig(draw_reference=70.0))
    close(linear, golden["data/sample_probability_70_minus"])
    inverse = episode_weights(dataset.cost_returns, DrawConfig(draw="inverse"))
    close(inverse, golden["data/sample_probability_inverse"])


def test_relabeled_episodes(golden: dict[str, np.ndarray], dataset: Dataset) -> None:
    config = AugmentationConfig(
        augment_share=0.2, frontier_degree=1, most_return=45.0, least_rise=1.0, largest_decrease=3.0, fewest_in_bin=0,
        in_order=False,
    )  # fmt: skip
    returns, costs = dataset.returns, dataset.cost_returns
    order = kept_order(returns, costs, config, np.random.default_rng(0))
    np.testing.assert_array_equal(order, golden["data/augment/filtered_order"])
    points = np.stack([costs[order], returns[order]], -1)
    frontier = fitted_frontier(points, 1)
    close(frontier, golden["data/augment/frontier_coefficients"])
    target_cost = np.linspace(costs.min(), costs.max(), 8)
    low, high = target_bounds(np.polyval(frontier, target_cost), returns, config)
    targets = np.stack([target_cost, low + golden["data/augment/uniform"] * (high - low)], -1)
    close(targets.T, [golden["data/augment/target_cost_return"], golden["data/augment/target_return"]])
    np.testing.assert_array_equal(assigned(points, targets, config, lambda _: 0), golden["data/augment/nearest"])


def test_the_paper_s_sizes() -> None:
    """656,338 parameters at 76 observations, 2 actions and episodes of 300 steps."""
    spec = DataSpec(observation_dim=76, action_dim=2, horizon=300)
    state = jax.eval_shape(lambda key: CDT().init(spec, key), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(state.network)) == 656_338
