"""TREBI's training state, and its initialization."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from surefoot.algorithms.trebi.config import TREBIConfig, TREBITraining
from surefoot.algorithms.trebi.segments import TIME_BINS, Normalizer
from surefoot.errors import ConfigError
from surefoot.nn import TemporalUNet, TrajectoryValue, apply_gradient, init_optimizer, move_towards
from surefoot.types import DataSpec


class Averaged(NamedTuple):
    """A network, its moving average for planning, and its optimizer's state."""

    network: Any
    average: Any
    optimizer: optax.OptState
    updates: Int[Array, ""]


class TREBIState(NamedTuple):
    """Training state of TREBI: networks, optimizers, normalization, calibrated residuals."""

    model: Averaged
    """The denoiser, a `TemporalUNet`."""
    values: Averaged
    """`TrajectoryValue`s with a leading member axis."""
    normalizer: Normalizer
    residuals: Float[Array, "bins 101"]
    """Quantiles of realized minus predicted cost of held-out segments, by the share of the episode left."""
    longest: Float[Array, ""]
    """Longest episode, in environment steps."""


def init_state(
    spec: DataSpec, key: Key[Array, ""], config: TREBIConfig, statistics: Normalizer | None = None
) -> TREBIState:
    """Fresh networks and optimizers, with the normalization of the data.

    Args:
        spec: Shapes of the data.
        key: Random key of the parameters.
        config: TREBI's hyper-parameters.
        statistics: Normalization of the data; None: the identity.

    Returns:
        The state before the first update.

    Raises:
        ConfigError: A plan is longer than the longest episode.
    """
    if config.plan_horizon > spec.horizon:
        raise ConfigError(
            f"plan_horizon: expected at most {spec.horizon} steps, as the longest episode has, "
            f"found {config.plan_horizon}."
        )
    k_model, k_values = jax.random.split(key)
    width, training = spec.action_dim + spec.observation_dim, config.training
    model = TemporalUNet.create(k_model, spec.observation_dim, spec.action_dim, config.network)
    return TREBIState(
        model=init_averaged(model, training.optimizer(training.model_updates)),
        values=init_averaged(create_values(k_values, width, config), training.optimizer(training.value_updates)),
        normalizer=Normalizer.none(width) if statistics is None else statistics,
        residuals=jnp.zeros((TIME_BINS, 101)),
        longest=jnp.asarray(float(spec.horizon)),
    )


def create_values(key: Key[Array, ""], width: int, config: TREBIConfig) -> TrajectoryValue:
    """Fresh networks for reward and cost, stacked along a member axis.

    Args:
        key: Random key of the parameters.
        width: Numbers of a segment's step, d.
        config: Sizes; separate networks for reward and cost, or networks with two outputs.

    Returns:
        2 * `value_ensemble` or `value_ensemble` networks.
    """
    values, conditions = config.values, int(config.values.know_time_left)
    outputs, members = (
        (1, 2 * values.value_ensemble) if values.value_heads == "separate" else (2, values.value_ensemble)
    )

    def create(member_key: Key[Array, ""]) -> TrajectoryValue:
        return TrajectoryValue.create(
            member_key, width, config.plan_horizon, values.value_network, outputs=outputs, conditions=conditions
        )

    return jax.vmap(create)(jax.random.split(key, members))


def init_averaged(network: Any, optimizer: optax.GradientTransformation) -> Averaged:
    """A network with its average and optimizer before the first update.

    Args:
        network: The network.
        optimizer: Its optimizer.

    Returns:
        The three; the average is a copy, so that it can be donated.
    """
    average = jax.tree.map(jnp.copy, network)
    return Averaged(network, average, init_optimizer(optimizer, network), jnp.zeros((), jnp.int32))


def step_averaged(part: Averaged, gradient: Any, updates: int, *, config: TREBITraining) -> Averaged:
    """One step of the optimizer; every `ema_interval` updates also one of the moving average.

    Args:
        part: Network, average and optimizer.
        gradient: Gradient, a tree like the network.
        updates: Updates of the phase, over which the learning rate falls.
        config: Learning rate and moving average; before `ema_start` updates the average is the network itself.

    Returns:
        The part after the update.
    """
    network, optimizer_state = apply_gradient(config.optimizer(updates), gradient, part.optimizer, part.network)
    count = part.updates + 1
    share = jnp.where(count <= config.ema_start, 1.0, config.ema_rate)
    average = jax.lax.cond(
        count % config.ema_interval == 0,
        lambda: move_towards(part.average, network, rate=share),
        lambda: part.average,
    )
    return Averaged(network, average, optimizer_state, count)
