"""FOSP: weights by hand, what the critics learn from, and that a frozen actor stays frozen."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms.fosp import FOSP, Choices, FOSPState
from surefoot.algorithms.fosp.agent import best_action, online_probability
from surefoot.algorithms.fosp.config import FOSPConfig
from surefoot.algorithms.fosp.losses import action_weights, infeasibility, reach_loss
from surefoot.algorithms.fosp.state import Critics, Slow
from surefoot.algorithms.imagination import ImaginedRollout, Steps
from surefoot.data.frames import Frames, ObservationScales
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change
from surefoot.nn import NormedMLP
from surefoot.nn.networks import Dense
from surefoot.tasks import get_task
from surefoot.testing.checks import dataset
from surefoot.types import DataSpec, PolicyInputs
from surefoot.world_model import WorldModelConfig

MODEL = WorldModelConfig(
    encoder="mlp", channels=(8,), deterministic=8, hidden=8, groups=2, classes=4, head_hidden=(8,), bins=21
)
TINY = change(
    FOSP(), joint_updates=5, batch_size=2, window=4, world_model=MODEL, horizon=2, hidden=(8,), actor_hidden=(8,),
    act_with="mean",
)  # fmt: skip
SPEC = DataSpec(observation_dim=3, action_dim=1, horizon=10)


def frames(cost: float = 0.0) -> Frames:
    rng = np.random.default_rng(0)
    flags = jnp.zeros((2, 4), bool)
    return Frames(
        observation=jnp.asarray(rng.normal(size=(2, 4, 3)), jnp.float32),
        action=jnp.asarray(rng.uniform(-1, 1, (2, 4, 1)), jnp.float32),
        reward=jnp.asarray(rng.normal(size=(2, 4)), jnp.float32),
        cost=jnp.full((2, 4), cost),
        is_first=flags.at[:, 0].set(True),
        terminated=flags,
    )


@pytest.fixture(scope="module")
def state() -> FOSPState:
    return jax.jit(lambda key: TINY.init(SPEC, key))(jax.random.key(0))


def bits(tree: object) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def test_the_weights_of_actions_by_hand() -> None:
    numbers: dict[str, Any] = {
        "reward_advantage": jnp.array([0.0, 0.5, 9.0, 0.5]),
        "cost_advantage": jnp.array([0.0, 0.5, 9.0, 0.5]),
        "q_cost": jnp.array([0.05, 0.2, 0.05, 0.2]),
        "p": jnp.array([0.25, 0.25, 0.5, 1.0]),
    }
    settings: dict[str, Any] = {"reward_temperature": 2.0, "cost_temperature": 1.0, "cost_slack": 0.1}
    found = action_weights(**numbers, weighting="feasibility", **settings)
    # 0.25 + 0.75; 0.25 e^0.5, the action costs too much; 0.5 * 150 + 0.5 * 100; e^0.5, whatever the reward
    np.testing.assert_allclose(found, [1.0, 0.25 * np.e**0.5, 125.0, np.e**0.5], rtol=1e-5)
    np.testing.assert_allclose(action_weights(**numbers, weighting="cloning", **settings), np.ones(4))
    blind = action_weights(**numbers, weighting="reward", **settings)
    np.testing.assert_allclose(blind, [1.0, np.e, 100.0, np.e], rtol=1e-5)


def linear(weights: list[float], bins: int = 21) -> NormedMLP:
    """A two-hot critic whose logits lean to higher bins by weights @ inputs."""
    slopes = jnp.linspace(-1.0, 1.0, bins)
    return NormedMLP((), Dense(jnp.outer(jnp.array(weights), slopes), -3.0 * slopes**2))


def test_expansion_takes_the_better_action_in_each_environment() -> None:
    """Q of the reward rises with the action: in the first environment the online action is far better, in the second
    the offline one, in the third they are alike. The cost's Q says nothing."""
    critics = Critics(linear([0.0, 8.0]), *[linear([0.0, 0.0])] * 4)
    features = jnp.zeros((3, 1))
    online, offline = jnp.array([[1.0], [-1.0], [0.5]]), jnp.array([[-1.0], [1.0], [0.5]])
    chance = online_probability(critics, features, online, offline, temperature=5.0, cost_weight=0.1)
    assert chance[0] > 0.999
    assert chance[1] < 0.001
    np.testing.assert_allclose(chance[2], 0.5, atol=1e-6)
    # A cost that rises with the action speaks against it, at a tenth of the weight.
    costly = critics._replace(q_reward=linear([0.0, 0.0]), q_cost=linear([0.0, 8.0]))
    against = online_probability(costly, features, online, offline, temperature=5.0, cost_weight=0.1)
    assert against[0] < 0.01
    np.testing.assert_allclose(against[0], 1 - against[1], atol=1e-5)


def test_the_best_candidate_earns_most_among_those_that_cost_nothing() -> None:
    """Q of reward and of cost both rise with the action. In two environments: -1, 0 and 1, and 0.5, 0.8 and 1."""
    slow = Slow(linear([0.0, 8.0]), linear([0.0, 8.0]), linear([0.0, 0.0]))
    candidates = jnp.array([[[-1.0], [0.8]], [[0.0], [0.5]], [[1.0], [1.0]]])
    features = jnp.zeros((2, 1))
    # Q_c of 0 is 0, that of -1 negative: those two are allowed in the first, none in the second, where the least acts.
    chosen = best_action(slow, features, candidates, slack=0.1)
    np.testing.assert_allclose(chosen[:, 0], [0.0, 0.5])
    np.testing.assert_allclose(best_action(slow, features, candidates, slack=1e9)[:, 0], [1.0, 1.0])


def test_candidates_are_the_actors_own_action_and_draws_from_it(state: FOSPState) -> None:
    """A reward that rises with the action and no cost: more candidates, a larger action, never a smaller one than the
    mean; one candidate is the mean."""
    blind = state._replace(
        slow=Slow(linear([0.0] * MODEL.features + [8.0]), linear([0.0] * (MODEL.features + 1)), state.slow.reach)
    )
    inputs = PolicyInputs(jnp.tile(frames().observation[:1, 0], (32, 1)))
    actions = []
    for count in (1, 2, 16):
        policy = change(TINY, num_candidates=count).policy(blind)
        actions.append(policy.act(policy.initial(32), inputs, jax.random.key(0))[1])
    mean, two, many = (float(action.mean()) for action in actions)
    assert (actions[1] >= actions[0] - 1e-6).all()
    assert mean + 0.05 < two
    assert two + 0.05 < many
    assert float(jnp.abs(jnp.stack(actions)).max()) <= 1.0


def test_a_frozen_actor_stays_the_same_to_the_byte(state: FOSPState) -> None:
    online = change(TINY, expansion=True)
    update = jax.jit(online.update, static_argnames="phase")
    frozen = online.frozen(state)
    assert bits(frozen.offline_actor) == bits(state.actor)
    trained = frozen
    for number in range(3):
        trained, metrics = update(trained, frames(cost=1.0), jax.random.key(number), phase="joint")
        assert all(np.isfinite(value) for value in metrics.values())
    assert bits(trained.offline_actor) == bits(state.actor)
    assert bits(trained.actor) != bits(state.actor)
    policy = online.policy(trained)
    carry, action = policy.act(policy.initial(2), PolicyInputs(frames().observation[:, 0]), jax.random.key(0))
    assert action.shape == (2, 1)
    assert not carry.is_first.any()
    np.testing.assert_array_equal(carry.memory.steps, [1, 1])
    # 3 of 4 steps and 1 of 4: half of all.
    counted = carry._replace(memory=Choices(jnp.array([3, 1]), jnp.array([4, 4])))
    assert online.acting_metrics(trained, counted)["act/online_rate"] == 0.5
    assert TINY.acting_metrics(trained, counted) == {}


def test_a_world_model_is_led_on_by_what_was_applied(state: FOSPState) -> None:
    policy = TINY.policy(TINY.frozen(state))
    inputs = PolicyInputs(frames().observation[:, 0])
    carry, action = policy.act(policy.initial(2), inputs._replace(applied=jnp.full((2, 1), 0.7)), jax.random.key(0))
    chosen, told, other = (
        policy.act(carry, inputs._replace(applied=one), jax.random.key(1))[0].latent
        for one in (None, action, action - 0.5)
    )
    first = policy.act(policy.initial(2), inputs, jax.random.key(0))[0].latent
    for one, same in zip(jax.tree.leaves(carry.latent), jax.tree.leaves(first), strict=True):
        np.testing.assert_array_equal(one, same)  # nothing was applied before an episode's first step
    np.testing.assert_array_equal(told.features, chosen.features)
    assert (np.abs(np.asarray(other.features - told.features)) > 1e-4).any()


def test_before_the_actors_differ_expansion_changes_nothing(state: FOSPState) -> None:
    frozen = TINY.frozen(state)
    inputs = PolicyInputs(frames().observation[:, 0])
    actions = []
    for algorithm in (TINY, change(TINY, expansion=True)):
        policy = algorithm.policy(frozen)
        actions.append(policy.act(policy.initial(2), inputs, jax.random.key(0))[1])
    np.testing.assert_allclose(actions[0], actions[1], rtol=1e-6)


def settings(**changes: Any) -> FOSPConfig:
    return change(TINY, **changes)


def steps(cost: float) -> Steps:
    one, z = jnp.ones(6), jnp.asarray(np.random.default_rng(1).normal(size=(6, 4)), jnp.float32)
    return Steps(z, jnp.zeros((6, 1)), z, one, cost * one, cost * one, one, one, one)


def rollout() -> ImaginedRollout:
    h_n = jnp.ones((2, 3))
    z = jnp.asarray(np.random.default_rng(2).normal(size=(3, 3, 4)), jnp.float32)
    return ImaginedRollout(z, jnp.zeros((2, 3, 1)), h_n, 0.0 * h_n, 0.9 * h_n, jnp.ones((3, 3)))


def trained_reach(cost: float, **changes: Any) -> float:
    """Mean p after 150 steps on data that cost `cost` everywhere."""
    config = settings(**changes)
    size = (5, 21) if config.reach.reachability == "released" else (4, 1)
    first = NormedMLP.create(jax.random.key(0), size[0], (8,), size[1], out_scale=0.0)
    slope = jax.jit(jax.grad(lambda net: reach_loss(net, net, steps(cost), rollout(), config=config)[0]))
    network = first
    for _ in range(150):
        network = jax.tree.map(lambda leaf, slope: leaf - 0.3 * slope, network, slope(network))
    data = steps(cost)
    return float(infeasibility(network, data.features, data.action, form=config.reach.reachability).mean())


@pytest.mark.parametrize("form", ["ref", "hj"])
def test_feasibility_depends_on_the_cost(form: str) -> None:
    changes = {"reachability": form, "reach_discount": 0.5, "imagined_branch": False}
    assert trained_reach(1.0, **changes) > 0.9
    assert trained_reach(0.0, **changes) < 0.1


def test_the_released_form_never_sees_a_cost() -> None:
    assert trained_reach(0.0, reachability="released") == trained_reach(1.0, reachability="released")


def test_configurations_that_cannot_be_are_refused() -> None:
    for changes, sentence in (
        ({"discount": 1.0}, r"discount: expected a number in \(0, 1\), found 1"),
        ({"num_candidates": 0}, "num_candidates: expected at least 1, found 0"),
        ({"window": 1}, "window: expected at least 2, found 1"),
        (
            {"data_branch": False, "imagined_branch": False},
            "data_branch: expected it or imagined_branch",
        ),
        (
            {"reachability": "released", "imagined_branch": False},
            "imagined_branch: expected True with reachability released",
        ),
        ({"weighting": "cloning", "actor_mode": "backprop"}, "weighting: expected feasibility or reward"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            change(TINY, **changes)


def test_units_of_observations_do_not_matter(state: FOSPState) -> None:
    """Metres, or millimetres far from home: an algorithm that scales them acts the same."""
    algorithm = change(TINY, scale_observations=True)
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(64, 3)).astype(np.float32)
    unit, home = np.array([1.0, 1000.0, 0.01], np.float32), np.array([0.0, 5e4, 2.0], np.float32)

    @jax.jit
    def act(scales: ObservationScales, observation: jax.Array) -> jax.Array:
        policy = algorithm.policy(state._replace(scales=scales))
        return policy.act(policy.initial(64), PolicyInputs(observation), jax.random.key(0))[1]

    found = act(ObservationScales.of(rows), jnp.asarray(rows))
    other = rows * unit + home
    np.testing.assert_allclose(act(ObservationScales.of(other), jnp.asarray(other)), found, atol=1e-3)
    assert np.ptp(found) > 0.01  # actions that know the observation
    unscaled = act(ObservationScales.none(3), jnp.asarray(rows))
    assert np.abs(act(ObservationScales.none(3), jnp.asarray(other)) - unscaled).max() > 0.01
    with pytest.raises(ConfigError, match="scale_observations: expected False for HazardRun, whose observations are"):
        algorithm.prepare(dataset(), get_task("HazardRun"))
