"""Multipliers of constraints: by a PID controller, and by exponential ascent.

`pid_update` is algorithm 2 of Stooke, Achiam and Abbeel (2020, arXiv 2007.03964); `error_pid_update` is the simplified
form of OSRL's code. Dual ascent is the integral term alone: it overshoots, because the multiplier rises for as long as
the cost is too high, and falls only after the cost has long been low. The proportional term answers at once. The
derivative term answers a rising cost before it passes the limit.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.ranges import Range, Ranged


@dataclass(frozen=True)
class PIDGains(Ranged, part="gains"):
    """Gains of the multiplier's PID controller. Costs are in the caller's units, best of order 1."""

    proportional: Annotated[float, Range("[0, inf)")] = 4.0
    """Multiplier per unit of smoothed cost above the limit."""
    integral: Annotated[float, Range("[0, inf)")] = 0.4
    """Multiplier per unit of cost above the limit and update; cost below the limit lowers it again."""
    derivative: Annotated[float, Range("[0, inf)")] = 4.0
    """Multiplier per unit by which the smoothed cost rose since the update before; a fall counts nothing."""
    smoothing: Annotated[float, Range("[0, 1)")] = 0.5
    """Share of the old value that the smoothed cost keeps in an update, in [0, 1)."""
    most: Annotated[float, Range("[0, inf)")] = 20.0
    """Upper bound of the multiplier and of its integral part."""


class PIDState(NamedTuple):
    """State of the PID controller, all float32 scalars."""

    integral: Float[Array, ""]
    """The integral part, in [0, most]."""
    smoothed_cost: Float[Array, ""]
    """Exponential mean of the costs; 0 before the first update."""
    updates: Float[Array, ""]
    """Number of updates so far."""
    multiplier: Float[Array, ""]
    """Multiplier after the last update, in [0, most]."""


def pid_init() -> PIDState:
    """State of the PID controller before the first update: a multiplier of 0."""
    return PIDState(*(jnp.zeros(()) for _ in PIDState._fields))


def pid_update(state: PIDState, cost: Float[Array, ""], *, limit: Float[Array, ""], gains: PIDGains) -> PIDState:
    """One update of the multiplier from a mean episode cost (Stooke et al., 2020, algorithm 2).

    Args:
        state: State before the update.
        cost: Mean cost of episodes, a scalar in the caller's units.
        limit: Allowed cost in the units of `cost`.
        gains: Gains, smoothing and upper bound.

    Returns:
        State after the update.
    """
    first = state.updates == 0
    smoothed = jnp.where(first, cost, gains.smoothing * state.smoothed_cost + (1.0 - gains.smoothing) * cost)
    rise = jnp.where(first, 0.0, jnp.maximum(smoothed - state.smoothed_cost, 0.0))
    # Cut at both ends (algorithm 2 cuts at 0): what wound up in a long phase would else take as long to unwind.
    integral = jnp.clip(state.integral + gains.integral * (cost - limit), 0.0, gains.most)
    raw = gains.proportional * (smoothed - limit) + integral + gains.derivative * rise
    return PIDState(integral, smoothed, state.updates + 1.0, jnp.clip(raw, 0.0, gains.most))


class ErrorPIDState(NamedTuple):
    """State of the controller of OSRL's code; all float32 scalars."""

    integral: Float[Array, ""]
    """Sum of the errors, clipped at 0 in each update."""
    previous_error: Float[Array, ""]
    """Error of the previous update."""
    multiplier: Float[Array, ""]
    """Multiplier after the last update, at least 0."""


def error_pid_init() -> ErrorPIDState:
    """State of the controller of OSRL's code before the first update: a multiplier of 0."""
    return ErrorPIDState(*(jnp.zeros(()) for _ in ErrorPIDState._fields))


def error_pid_update(state: ErrorPIDState, error: Float[Array, ""], *, gains: PIDGains) -> ErrorPIDState:
    """One update lambda = relu(K_P relu(e) + K_I I + K_D relu(e - e_prev)) with I = relu(I + e) (OSRL's code, 03a4586).

    The multiplier is neither smoothed nor capped, and grows without bound under a constant excess.

    Args:
        state: State before the update.
        error: e, the cost above its limit, a scalar in the caller's units.
        gains: K_P, K_I and K_D; `smoothing` and `most` are not used.

    Returns:
        State after the update.
    """
    integral = jnp.maximum(state.integral + error, 0.0)
    rise = jnp.maximum(error - state.previous_error, 0.0)
    multiplier = gains.proportional * jnp.maximum(error, 0.0) + gains.integral * integral + gains.derivative * rise
    return ErrorPIDState(integral, error, jnp.maximum(multiplier, 0.0))


@dataclass(frozen=True)
class ExponentialConfig(Ranged, part="alpha"):
    """Learning rate and bound of a multiplier exp(log_alpha) that ascends the violation of its constraint."""

    learning_rate: Annotated[float, Range("[0, inf)")] = 1e-4
    """Step of log_alpha per unit of the constraint's excess and of alpha."""
    most: Annotated[float, Range("[0, 80]")] = 5.0
    """Largest absolute value of log_alpha."""


def exponential_update(
    log_alpha: Float[Array, ""], excess: Float[Array, ""], *, config: ExponentialConfig
) -> Float[Array, ""]:
    """One ascent step log_alpha + rate exp(log_alpha) excess, clipped to +-most, without gradients.

    Args:
        log_alpha: Logarithm of the multiplier, a scalar.
        excess: Constraint value above its limit, a scalar.
        config: Learning rate and bound.

    Returns:
        The new log_alpha.
    """
    step = config.learning_rate * jnp.exp(log_alpha) * jax.lax.stop_gradient(excess)
    return jnp.clip(log_alpha + step, -config.most, config.most)
