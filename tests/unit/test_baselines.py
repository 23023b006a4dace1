"""Faults of OSRL's code: each is there with the preset `legacy` of a baseline and gone by default."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot import presets
from surefoot.algorithms import baseline, bcq_lag, cpq
from surefoot.algorithms.baseline import RewardAndCost
from surefoot.algorithms.bcq_lag import BCQLag
from surefoot.algorithms.cpq import CPQ
from surefoot.constraints import LimitConfig, PIDGains, discounted_cost_limit
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change
from surefoot.nn import MLP, Dense, VAEConfig
from surefoot.nn.offline import Trained
from surefoot.tasks import Signal, get_task
from surefoot.types import DataSpec, PolicyInputs, Transition

SPEC, ROWS = DataSpec(observation_dim=3, action_dim=2, horizon=100), 8
FORMS = ("paper", "legacy")


def config(name: str, preset: str, **changes: Any) -> Any:
    sizes: dict[str, Any] = {"hidden": (8,), "vae": VAEConfig(hidden=8), "cost_limit": 10.0, "horizon": 100}
    return change(presets.build(name, get_task("BallRun"), preset=preset), **sizes | changes)


def batch(**columns: Any) -> Transition:
    rng = np.random.default_rng(0)
    zeros = jnp.zeros(ROWS)
    drawn = lambda *shape: jnp.asarray(rng.uniform(-1, 1, shape), jnp.float32)  # noqa: E731
    given: dict[str, Any] = dict.fromkeys(Transition._fields, zeros)
    given |= {"observation": drawn(ROWS, 3), "action": drawn(ROWS, 2), "next_observation": drawn(ROWS, 3)}
    return Transition(**given | columns)


def constant(critic: Any, values: Any) -> Any:
    """RewardAndCost whose members say these numbers of everything."""
    zeros = jax.tree.map(jnp.zeros_like, critic)
    last = Dense(zeros.layers[-1].kernel, jnp.asarray(values, jnp.float32)[:, None])
    return MLP((*zeros.layers[:-1], last))


def fixed(trained: Trained, values: Any) -> Trained:
    return trained._replace(network=constant(trained.network, values), target=constant(trained.target, values))


def updated_costs(preset: str, **changes: Any) -> tuple[Any, dict[str, Any]]:
    """CPQ's cost critic after an update that begins with these parts of the state, and the metrics."""
    algorithm: CPQ = config("cpq", preset, num_actions=4)
    state = algorithm.init(SPEC, jax.random.key(0))._replace(**changes)
    after, metrics = jax.jit(algorithm.update, static_argnames="phase")(
        state, batch(), jax.random.key(1), phase="joint"
    )
    return jax.tree.leaves(after.critics.cost.network), metrics


@pytest.mark.parametrize(("preset", "matters"), list(zip(FORMS, (True, False), strict=True)))
def test_1_alpha_moves_the_cost_critic_of_cpq(preset: str, matters: bool) -> None:
    (low, _), (high, _) = (updated_costs(preset, log_alpha=jnp.float32(value)) for value in (0.0, 5.0))
    same = all(np.array_equal(one, other) for one, other in zip(low, high, strict=True))
    assert same != matters


@pytest.mark.parametrize(("preset", "expected"), list(zip(FORMS, (2.0, 0.5), strict=True)))
def test_2_the_mean_cost_of_unsupported_actions_is_over_them_alone(preset: str, expected: float) -> None:
    """A quarter of 32 actions is unsupported: (8 * 2 + 24 * 0) / 32 = 0.5."""
    algorithm: CPQ = config("cpq", preset)
    critics = algorithm.init(SPEC, jax.random.key(0)).critics
    _, metrics = updated_costs(preset, critics=RewardAndCost(critics.reward, fixed(critics.cost, [2.0, 2.0])))
    assert float(metrics["cost/unsupported"]) == pytest.approx(expected)


@pytest.mark.parametrize(("preset", "inside"), list(zip(FORMS, (True, False), strict=True)))
def test_2_unsupported_actions_are_squashed(preset: str, inside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm: CPQ = config("cpq", preset, num_actions=4)
    seen: list[Any] = []
    find = cpq.unsupported_actions

    def keep(*arguments: Any, **options: Any) -> Any:
        seen.append(find(*arguments, **options))
        return seen[0]

    monkeypatch.setattr(cpq, "unsupported_actions", keep)
    state = algorithm.init(SPEC, jax.random.key(0))
    noise = cpq.draw_noise(jax.random.key(1), batch().action, 4, 4)

    def actions(state: Any) -> Any:
        cpq.step_cost(state, batch(), noise._replace(candidates=5.0 * noise.candidates), algorithm)
        return seen[0][1]

    assert (np.abs(jax.jit(actions)(state)).max() <= 1) == inside


@pytest.mark.parametrize(("preset", "expected"), list(zip(FORMS, (4.0, 1.0), strict=True)))
def test_3_the_cautious_cost_of_an_ensemble_is_the_largest(preset: str, expected: float) -> None:
    algorithm: BCQLag = config("bcq_lag", preset)
    critics = algorithm.init(SPEC, jax.random.key(0)).critics
    critics = RewardAndCost(critics.reward, fixed(critics.cost, [1.0, 2.0, 3.0, 4.0]))
    how = algorithm.training.cost_reduction
    cost, _ = baseline.values_of(critics, batch().observation, batch().action, how)
    np.testing.assert_allclose(cost, expected)
    mixture = baseline.group_mixture(jnp.asarray([[1.0], [2.0], [3.0], [4.0]]), how)
    # Groups (1, 2) and (3, 4): 0.75 * 4 + 0.25 * 2 of the largest, 0.75 * 1 + 0.25 * 3 of the smallest.
    assert float(mixture[0]) == {"paper": 3.5, "legacy": 1.5}[preset]


@pytest.mark.parametrize(
    ("preset", "rewards", "costs"), [("paper", [0, 1, 1], [0, 1, 1]), ("legacy", [0, 0, 1], [1, 1, 1])]
)
def test_4_only_termination_ends_rewards_and_costs(preset: str, rewards: list[int], costs: list[int]) -> None:
    ended = jnp.asarray([1.0, 0.0, 0.0]), jnp.asarray([0.0, 1.0, 0.0])
    found = baseline.continues(
        batch()._replace(terminated=ended[0], truncated=ended[1]), config("cpq", preset).training
    )
    np.testing.assert_array_equal(found, [rewards, costs])


@pytest.mark.parametrize(("preset", "within"), list(zip(FORMS, (True, False), strict=True)))
def test_5_a_policy_that_spends_its_limit_evenly_is_within_it(preset: str, within: bool) -> None:
    """0.1 a step for ever is worth 0.1 / (1 - 0.99) = 10; of 100 steps alone 10 (1 - 0.99^100) = 6.34."""
    algorithm = config("cpq", preset)
    assert (algorithm.threshold * (1 + 1e-6) >= 0.1 / (1 - 0.99)) == within
    assert discounted_cost_limit(10.0, discount=0.99, horizon=100, form="infinite") == pytest.approx(10.0)
    assert LimitConfig(10.0, 100, "finite").discounted(0.99) == pytest.approx(6.3397, abs=1e-4)


def linear(critic: MLP, slope: float) -> MLP:
    """Every member says `slope` times the first number of the action; for critics without hidden layers."""
    kernel = jnp.zeros_like(critic.layers[0].kernel).at[:, 3].set(slope)
    return MLP((Dense(kernel, jnp.zeros_like(critic.layers[0].bias)),))


@pytest.mark.parametrize(("preset", "expected"), list(zip(FORMS, (-0.5, 0.5), strict=True)))
def test_6_the_cost_target_is_that_of_the_candidate_with_the_largest_value(preset: str, expected: float) -> None:
    """Q = a, Q_c = -a, candidates -0.5 and 0.5: the second is chosen and costs -0.5."""
    algorithm: BCQLag = config("bcq_lag", preset)
    fresh = baseline.init_critics(SPEC, jax.random.key(0), algorithm.training, groups=2)
    one = MLP((Dense(jnp.zeros((4, 5, 1)), jnp.zeros((4, 1))),))
    critics = RewardAndCost(
        fresh.reward._replace(target=linear(one, 1.0)), fresh.cost._replace(target=linear(one, -1.0))
    )
    candidates = jnp.stack([jnp.full((ROWS, 2), -0.5), jnp.full((ROWS, 2), 0.5)])
    how, observation = algorithm.training.cost_reduction, batch().next_observation
    if algorithm.training.reference_code:
        values = baseline.reference_candidate_values(critics, observation, (candidates, candidates), how)
    else:
        values = baseline.candidate_values(critics, observation, candidates, how)
    np.testing.assert_allclose(values[0], 0.5)
    np.testing.assert_allclose(values[1], expected)


@pytest.mark.parametrize(("preset", "best"), list(zip(FORMS, (True, False), strict=True)))
def test_7_bcq_acts_with_the_best_candidate_within_the_limit(preset: str, best: bool) -> None:
    algorithm: BCQLag = config("bcq_lag", preset, cost_limit=1e6, num_candidates=16)
    state = algorithm.init(SPEC, jax.random.key(0))
    observation = batch().observation

    def value_and_best(state: Any) -> Any:
        policy = algorithm.policy(state)
        _, action = policy.act(policy.initial(ROWS), PolicyInputs(observation), jax.random.key(2))
        latent = jnp.clip(jax.random.normal(jax.random.key(2), (16, ROWS, 4)), -0.5, 0.5)
        every = bcq_lag.candidates_of(state.vae.network, state.actor.network, observation, latent, algorithm)
        values = jnp.stack([algorithm.action_value(state, observation, one) for one in every])
        return algorithm.action_value(state, observation, action), values.max(0)

    acted, largest = jax.jit(value_and_best)(state)
    assert np.allclose(acted, largest, atol=1e-6) == best


@pytest.mark.parametrize("name", ["cpq", "bcq_lag", "bear_lag"])
def test_the_cost_to_come_is_that_of_the_policy_s_action(name: str) -> None:
    """Q_c = 3 a_0, one member's 2 a_0: the larger, of the action that the policy takes."""
    algorithm = config(name, "small", hidden=(4,))
    state = algorithm.init(SPEC, jax.random.key(0))
    members = len(state.critics.cost.network.layers[0].bias)
    one = linear(MLP((Dense(jnp.zeros((members, 5, 1)), jnp.zeros((members, 1))),)), 1.0)
    slopes = jnp.full((members, 1, 1), 3.0).at[0].set(2.0)
    critic = MLP((Dense(one.layers[0].kernel * slopes, one.layers[0].bias),))
    state = state._replace(critics=state.critics._replace(cost=state.critics.cost._replace(network=critic)))
    policy, observation = algorithm.policy(state), batch().observation
    _, action = policy.act(policy.initial(ROWS), PolicyInputs(observation), jax.random.key(0))
    expected = np.where(action[:, 0] > 0, 3.0, 2.0) * action[:, 0]
    np.testing.assert_allclose(algorithm.cost_to_come(state, observation), expected, rtol=1e-5)


def test_7_without_a_candidate_within_the_limit_the_cheapest_acts() -> None:
    value, cost = jnp.asarray([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), jnp.asarray([[0.1, 9.0], [0.2, 7.0], [5.0, 8.0]])
    candidates = jnp.arange(6.0).reshape(3, 2, 1)
    chosen = baseline.choose_within_limit(value, cost, candidates, limit=1.0)
    np.testing.assert_array_equal(chosen, [[2.0], [3.0]])  # of the first state the second, of the second the cheapest


@pytest.mark.parametrize(("preset", "most"), list(zip(FORMS, (20.0, 301.0), strict=True)))
def test_8_the_multiplier_of_a_constant_excess_has_a_bound(preset: str, most: float) -> None:
    """K_I of 0.003 in each of 100,000 updates is 300; the loss is divided by 1 + lambda by default."""
    algorithm: BCQLag = config("bcq_lag", preset)
    cost = jnp.full(ROWS, algorithm.threshold + 1.0)

    @jax.jit
    def run() -> Any:
        def once(state: Any, _: None) -> Any:
            loss, moved = baseline.penalized(
                jnp.float32(0.0), cost, state, limit=algorithm.threshold, gains=algorithm.gains
            )
            return moved, loss

        return jax.lax.scan(once, baseline.init_multiplier(algorithm.training), None, length=100_000)

    state, losses = run()
    assert float(state.multiplier) == pytest.approx(most, abs=1.0)
    assert (float(losses[-1]) <= 1.0) == (preset == "paper")


@pytest.mark.parametrize("stranded", [False, True])
def test_21_where_no_action_is_within_the_limit_the_policy_of_cpq_may_learn_to_cost_less(stranded: bool) -> None:
    algorithm: CPQ = config("cpq", "paper", cost_limit=0.0, stranded=stranded)
    state = algorithm.init(SPEC, jax.random.key(0))
    network = state.critics.cost.network
    above = Dense(network.layers[-1].kernel, network.layers[-1].bias + 10.0)
    critics = state.critics._replace(cost=state.critics.cost._replace(network=MLP((network.layers[0], above))))

    def gradient(actor: Any) -> Any:
        noise = jnp.zeros((ROWS, 2))
        return jax.grad(cpq.actor_loss, has_aux=True)(actor, critics, batch().observation, noise, algorithm)

    slope, metrics = jax.jit(gradient)(state.actor.network)
    assert float(metrics["actor/within_limit"]) == 0.0
    assert any(np.any(leaf) for leaf in jax.tree.leaves(slope)) == stranded


# --- limits ---


@pytest.mark.parametrize("name", presets.TRAINED_FOR_A_LIMIT)
def test_a_limit_comes_from_the_task_and_is_asked_for_where_it_has_none(name: str) -> None:
    assert presets.build(name, get_task("BallRun")).limit.cost_limit == 5.0
    without = replace(get_task("BallRun"), constraints=(Signal(),))
    algorithm = presets.build(name, without)
    with pytest.raises(ConfigError, match=r"^cost_limit: expected the cost that an episode may have, found none; "):
        algorithm.prepare(None, without)
    with pytest.raises(ConfigError, match=r"cost_limit: expected a number in \[0, inf\), found -1"):
        change(algorithm, cost_limit=-1.0)


def test_the_gains_have_a_bound() -> None:
    assert isinstance(baseline.LAGRANGIAN_GAINS, PIDGains)
    assert baseline.LAGRANGIAN_GAINS.most == 20.0
