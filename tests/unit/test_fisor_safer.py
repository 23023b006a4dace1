"""Candidates moved down the gradient of Q_h."""

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.algorithms.fisor import FISOR
from surefoot.algorithms.fisor.acting import estimate, safer
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.hyperparameters import change
from surefoot.nn import DenoiserConfig
from surefoot.types import DataSpec, PolicyInputs

TINY = DiffusionPolicyConfig(
    network=DenoiserConfig(width=8, blocks=1, expansion=2, frequencies=2, time_width=4), diffusion_steps=2
)
SPEC = DataSpec(observation_dim=3, action_dim=2, horizon=10)


def test_siblings_are_safer_by_the_critic_and_lie_in_the_box() -> None:
    """A step short enough to be linear lowers max Q_h for nearly every candidate, and has the length asked for."""
    agent = change(FISOR(), value_hidden=(16, 16), diffusion=TINY, safer_step=0.01, num_candidates=4)
    state = agent.init(SPEC, jax.random.key(0))
    observation = jax.random.normal(jax.random.key(1), (50, 3))
    actions = jax.random.uniform(jax.random.key(2), (50, 4, 2), minval=-0.9, maxval=0.9)
    moved = safer(state, observation, actions, agent)
    repeated = jnp.repeat(observation, 4, axis=0)
    before = estimate(state, repeated, actions.reshape(-1, 2), agent).q_h
    after = estimate(state, repeated, moved.reshape(-1, 2), agent).q_h
    assert float((after <= before + 1e-6).mean()) > 0.99
    np.testing.assert_allclose(np.linalg.norm(moved - actions, axis=-1), 0.01, rtol=1e-2)
    farther = change(agent, safer_step=5.0)
    far = safer(state, observation, actions, farther)
    assert float(jnp.abs(far).max()) <= 1.0


def test_minqc_with_siblings_is_never_less_safe() -> None:
    """The same candidates are among the choices, so the smallest Q_h cannot grow."""
    plain = change(FISOR(), value_hidden=(16, 16), diffusion=TINY, num_candidates=4)
    helped = change(FISOR(), value_hidden=(16, 16), diffusion=TINY, num_candidates=4, safer_step=0.5)
    state = plain.init(SPEC, jax.random.key(0))
    observation = jax.random.normal(jax.random.key(1), (20, 3))
    values = []
    for agent in (plain, helped):
        _, action = agent.policy(state).act(None, PolicyInputs(observation), jax.random.key(3))
        values.append(np.asarray(estimate(state, observation, action, agent).q_h))
    assert np.all(values[1] <= values[0] + 1e-6)
    assert np.any(values[1] < values[0])
