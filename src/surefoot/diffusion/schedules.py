"""Noise schedules. Discrete ones are NumPy constants of T steps; the continuous one serves DPM-Solver."""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from surefoot.errors import ConfigError

BetaSchedule = Literal["vp", "cosine", "linear"]


@dataclass(frozen=True)
class Schedule:
    """Noise schedule: beta_t, alpha_t = 1 - beta_t and abar_t = prod alpha, t = 0..T-1 in code (1..T in the paper).
    Float32 [T]."""

    betas: np.ndarray
    alphas: np.ndarray
    alpha_bars: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.betas)


def make_schedule(name: BetaSchedule, steps: int) -> Schedule:
    """A noise schedule by name.

    Args:
        name: vp, cosine or linear.
        steps: T >= 1.

    Returns:
        The schedule.

    Raises:
        ConfigError: The name is unknown, or T < 1.
    """
    if steps < 1:
        raise ConfigError(f"a noise schedule needs at least 1 step, found {steps}.")
    makers = {"vp": vp_betas, "cosine": cosine_betas, "linear": linear_betas}
    if name not in makers:
        raise ConfigError(f"unknown beta schedule '{name}'; known: {', '.join(makers)}.")
    betas = makers[name](steps)
    alphas = 1.0 - betas
    return Schedule(*(values.astype(np.float32) for values in (betas, alphas, np.cumprod(alphas))))


def vp_betas(steps: int, *, beta_min: float = 0.1, beta_max: float = 10.0) -> np.ndarray:
    """Variance preserving betas: alpha_t = exp(-b_min / T - (b_max - b_min)(2 t - 1) / (2 T^2)), t = 1..T (section 4).

    Args:
        steps: T.
        beta_min: b_min.
        beta_max: b_max.

    Returns:
        Betas, [T], float64.
    """
    t = np.arange(1, steps + 1, dtype=np.float64)
    return 1.0 - np.exp(-beta_min / steps - 0.5 * (beta_max - beta_min) * (2 * t - 1) / steps**2)


def cosine_betas(steps: int, *, offset: float = 0.008) -> np.ndarray:
    """Cosine betas 1 - f(t + 1) / f(t), at most 0.999, with f = cos^2 of the time's share of a quarter turn (Nichol and
    Dhariwal, 2021, equation 17).

    Args:
        steps: T.
        offset: Offset of the time's share.

    Returns:
        Betas, [T], float64.
    """
    t = np.linspace(0, steps, steps + 1, dtype=np.float64) / steps
    f = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
    return np.clip(1.0 - f[1:] / f[:-1], 0.0, 0.999)


def linear_betas(steps: int, *, beta_min: float = 1e-4, beta_max: float = 2e-2) -> np.ndarray:
    """Evenly spaced betas (Ho et al., 2020). With few steps the last sample is far from pure noise.

    Args:
        steps: T.
        beta_min: First beta.
        beta_max: Last beta.

    Returns:
        Betas, [T], float64.
    """
    return np.linspace(beta_min, beta_max, steps, dtype=np.float64)


# --- continuous time, for DPM-Solver (Lu et al., 2022): beta(t) from 0.1 to 20 over t in [0, 1] ---

CONTINUOUS_BETA = (0.1, 20.0)
FIRST_TIME = 1e-3
"""Training times are uniform on [FIRST_TIME, 1]; the sampler ends there."""


def marginal_log_alpha(t: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """log alpha(t) with x_t = alpha(t) x_0 + sigma(t) noise."""
    low, high = CONTINUOUS_BETA
    return -0.25 * t**2 * (high - low) - 0.5 * t * low


def marginal(t: Float[Array, "*n"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """(alpha(t), sigma(t)), alpha^2 + sigma^2 = 1."""
    log_alpha = marginal_log_alpha(t)
    return jnp.exp(log_alpha), jnp.sqrt(-jnp.expm1(2.0 * log_alpha))
