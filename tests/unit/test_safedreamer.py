"""SafeDreamer's planners: the multiplier by hand, the scale of costs, warm starts, and when episodes count."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms.imagination import imagine_actions
from surefoot.algorithms.safedreamer import SafeDreamer, SafeDreamerState
from surefoot.algorithms.safedreamer.planner import evaluation
from surefoot.constraints import EpisodePIDConfig, EpisodePIDState, episode_pid_init, episode_pid_update
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change
from surefoot.planning import CrossEntropyConfig
from surefoot.types import DataSpec, PolicyInputs
from surefoot.world_model import WorldModelConfig, initial

MODEL = WorldModelConfig(
    encoder="mlp", channels=(8,), deterministic=8, hidden=8, groups=2, classes=4, head_hidden=(8,), bins=21
)
OSRP_LAG = change(
    SafeDreamer(), form="osrp-lag", world_model=MODEL, horizon=3, hidden=(8,), actor_hidden=(8,),
    planner=CrossEntropyConfig(num_samples=12, num_policy_samples=4, iterations=2, num_elites=4),
    pid=EpisodePIDConfig(after_steps=20),
)  # fmt: skip
SPEC = DataSpec(observation_dim=3, action_dim=1, horizon=30)


@pytest.fixture(scope="module")
def state() -> SafeDreamerState:
    return jax.jit(lambda key: OSRP_LAG.init(SPEC, key))(jax.random.key(0))


def pid_after(costs: list[float], **changes: Any) -> EpisodePIDState:
    config = EpisodePIDConfig(**{"after_steps": 0, **changes})
    state = episode_pid_init(config)
    for cost in costs:
        state = episode_pid_update(state, jnp.float32(cost), jnp.float32(10.0), limit=2.0, config=config)
    return state


def test_the_multiplier_by_hand() -> None:
    # One episode of cost 2.5: every mean starts there. delta = Delta = 0.5, I = 0.005, no rise yet.
    first = pid_after([2.5])
    np.testing.assert_allclose(first.multiplier, 0.1 * 0.5 + 0.005, rtol=1e-5)
    # A second of cost 4.5: EMA(0.99) = 2.52, delta = 0.52; Delta = 0.95 * 0.5 + 0.05 * 0.52 = 0.501;
    # I = 0.005 + 0.0052 = 0.0102; EMA(0.95) = 2.6, which was 2.5 at first: D = 0.1.
    second = pid_after([2.5, 4.5])
    np.testing.assert_allclose(second.integral, 0.0102, rtol=1e-4)
    np.testing.assert_allclose(second.multiplier, 0.1 * 0.501 + 0.0102 + 0.01 * 0.1, rtol=1e-4)
    np.testing.assert_allclose(pid_after([50.0]).multiplier, 0.1)  # the most
    assert pid_after([0.0, 0.0, 0.0]).multiplier == 0.0
    assert pid_after([0.0, 0.0, 0.0]).integral == 0.0  # does not wind up below 0


def test_a_rise_is_measured_over_the_delay() -> None:
    """The proportional and the integral part off: what is left is 0.01 times the rise of EMA(0.5) over 2 episodes."""
    changes: dict[str, Any] = {"proportional": 0.0, "integral": 0.0, "smoothing": 0.5, "delay": 2}
    # EMAs of (0, 4, 4, 4): 0, 2, 3, 3.5. After the third: 3 - 0. After the fourth: 3.5 - 2.
    np.testing.assert_allclose(pid_after([0.0, 4.0, 4.0], **changes).multiplier, 0.03, rtol=1e-5)
    np.testing.assert_allclose(pid_after([0.0, 4.0, 4.0, 4.0], **changes).multiplier, 0.015, rtol=1e-5)
    assert pid_after([4.0, 0.0, 0.0], **changes).multiplier == 0.0  # a fall counts nothing


def test_episodes_move_the_multiplier_once_there_were_steps_enough(state: SafeDreamerState) -> None:
    """Steps of 10 an episode, more than 20 asked for: the third episode is the first that counts."""
    ten = jnp.full(4, 10.0)
    after = OSRP_LAG.after_episodes(state, jnp.array([9.0, 9.0, 2.5, 4.5]), ten)
    np.testing.assert_allclose(after.pid.multiplier, pid_after([2.5, 4.5]).multiplier, rtol=1e-6)
    assert after.pid.steps == 40.0
    assert OSRP_LAG.after_episodes(state, jnp.full(2, 9.0), ten[:2]).pid.multiplier == 0.0
    osrp = change(OSRP_LAG, form="osrp")
    assert osrp.after_episodes(state, jnp.full(4, 9.0), ten) is state


def test_costs_are_scaled_to_the_decisions_of_an_episode(state: SafeDreamerState) -> None:
    """HazardRun's 30 steps over a horizon of 3: ten times the imagined sum. The authors' code: 1000 / 3 times."""
    assert state.episode_steps == 30.0
    assert change(OSRP_LAG, episode_steps=1000).init(SPEC, jax.random.key(0)).episode_steps == 1000.0
    latent = initial(state.model, 2)
    sequences = jax.random.uniform(jax.random.key(1), (2, 5, 3, 1), minval=-1.0)
    key = jax.random.key(2)
    flat = jnp.moveaxis(sequences.reshape(10, 3, 1), 1, 0)
    start = jax.tree.map(lambda leaf: jnp.repeat(leaf, 5, 0), latent)
    rollout = imagine_actions(state.model, start, flat, key, discount=OSRP_LAG.imagination.discount, config=MODEL)
    for steps, factor in ((30.0, 10.0), (1000.0, 1000.0 / 3.0)):
        evaluate = evaluation(state.model, state.critics, latent, jnp.float32(0.5), jnp.float32(steps), config=OSRP_LAG)
        returns, costs = evaluate(sequences, key)
        np.testing.assert_allclose(costs.reshape(-1), factor * rollout.cost.sum(0), rtol=1e-5)
        reward = rollout.returns(rollout.reward, state.critics.reward, mixing=OSRP_LAG.imagination.mixing)[0]
        cost = rollout.returns(rollout.cost, state.critics.cost, mixing=OSRP_LAG.imagination.mixing)[0]
        np.testing.assert_allclose(returns.reshape(-1), reward - 0.5 * cost, atol=1e-5)


def test_the_policy_carries_its_plan_from_step_to_step(state: SafeDreamerState) -> None:
    policy = OSRP_LAG.policy(state)
    inputs = PolicyInputs(jnp.ones((2, 3)))
    act = jax.jit(policy.act)
    carry, action = act(policy.initial(2), inputs, jax.random.key(0))
    assert action.shape == (2, 1)
    assert (np.asarray(policy.initial(2).memory.mean) == 0).all()
    assert (np.asarray(carry.memory.mean[:, :2]) != 0).all()
    assert (np.asarray(carry.memory.mean[:, 2]) == 0).all()
    # With nothing drawn and the old mean kept, the next plan is the last one a step later: its first action is done.
    still = change(OSRP_LAG, planner=CrossEntropyConfig(num_samples=4, iterations=1, num_elites=4, std=1e-6))
    _, following = still.policy(state).act(carry, inputs, jax.random.key(1))
    np.testing.assert_allclose(following, carry.memory.mean[:, 0], atol=1e-4)
    metrics = OSRP_LAG.acting_metrics(state, carry)
    assert 0.0 <= metrics["plan/safe_share"] <= 1.0
    assert metrics["plan/multiplier"] == 0.0


def test_the_multiplier_acts_in_osrp_lag_only(state: SafeDreamerState) -> None:
    heavy = state._replace(
        pid=state.pid._replace(multiplier=jnp.float32(1e3)),
        critics=jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(3), leaf.shape), state.critics),
    )
    light = heavy._replace(pid=state.pid)
    inputs, key = PolicyInputs(jnp.ones((3, 3))), jax.random.key(0)

    def acting(form: Any) -> Any:
        algorithm = change(OSRP_LAG, form=form, episode_cost_limit=1e9)

        def act(state: SafeDreamerState) -> jax.Array:
            policy = algorithm.policy(state)
            return policy.act(policy.initial(3), inputs, key)[1]

        return jax.jit(act)

    osrp, osrp_lag = acting("osrp"), acting("osrp-lag")
    np.testing.assert_array_equal(osrp(heavy), osrp(light))
    np.testing.assert_allclose(osrp_lag(light), osrp(light), atol=1e-5)
    assert (np.abs(osrp_lag(heavy) - osrp_lag(light)) > 1e-3).any()


def test_configurations_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="episode_steps: expected at least 1, found 0"):
        change(OSRP_LAG, episode_steps=0)
    with pytest.raises(ConfigError, match="delay: expected at least 1, found 0"):
        EpisodePIDConfig(delay=0)
    with pytest.raises(ConfigError, match=r"smoothing: expected a number in \[0, 1\), found 1"):
        EpisodePIDConfig(smoothing=1.0)
