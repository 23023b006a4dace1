"""Expectile regression (Newey and Powell, 1987; Kostrikov et al., 2022, equation 5)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def expectile_loss(
    difference: Float[Array, " b"], *, expectile: float, lower: bool = False
) -> tuple[Float[Array, ""], Float[Array, " b"]]:
    """Mean of |tau - 1[u < 0]| u^2 with u = target - prediction, and its terms [b].

    tau near 1 makes the prediction a soft maximum of the targets; with `lower` the weights swap (tau where u < 0)
    and it is a soft minimum.
    """
    below = difference < 0
    heavy = below if lower else ~below
    terms = jnp.where(heavy, expectile, 1.0 - expectile) * difference**2
    return terms.mean(), terms
