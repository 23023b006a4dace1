"""Which of the candidates is carried out."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def choose_plan(reward: Float[Array, "n c"], cost: Float[Array, "n c"], budget: Float[Array, " n"]) -> Int[Array, " n"]:
    """For each environment the candidate of the largest reward among those of cost <= budget; where there is none, the
    candidate of the smallest cost (TREBI, arXiv 2306.00603, without its finite penalty, which loses the order)."""
    feasible = cost <= budget[:, None]
    best = jnp.argmax(jnp.where(feasible, reward, -jnp.inf), -1)
    return jnp.where(feasible.any(-1), best, jnp.argmin(cost, -1))
