"""What TREBI's training consists of: the losses of its two models, and a network with the moving average that plans."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from surefoot.algorithms.trebi.segments import Segments
from surefoot.diffusion.clean import weighted_clean_loss
from surefoot.diffusion.policy import draw_noisy
from surefoot.diffusion.schedules import Schedule
from surefoot.nn import TemporalConfig, TemporalUNet, TrajectoryValue, apply_gradient, init_optimizer, move_towards
from surefoot.planning import fix_observation
from surefoot.types import Metrics

ValueHeads = Literal["separate", "shared"]


class Averaged(NamedTuple):
    """A network, its moving average, which plans, and the optimiser's state."""

    network: Any
    average: Any
    optimizer: optax.OptState
    updates: Int[Array, ""]


def create_values(
    key: Key[Array, ""],
    width: int,
    plan_horizon: int,
    config: TemporalConfig,
    *,
    heads: ValueHeads,
    ensemble: int,
    know_time_left: bool,
) -> TrajectoryValue:
    """Fresh networks for reward and cost, stacked: `ensemble` of each, or with two heads."""
    outputs, members = (1, 2 * ensemble) if heads == "separate" else (2, ensemble)

    def create(member_key: Key[Array, ""]) -> TrajectoryValue:
        conditions = int(know_time_left)
        return TrajectoryValue.create(member_key, width, plan_horizon, config, outputs=outputs, conditions=conditions)

    return jax.vmap(create)(jax.random.split(key, members))


def make_adam(first_rate: float, last_rate: float, updates: int) -> optax.GradientTransformation:
    """Adam whose learning rate goes from the first to the last as a cosine, over `updates` steps."""
    if last_rate == first_rate:
        return optax.adam(first_rate)
    return optax.adam(optax.cosine_decay_schedule(first_rate, max(updates, 1), alpha=last_rate / first_rate))


def init_averaged(network: Any, optimizer: optax.GradientTransformation) -> Averaged:
    """Before the first update; the average is a copy, so that a state may be donated."""
    average = jax.tree.map(jnp.copy, network)
    return Averaged(network, average, init_optimizer(optimizer, network), jnp.zeros((), jnp.int32))


def step_averaged(
    part: Averaged, gradient: Any, optimizer: optax.GradientTransformation, *, start: int, interval: int, rate: float
) -> Averaged:
    """One step of the optimiser, and, every `interval`-th time, of the average, which is the network up to `start`."""
    network, optimizer_state = apply_gradient(optimizer, gradient, part.optimizer, part.network)
    count = part.updates + 1
    share = jnp.where(count <= start, 1.0, rate)
    average = jax.lax.cond(
        count % interval == 0,
        lambda: move_towards(part.average, network, rate=share),
        lambda: part.average,
    )
    return Averaged(network, average, optimizer_state, count)


# --- losses ---


def model_loss(
    network: TemporalUNet,
    x: Float[Array, "B H d"],
    key: Key[Array, ""],
    *,
    schedule: Schedule,
    first_action_weight: float,
) -> tuple[Float[Array, ""], Metrics]:
    """Weighted squared error of the clean segment, predicted from a noisy one whose first observation is clean."""
    first = x[:, 0, network.action_dim :]
    noisy, _, t = draw_noisy(x, key, schedule)
    predicted = fix_observation(network(fix_observation(noisy, first), t), first)
    weights = jnp.ones(x.shape[1:]).at[0, : network.action_dim].set(first_action_weight)
    loss = weighted_clean_loss(predicted, x, weights)
    error = jnp.mean((predicted - x)[:, 0, : network.action_dim] ** 2)
    return loss, {"model/loss": loss, "model/first_action_error": error}


def value_outputs(
    networks: TrajectoryValue,
    x: Float[Array, "b H d"],
    t: Float[Array, " b"],
    share_left: Float[Array, " b"],
    *,
    know_time_left: bool,
) -> Float[Array, "2 ensemble b"]:
    """What the stacked networks say of reward (row 0) and cost (row 1), in their own units."""
    condition = 2.0 * share_left[:, None] - 1.0 if know_time_left else None
    outputs = jax.vmap(lambda network: network(x, t, condition))(networks)
    if outputs.shape[-1] == 2:
        return jnp.moveaxis(outputs, -1, 0)
    return outputs[..., 0].reshape(2, -1, outputs.shape[1])


def value_loss(
    networks: TrajectoryValue,
    segments: Segments,
    key: Key[Array, ""],
    *,
    scales: tuple[Float[Array, " 2"], Float[Array, " 2"]],
    action_dim: int,
    schedule: Schedule,
    know_time_left: bool,
    clean_share: float = 0.0,
) -> tuple[Float[Array, ""], Metrics]:
    """Squared error of reward and cost to come, predicted from noisy segments whose first observation is clean.

    A share of the batch stays without noise, at time 0, as finished segments are judged. Networks are summed, so that
    each moves as it would alone.
    """
    noisy, _, t = draw_noisy(segments.x, key, schedule)
    # Rows are drawn at random: the first ones are as good as any.
    stays_clean = jnp.arange(len(t)) < round(clean_share * len(t))
    noisy = jnp.where(stays_clean[:, None, None], segments.x, noisy)
    t = jnp.where(stays_clean, 0.0, t)
    noisy = fix_observation(noisy, segments.x[:, 0, action_dim:])
    outputs = value_outputs(networks, noisy, t, segments.share_left, know_time_left=know_time_left)
    mean, deviation = scales
    target = ((segments.to_come - mean[None]) / deviation[None]).T[:, None]
    errors = jnp.mean((outputs - target) ** 2, -1)
    return errors.sum(), {"values/reward_loss": errors[0].mean(), "values/cost_loss": errors[1].mean()}
