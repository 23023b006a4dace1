"""Samplers: ancestral (Ho et al., 2020) and first-order DPM-Solver (Lu et al., 2022)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from surefoot.diffusion.schedules import FIRST_TIME, Schedule, marginal, marginal_log_alpha

PredictNoise = Callable[[Float[Array, "b n"], Float[Array, ""]], Float[Array, "b n"]]
"""From (noisy samples [b, n], time, a scalar) to noise [b, n]."""


def ancestral(
    predict: PredictNoise,
    start: Float[Array, "b n"],
    key: Key[Array, ""],
    *,
    schedule: Schedule,
    temperature: float = 1.0,
    extra_last_steps: int = 0,
) -> Float[Array, "b n"]:
    """Ancestral sampling (Ho et al., 2020): the posterior's mean plus noise, clipped to [-1, 1] after every step.

    Args:
        predict: Noise prediction.
        start: Pure noise, [b, n].
        key: Random key of the steps' noise.
        schedule: Noise schedule of T steps.
        temperature: Factor of the noise sqrt(beta_t) z, which is 0 at t = 0.
        extra_last_steps: Repetitions of the step at t = 0.

    Returns:
        Samples in [-1, 1], [b, n].
    """
    times = np.concatenate([np.arange(schedule.steps - 1, -1, -1), np.zeros(extra_last_steps, int)])
    alphas, alpha_bars, betas = schedule.alphas[times], schedule.alpha_bars[times], schedule.betas[times]
    constants = {
        "time": times.astype(np.float32),
        "scale": 1.0 / np.sqrt(alphas),
        "noise_share": (1.0 - alphas) / np.sqrt(1.0 - alpha_bars),
        "deviation": temperature * np.sqrt(betas) * (times > 0),
    }

    def reverse_step(sample, step):
        constant, step_key = step
        mean = constant["scale"] * (sample - constant["noise_share"] * predict(sample, constant["time"]))
        sample = mean + constant["deviation"] * jax.random.normal(step_key, sample.shape)
        return jnp.clip(sample, -1.0, 1.0), None

    steps = {name: jnp.asarray(values, jnp.float32) for name, values in constants.items()}
    sample, _ = jax.lax.scan(reverse_step, start, (steps, jax.random.split(key, len(times))))
    return sample


def dpm_solver_1(predict: PredictNoise, start: Float[Array, "b n"], *, steps: int) -> Float[Array, "b n"]:
    """First-order DPM-Solver over even times from 1 to 1e-3, clipped at the end; deterministic in `start`.

    x_t = alpha_t / alpha_s x_s - sigma_t (exp(h) - 1) eps(x_s, s), h = lambda_t - lambda_s, lambda = log(alpha / sigma)
    (Lu et al., 2022, equation 3.7).

    Args:
        predict: Noise prediction in continuous time.
        start: Pure noise, [b, n].
        steps: Solver steps.

    Returns:
        Samples in [-1, 1], [b, n].
    """
    times = jnp.linspace(1.0, FIRST_TIME, steps + 1)

    def solver_step(sample, pair):
        s, t = pair
        (alpha_s, sigma_s), (alpha_t, sigma_t) = marginal(s), marginal(t)
        h = (marginal_log_alpha(t) - jnp.log(sigma_t)) - (marginal_log_alpha(s) - jnp.log(sigma_s))
        return alpha_t / alpha_s * sample - sigma_t * jnp.expm1(h) * predict(sample, s), None

    sample, _ = jax.lax.scan(solver_step, start, (times[:-1], times[1:]))
    return jnp.clip(sample, -1.0, 1.0)
