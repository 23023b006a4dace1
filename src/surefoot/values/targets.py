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


def estimation_target(
    cost: Float[Array, "*b"], next_probability: Float[Array, "*b"], continues: Float[Array, "*b"], *, discount: float
) -> Float[Array, "*b"]:
    """max(1[c > 0], gamma m p(s')): the probability that a violation lies here or ahead, discounted (the reachability
    estimation function of RESPO, Ganai et al., 2023, arXiv 2309.13528; FOSP). In [0, 1]; 0 is feasible.

    `cost` is that of being in the state, m = 0 where nothing follows.
    """
    return jnp.maximum((cost > 0).astype(jnp.float32), discount * continues * next_probability)
