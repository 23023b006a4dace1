"""Training losses of diffusion models."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from surefoot.diffusion.schedules import FIRST_TIME, Schedule, marginal


def add_noise(
    clean: Float[Array, "b ..."], noise: Float[Array, "b ..."], t: Int[Array, " b"], schedule: Schedule
) -> Float[Array, "b ..."]:
    """sqrt(abar_t) clean + sqrt(1 - abar_t) noise, t in 0..T-1."""
    alpha_bar = jnp.asarray(schedule.alpha_bars)[t].reshape(-1, *[1] * (clean.ndim - 1))
    return jnp.sqrt(alpha_bar) * clean + jnp.sqrt(1.0 - alpha_bar) * noise


def draw_noisy(
    clean: Float[Array, "b ..."], key: Key[Array, ""], schedule: Schedule | None
) -> tuple[Float[Array, "b ..."], Float[Array, "b ..."], Float[Array, " b"]]:
    """(noisy, noise, times): uniform integer times of `schedule`, or continuous ones on [1e-3, 1] where it is None
    (`clean` is then [b, n])."""
    k_noise, k_time = jax.random.split(key)
    noise = jax.random.normal(k_noise, clean.shape)
    if schedule is None:
        t = jax.random.uniform(k_time, clean.shape[:1], minval=FIRST_TIME, maxval=1.0)
        alpha, sigma = marginal(t[:, None])
        return alpha * clean + sigma * noise, noise, t
    t = jax.random.randint(k_time, clean.shape[:1], 0, schedule.steps)
    return add_noise(clean, noise, t, schedule), noise, t.astype(jnp.float32)


def weighted_noise_loss(
    predicted: Float[Array, "b n"], noise: Float[Array, "b n"], weights: Float[Array, " b"]
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Mean over the batch of w sum_dims (predicted - noise)^2; weighted regression is exact energy guidance
    (FISOR, theorem 3)."""
    errors = jnp.sum((predicted - noise) ** 2, -1)
    loss = jnp.mean(weights * errors)
    return loss, {"policy/loss": loss, "policy/noise_error": jnp.mean(errors)}
