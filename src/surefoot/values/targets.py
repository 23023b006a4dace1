"""Bootstrapped targets of the critics."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def reward_target(
    reward: Float[Array, " b"], next_value: Float[Array, " b"], continues: Float[Array, " b"], *, discount: float
) -> Float[Array, " b"]:
    """r + gamma m V(s'), m = 0 where nothing follows."""
    return reward + discount * continues * next_value


def reachability_target(
    constraint: Float[Array, " b"],
    next_value: Float[Array, " b"],
    continues: Float[Array, " b"],
    *,
    discount: float | Float[Array, ""],
) -> Float[Array, " b"]:
    """m [(1 - gamma) h + gamma max(h, V_h(s'))] + (1 - m) h: the discounted Hamilton-Jacobi backup
    (Fisac et al., 2019, equation 6; FISOR, equation 10). In the units of h; > 0 is a violation to come."""
    continued = (1.0 - discount) * constraint + discount * jnp.maximum(constraint, next_value)
    return continues * continued + (1.0 - continues) * constraint
