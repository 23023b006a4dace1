"""The augmented Lagrangian of one constraint g <= 0 (Nocedal and Wright, 2006, section 17.4; SafeDreamer, ICLR 2024).

Its penalty adds a multiple of g^2 to the multiplier's term, so that the multiplier need not be large before the
constraint pulls; the penalty's factor only grows.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.ranges import Range, Ranged


@dataclass(frozen=True)
class AugmentedConfig(Ranged, part="lagrangian"):
    """First values of multiplier and penalty, and the penalty's growth; the values here are those of SafeDreamer's
    code."""

    multiplier: Annotated[float, Range("[0, inf)")] = 1e-6
    """lambda at first."""
    penalty: Annotated[float, Range("(0, inf)")] = 5e-9
    """c at first."""
    growth: Annotated[float, Range("[0, inf)")] = 1e-5
    """Share by which c grows in each update."""
    most_penalty: Annotated[float, Range("(0, inf)")] = 1.0
    """Upper bound of c."""


class AugmentedState(NamedTuple):
    """float32 scalars."""

    multiplier: Float[Array, ""]
    """lambda >= 0."""
    penalty: Float[Array, ""]
    """c."""


def augmented_init(config: AugmentedConfig) -> AugmentedState:
    """Before the first update."""
    return AugmentedState(jnp.float32(config.multiplier), jnp.float32(config.penalty))


def augmented_penalty(state: AugmentedState, excess: Float[Array, ""]) -> Float[Array, ""]:
    """psi(g): lambda g + c g^2 / 2 where lambda + c g > 0, else -lambda^2 / (2 c). Add it to a loss; its slope in g is
    max(0, lambda + c g)."""
    multiplier, penalty = state
    pulls = multiplier + penalty * excess > 0
    return jnp.where(pulls, multiplier * excess + 0.5 * penalty * excess**2, -0.5 * multiplier**2 / penalty)


def augmented_update(state: AugmentedState, excess: Float[Array, ""], *, config: AugmentedConfig) -> AugmentedState:
    """lambda <- max(0, lambda + c g), then c <- min(most, c (1 + growth)); no gradient goes through."""
    excess = jax.lax.stop_gradient(excess)
    multiplier = jnp.maximum(0.0, state.multiplier + state.penalty * excess)
    return AugmentedState(multiplier, jnp.minimum(config.most_penalty, state.penalty * (1.0 + config.growth)))
