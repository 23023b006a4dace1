"""Samplers of models that predict the clean sample x_0, as one table of step coefficients.

A step from time t to an earlier one is linear in its inputs,
    x' = keep x + clean x_0 + previous x_0(of the step before) + deviation z,
for the ancestral sampler (Ho et al., 2020, equation 7), DDIM (Song et al., 2021, arXiv 2010.02502, equation 12 with eta
= 0) and DPM-Solver++ 2M (Lu et al., 2022, arXiv 2211.01095, algorithm 2).
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from surefoot.diffusion.schedules import Schedule
from surefoot.errors import ConfigError

CleanSampler = Literal["ancestral", "ddim", "dpm_solver"]
_SMALLEST_VARIANCE = 1e-20


class Steps(NamedTuple):
    """Coefficients of n steps, the noisiest first; all float32 [n] but `time`."""

    time: Int[np.ndarray, " n"]
    """t of the step, in 0..T-1."""
    signal: Float[np.ndarray, " n"]
    """sqrt(abar_t): share of the clean sample at t."""
    noise: Float[np.ndarray, " n"]
    """sqrt(1 - abar_t)."""
    variance: Float[np.ndarray, " n"]
    """Variance of x' given x and x_0; 0 in the last step."""
    keep: Float[np.ndarray, " n"]
    clean: Float[np.ndarray, " n"]
    deviation: Float[np.ndarray, " n"]
    extrapolate: Float[np.ndarray, " n"]
    """1 / (2 r) of DPM-Solver++: x_0 counts as x_0 + extrapolate (x_0 - x_0 before), where there is one before."""

    @property
    def number(self) -> int:
        """Number of steps n."""
        return len(self.time)


def make_steps(
    schedule: Schedule, *, sampler: CleanSampler, count: int | None = None, temperature: float = 1.0
) -> Steps:
    """Coefficients of a sampler's steps over even times from T - 1 to 0.

    The ancestral sampler over fewer times than T has the posterior of the jump.

    Args:
        schedule: Noise schedule of T steps.
        sampler: ancestral, ddim or dpm_solver.
        count: Steps, 1 to T; None: T.
        temperature: Factor of the ancestral sampler's noise.

    Returns:
        The coefficients, the noisiest step first.

    Raises:
        ConfigError: `count` is outside 1 to T.
    """
    count = schedule.steps if count is None else count
    if not 1 <= count <= schedule.steps:
        raise ConfigError(f"sampler steps: expected 1 to {schedule.steps}, found {count}.")
    time = np.round(np.linspace(schedule.steps - 1, 0, count)).astype(np.int32)
    bars = np.cumprod(1.0 - schedule.betas.astype(np.float64))
    bar, later = bars[time], np.append(bars[time[1:]], 1.0)  # `later` in the loop, that is at an earlier time
    alpha = bar / later
    variance = (1.0 - later) / (1.0 - bar) * (1.0 - alpha)
    if sampler == "ancestral":
        keep = np.sqrt(alpha) * (1.0 - later) / (1.0 - bar)
        clean = np.sqrt(later) * (1.0 - alpha) / (1.0 - bar)
        deviation = temperature * np.exp(0.5 * log_variance(variance)) * (later < 1.0)
    else:
        keep = np.sqrt((1.0 - later) / (1.0 - bar))
        clean = np.sqrt(later) - keep * np.sqrt(bar)
        deviation = np.zeros(count)
    extrapolate = np.zeros(count)
    if sampler == "dpm_solver" and count > 2:
        log_ratio = 0.5 * np.log(bar / (1.0 - bar))
        h = np.diff(log_ratio)
        # The last step ends at the clean sample, where h is infinite and the first order exact.
        extrapolate[1:-1] = h[1:] / (2.0 * h[:-1])
    columns = (np.sqrt(bar), np.sqrt(1.0 - bar), variance, keep, clean, deviation, extrapolate)
    return Steps(time, *(values.astype(np.float32) for values in columns))


def log_variance(variance: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Logarithm of a posterior variance [n], clamped where the variance is 0."""
    return np.log(np.maximum(variance, _SMALLEST_VARIANCE))
