"""Mish with one exponential and its own derivative (Misra, 2019, arXiv 1908.08681)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Above this, mish(x) equals x in float32 and exp(2 x) would soon overflow.
_LINEAR_ABOVE = 20.0


@jax.custom_jvp
def mish(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """x tanh(softplus(x)), as x n / (n + 2) with e = exp(x), n = e (e + 2): one exponential, no logarithm."""
    e = jnp.exp(jnp.minimum(x, _LINEAR_ABOVE))
    n = e * (e + 2.0)
    return x * (n / (n + 2.0))


@mish.defjvp
def _mish_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    # The derivative is recomputed from x rather than stored: d = r + x 4 e (e + 1) / (n + 2)^2 with r = n / (n + 2).
    e = jnp.exp(jnp.minimum(x, _LINEAR_ABOVE))
    n = e * (e + 2.0)
    inverse = 1.0 / (n + 2.0)
    ratio = n * inverse
    slope = ratio + x * (4.0 * e * (e + 1.0)) * (inverse * inverse)
    slope = jnp.where(x > _LINEAR_ABOVE, 1.0, slope)
    return x * ratio, dx * slope
