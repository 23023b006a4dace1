"""Multipliers of constraints: one moved by a PID controller, one that grows and falls exponentially.

The first is algorithm 2 of Stooke, Achiam and Abbeel (2020, arXiv 2007.03964), with the simplified form of OSRL's code
beside it. Plain dual ascent is the integral alone: it overshoots, because the multiplier goes on rising for as long as
the cost is too high, and falls only after the cost has long been low. The proportional term answers at once, the
derivative one answers a rising cost before it has passed the limit.
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
    """Multiplier per unit of cost above the limit and update; what is below the limit takes it down again."""
    derivative: Annotated[float, Range("[0, inf)")] = 4.0
    """Multiplier per unit by which the smoothed cost rose since the update before; a fall counts nothing."""
    smoothing: Annotated[float, Range("[0, 1)")] = 0.5
    """Share of the old value that the smoothed cost keeps in an update, in [0, 1)."""
    most: Annotated[float, Range("[0, inf)")] = 20.0
    """Upper bound of the multiplier and of its integral part."""


class PIDState(NamedTuple):
    """State of the controller; all float32 scalars."""

    integral: Float[Array, ""]
    """The integral part, in [0, most]."""
    smoothed_cost: Float[Array, ""]
    """Exponential mean of the costs; nothing before the first update."""
    updates: Float[Array, ""]
    """Number of updates so far."""
    multiplier: Float[Array, ""]
    """What the last update gave, in [0, most]."""


def pid_init() -> PIDState:
    """Before any cost was seen: a multiplier of 0."""
    return PIDState(*(jnp.zeros(()) for _ in PIDState._fields))


def pid_update(state: PIDState, cost: Float[Array, ""], *, limit: Float[Array, ""], gains: PIDGains) -> PIDState:
    """The state after an update in which episodes cost `cost` on average where `limit` is allowed."""
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
    """Sum of the errors, cut at 0 in each update."""
    previous_error: Float[Array, ""]
    """Of the update before."""
    multiplier: Float[Array, ""]
    """What the last update gave."""


def error_pid_init() -> ErrorPIDState:
    """At rest."""
    return ErrorPIDState(*(jnp.zeros(()) for _ in ErrorPIDState._fields))


def error_pid_update(state: ErrorPIDState, error: Float[Array, ""], *, gains: PIDGains) -> ErrorPIDState:
    """lambda = relu(K_P relu(e) + K_I I + K_D relu(e - e_prev)), I = relu(I + e), as in OSRL's code (03a4586).

    Neither smoothed nor capped: a constant excess of 1 moves it to 300 in 100,000 updates with OSRL's gains.
    """
    integral = jnp.maximum(state.integral + error, 0.0)
    rise = jnp.maximum(error - state.previous_error, 0.0)
    multiplier = gains.proportional * jnp.maximum(error, 0.0) + gains.integral * integral + gains.derivative * rise
    return ErrorPIDState(integral, error, jnp.maximum(multiplier, 0.0))


@dataclass(frozen=True)
class ExponentialConfig(Ranged, part="alpha"):
    """A multiplier exp(log_alpha) that ascends the violation of its constraint."""

    learning_rate: Annotated[float, Range("[0, inf)")] = 1e-4
    """Step of log_alpha per unit of the constraint's excess and of alpha."""
    most: Annotated[float, Range("[0, 80]")] = 5.0
    """Largest size of log_alpha."""


def exponential_update(
    log_alpha: Float[Array, ""], excess: Float[Array, ""], *, config: ExponentialConfig
) -> Float[Array, ""]:
    """log_alpha + rate exp(log_alpha) excess, cut at both ends; no gradient goes through."""
    step = config.learning_rate * jnp.exp(log_alpha) * jax.lax.stop_gradient(excess)
    return jnp.clip(log_alpha + step, -config.most, config.most)
