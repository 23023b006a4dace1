"""A Lagrange multiplier moved by a PID controller (Stooke, Achiam and Abbeel, 2020, arXiv 2007.03964, algorithm 2).

Plain dual ascent is the integral alone: it overshoots, because the multiplier goes on rising for as long as the cost is
too high, and falls only after the cost has long been low. The proportional term answers at once, the derivative one
answers a rising cost before it has passed the limit.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.ranges import Range, check_fields


@dataclass(frozen=True)
class PIDGains:
    """How strongly the multiplier answers. Costs are in the units of the caller, who best makes them of order 1."""

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

    def __post_init__(self) -> None:
        check_fields(self, part="gains")


class PIDState(NamedTuple):
    """What the controller remembers; all float32 scalars."""

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
