"""Matrix products whose gradients run at full speed on a CPU.

The backward pass of x W needs two products with a transposed operand, g W^T and x^T g. XLA's fast CPU kernels take the
first as it is; the second falls back to others at two thirds of the speed. Here the transpose of x is materialized
behind an optimization barrier, so that XLA cannot fold it back into the product. The results are equal.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Multiply-adds below which the copy costs more than it saves: at 1024 x 76 x 256 the product runs at 98 GFLOP/s as it
# is and at 64 with the copy, at 256 x 256 x 256 at 92 and 84, at 1024 x 256 x 1024 at 67 and 82 (one Xeon core).
_MATERIALISE_ABOVE = 2**27


@jax.custom_vjp
def matmul(x: Float[Array, "*b m k"], w: Float[Array, "*b k n"]) -> Float[Array, "*b m n"]:
    """x @ w over the last two axes, with a gradient that is fast on a CPU.

    Args:
        x: Rows, [*b, m, k]; the caller flattens leading axes beyond w's.
        w: Weights, [*b, k, n].

    Returns:
        Products, [*b, m, n].
    """
    return x @ w


def _forward(x, w):
    return x @ w, (x, w)


def _backward(saved, g):
    x, w = saved
    if w.ndim == 2 and x.ndim != 2:  # shared weights over any leading axes: one product over all rows
        rows, gradient_rows = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    else:
        rows, gradient_rows = x, g
    transposed = jnp.swapaxes(rows, -1, -2)
    if rows.size * w.shape[-1] > _MATERIALISE_ABOVE:
        transposed = jax.lax.optimization_barrier(transposed)
    # Written as a product over the last axes of both: under `vmap` XLA would copy a transpose of w first.
    members = tuple(range(w.ndim - 2))
    dx = jax.lax.dot_general(g, w, (((g.ndim - 1,), (w.ndim - 1,)), (members, members)))
    return dx, transposed @ gradient_rows


matmul.defvjp(_forward, _backward)
