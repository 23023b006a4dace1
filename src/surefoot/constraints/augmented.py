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
    """Initial multiplier, initial penalty factor and its growth; the defaults are SafeDreamer's (code)."""

    multiplier: Annotated[float, Range("[0, inf)")] = 1e-6
    """Initial multiplier lambda."""
    penalty: Annotated[float, Range("(0, inf)")] = 5e-9
    """Initial penalty factor c."""
    growth: Annotated[float, Range("[0, inf)")] = 1e-5
    """Share by which c grows in each update."""
    most_penalty: Annotated[float, Range("(0, inf)")] = 1.0
    """Upper bound of c."""


class AugmentedState(NamedTuple):
    """Multiplier and penalty factor, float32 scalars."""

    multiplier: Float[Array, ""]
    """lambda >= 0."""
    penalty: Float[Array, ""]
    """c > 0."""


def augmented_init(config: AugmentedConfig) -> AugmentedState:
    """Multiplier and penalty factor before the first update."""
    return AugmentedState(jnp.float32(config.multiplier), jnp.float32(config.penalty))


def augmented_penalty(state: AugmentedState, excess: Float[Array, ""]) -> Float[Array, ""]:
    """Penalty psi(g), to be added to a loss.

    psi(g) = lambda g + c g^2 / 2 where lambda + c g > 0, else -lambda^2 / (2 c); its slope in g is max(0, lambda + c g)
    (Nocedal and Wright, 2006, section 17.4).

    Args:
        state: lambda and c.
        excess: g, the cost above its limit, in the caller's units.

    Returns:
        psi(g), a scalar.
    """
    multiplier, penalty = state
    pulls = multiplier + penalty * excess > 0
    return jnp.where(pulls, multiplier * excess + 0.5 * penalty * excess**2, -0.5 * multiplier**2 / penalty)


def augmented_update(state: AugmentedState, excess: Float[Array, ""], *, config: AugmentedConfig) -> AugmentedState:
    """One update lambda <- max(0, lambda + c g), then c <- min(most_penalty, c (1 + growth)), without gradients.

    Args:
        state: lambda and c before the update.
        excess: g, the cost above its limit, in the units of `augmented_penalty`.
        config: Growth and upper bound of c.

    Returns:
        lambda and c after the update.
    """
    excess = jax.lax.stop_gradient(excess)
    multiplier = jnp.maximum(0.0, state.multiplier + state.penalty * excess)
    return AugmentedState(multiplier, jnp.minimum(config.most_penalty, state.penalty * (1.0 + config.growth)))
