"""Operations with gradients of their own, and on a CUDA device with kernels of their own (Pallas); callers see
neither."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.kernels.activations import mish
from surefoot.kernels.group_norm import group_norm


def norm_mish(
    x: Float[Array, "B L c"], scale: Float[Array, " c"], bias: Float[Array, " c"], *, groups: int
) -> Float[Array, "B L c"]:
    """mish(group_norm(x)); one kernel on a CUDA device.

    Args:
        x: Features over L steps, [B, L, c].
        scale: Scale of each channel, [c].
        bias: Shift of each channel, [c].
        groups: Groups of neighboring channels.

    Returns:
        Features, [B, L, c].
    """

    def plain(x: Array, scale: Array, bias: Array) -> Array:
        return mish(group_norm(x, scale, bias, jnp.zeros(groups)))

    if jax.default_backend() != "gpu":
        return plain(x, scale, bias)
    from surefoot.kernels import cuda_norm_mish  # other devices need no Pallas

    if not cuda_norm_mish.fits(x.shape[1], x.shape[2], groups):
        return plain(x, scale, bias)
    form = cuda_norm_mish.Form(groups)
    # What is placed on the CPU of a machine with a GPU runs there.
    return jax.lax.platform_dependent(
        x, scale, bias, cuda=lambda *arrays: cuda_norm_mish.norm_mish(*arrays, form), default=plain
    )
