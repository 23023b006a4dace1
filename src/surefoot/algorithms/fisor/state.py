"""FISOR's training state, and its initialization."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Key

from surefoot.algorithms.fisor.config import FISORConfig
from surefoot.algorithms.fisor.returns import Frozen, Pairs, freeze
from surefoot.algorithms.fisor.scales import Scales, init_scales
from surefoot.diffusion.policy import DiffusionPolicyState, init_policy
from surefoot.types import DataSpec
from surefoot.values import ValuePair, init_pair


class FISORState(NamedTuple):
    """Training state of FISOR: networks, optimizers, scales."""

    reward: ValuePair
    """V_r and Q_r."""
    constraint: ValuePair
    """V_h and Q_h."""
    policy: DiffusionPolicyState
    scales: Scales | None = None
    """What was measured on the data; None where nothing is."""
    recovery: ValuePair | None = None
    """V_c and Q_c; None where they are not learned."""
    frozen: Frozen | None = None
    """What returns are bootstrapped from; None where values learn from backups."""


def init_state(spec: DataSpec, key: Key[Array, ""], config: FISORConfig) -> FISORState:
    """Fresh networks and optimizers, with scales that change nothing.

    Args:
        spec: Shapes of the data.
        key: Random key of the parameters.
        config: FISOR's hyper-parameters.

    Returns:
        The state before the first update.
    """
    k_reward, k_constraint, k_policy = jax.random.split(key, 3)
    k_recovery, ensemble = jax.random.fold_in(key, 3), config.values.constraint_value_ensemble
    together, training = config.by_returns.value_targets == "returns", config.training

    def pair(pair_key: Key[Array, ""], updates: int, value_ensemble: int | None) -> ValuePair:
        return init_pair(
            spec,
            pair_key,
            hidden=config.values.value_hidden,
            ensemble=config.values.ensemble,
            value_ensemble=value_ensemble,
            optimizer=config.value_optimizer(config.by_returns.value_updates if together else updates),
        )

    recovers = config.by_returns.recovery == "cost"
    state = FISORState(
        reward=pair(k_reward, training.reward_updates, None),
        constraint=pair(k_constraint, training.constraint_updates, ensemble),
        policy=init_policy(spec, k_policy, config=config.diffusion),
        scales=init_scales(spec, config.measured, allowed=config.beyond.margin_over == "allowed"),
        recovery=pair(k_recovery, training.constraint_updates, ensemble) if recovers else None,
    )
    return state._replace(frozen=freeze(pairs_of(state, config))) if together else state


def pairs_of(state: FISORState, config: FISORConfig) -> Pairs:
    """The values and critics that a configuration trains, without those of rewards where there are none.

    Args:
        state: The trained state.
        config: Configuration.

    Returns:
        The pairs.
    """
    return Pairs(state.constraint, state.recovery, state.reward if config.values.reward_values else None)
