"""Matrix products whose gradients run at full speed on a CPU.

XLA's CPU products with a transposed operand run at about half the speed of plain ones. The backward pass of x W needs
two of them, x^T g and g W^T; here the transposes are materialised behind an optimisation barrier, so that XLA
cannot fold them back into the product. The numbers are the same.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Below this many multiply-adds the copy costs more than it saves (measured by benchmarks/fisor_update.py).
_MATERIALISE_ABOVE = 2**24


@jax.custom_vjp
def matmul(x: Float[Array, "*b m k"], w: Float[Array, "*b k n"]) -> Float[Array, "*b m n"]:
    """x @ w over the last two axes; leading axes of x beyond w's are flattened into rows by the caller or by `@`."""
    return x @ w


def _forward(x, w):
    return x @ w, (x, w)


def _transposed(a: Array, size: int) -> Array:
    swapped = jnp.swapaxes(a, -1, -2)
    return jax.lax.optimization_barrier(swapped) if size > _MATERIALISE_ABOVE else swapped


def _backward(saved, g):
    x, w = saved
    if w.ndim == 2 and x.ndim != 2:  # shared weights over any leading axes: one product over all rows
        rows, gradient_rows = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    else:
        rows, gradient_rows = x, g
    size = rows.size * w.shape[-1]
    dw = _transposed(rows, size) @ gradient_rows
    dx = g @ _transposed(w, size)
    return dx, dw


matmul.defvjp(_forward, _backward)
