"""FOSP's training state, and its initialization."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

from surefoot import world_model
from surefoot.algorithms.fosp.config import FOSPConfig
from surefoot.algorithms.imagination import Spread, init_spread
from surefoot.constraints import AugmentedState, augmented_init
from surefoot.data.frames import ObservationScales
from surefoot.nn import GaussianActor, NormedMLP, init_optimizer
from surefoot.types import DataSpec
from surefoot.world_model import WorldModel


class Critics(NamedTuple):
    """Q of [z, a] and V of z as two-hot logits; `reach` as its form says."""

    q_reward: NormedMLP
    v_reward: NormedMLP
    q_cost: NormedMLP
    v_cost: NormedMLP
    reach: NormedMLP


class Slow(NamedTuple):
    """Slow copies of the critics that have one."""

    q_reward: NormedMLP
    q_cost: NormedMLP
    reach: NormedMLP


class ValueNetworks(NamedTuple):
    """Q and V of one return, and the slow copy of Q."""

    q: NormedMLP
    v: NormedMLP
    slow: NormedMLP


class FOSPState(NamedTuple):
    """Training state of FOSP: world model, critics, actors, multiplier, optimizers."""

    model: WorldModel
    model_optimizer: optax.OptState
    critics: Critics
    slow: Slow
    critics_optimizer: optax.OptState
    actor: GaussianActor
    actor_optimizer: optax.OptState
    offline_actor: GaussianActor
    """Frozen actor of fine-tuning; not read before."""
    lagrangian: AugmentedState
    reward_spread: Spread
    cost_spread: Spread
    scales: ObservationScales | None = None
    """Scales of the observations; None where they are not scaled."""


def init_state(spec: DataSpec, key: Key[Array, ""], config: FOSPConfig, scales: ObservationScales | None) -> FOSPState:
    """Fresh networks and optimizers.

    Args:
        spec: Shapes of the data.
        key: Random key of the parameters.
        config: FOSP's hyper-parameters.
        scales: Scales of the observations, or None.

    Returns:
        The state before the first update.
    """
    k_model, k_critics, k_actor = jax.random.split(key, 3)
    model = world_model.make_world_model(
        k_model, config.world_model, shape=spec.observation_shape, action_dim=spec.action_dim
    )
    critics = _init_critics(k_critics, spec.action_dim, config)
    actor = GaussianActor.create(k_actor, config.world_model.features, config.acting.actor_hidden, spec.action_dim)
    return FOSPState(
        model=model,
        model_optimizer=init_optimizer(world_model.optimizer(config.world_model), model),
        critics=critics,
        slow=jax.tree.map(jnp.copy, slow_of(critics)),
        critics_optimizer=init_optimizer(config.critics.optimizer, critics),
        actor=actor,
        actor_optimizer=init_optimizer(config.extraction.optimizer, actor),
        offline_actor=jax.tree.map(jnp.copy, actor),
        lagrangian=augmented_init(config.cost.lagrangian),
        reward_spread=init_spread(),
        cost_spread=init_spread(),
        scales=scales,
    )


def _init_critics(key: Key[Array, ""], action_dim: int, config: FOSPConfig) -> Critics:
    features, bins = config.world_model.features, config.world_model.bins
    keys = iter(jax.random.split(key, 5))

    def critic(size_in: int, size_out: int) -> NormedMLP:
        return NormedMLP.create(next(keys), size_in, config.hidden, size_out, out_scale=0.0)

    of_action = features + action_dim
    reach = (of_action, bins) if config.reach.reachability == "released" else (features, 1)
    return Critics(
        critic(of_action, bins), critic(features, bins), critic(of_action, bins), critic(features, bins),
        critic(*reach),
    )  # fmt: skip


def slow_of(critics: Critics) -> Slow:
    """The critics of which slow copies are kept."""
    return Slow(critics.q_reward, critics.q_cost, critics.reach)
