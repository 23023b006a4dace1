"""Samplers for models that predict the clean sample: coefficients, and that a perfect model is believed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.diffusion.clean import CleanSampler, make_steps
from surefoot.diffusion.schedules import make_schedule
from surefoot.errors import ConfigError
from surefoot.planning import GuideConfig, sample_segments

SCHEDULE = make_schedule("cosine", 20)
NO_GUIDE = GuideConfig(steps=0)


def test_the_schedule_of_the_published_configuration() -> None:
    """beta_0 = .00799, beta_19 = .999; variances .00575, .1361, .993 at t = 1, 10, 19 and 0 at t = 0."""
    variance = make_steps(SCHEDULE, sampler="ancestral").variance[::-1]
    np.testing.assert_allclose(SCHEDULE.betas[[0, 19]], [0.00799, 0.999], rtol=1e-3)
    np.testing.assert_allclose(variance[[1, 10, 19]], [0.00575, 0.1361, 0.993], rtol=1e-3)
    assert variance[0] == 0.0


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver"])
@pytest.mark.parametrize("count", [1, 4, None])
def test_a_step_keeps_signal_and_noise_in_their_shares(sampler: CleanSampler, count: int | None) -> None:
    """From x = signal x_0 + noise e and the true x_0, the next x has the next step's shares of both."""
    steps = make_steps(SCHEDULE, sampler=sampler, count=count)
    signal, noise = np.append(steps.signal[1:], 1.0), np.append(steps.noise[1:], 0.0)
    np.testing.assert_allclose(steps.keep * steps.signal + steps.clean, signal, atol=1e-6)
    np.testing.assert_allclose((steps.keep * steps.noise) ** 2 + steps.deviation**2, noise**2, atol=1e-6)
    assert steps.time[-1] == 0 or count == 1


def test_dpm_solver_is_ddim_plus_an_extrapolation() -> None:
    """lambda = log(signal / noise); 1 / (2 r) with r = h before / h. None in the first and last step."""
    ddim, solver = (make_steps(SCHEDULE, sampler=kind, count=5) for kind in ("ddim", "dpm_solver"))
    np.testing.assert_allclose(solver.keep, ddim.keep)
    np.testing.assert_allclose(solver.clean, ddim.clean)
    h = np.diff(np.log(solver.signal / solver.noise))
    expected = [0.0, h[1] / h[0] / 2, h[2] / h[1] / 2, h[3] / h[2] / 2, 0.0]
    np.testing.assert_allclose(solver.extrapolate, expected, rtol=1e-5)


@pytest.mark.parametrize("count", [0, 21])
def test_steps_beyond_the_schedule_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"sampler steps: expected 1 to 20, found {count}"):
        make_steps(SCHEDULE, sampler="ddim", count=count)


def test_few_steps_come_near_the_exact_flow() -> None:
    """x_0 normal with deviation 0.5: the best prediction is x a / (a^2 + 4 n^2), and the flow ends at 0.5 x_T.

    The second order must be nearer than the first, at six steps.
    """
    alpha_bar = jnp.asarray(SCHEDULE.alpha_bars)

    def best(x, t):
        bar = alpha_bar[t.astype(jnp.int32)][:, None, None]
        return x * jnp.sqrt(bar) * 0.25 / (bar * 0.25 + 1.0 - bar)

    noise = jnp.linspace(-2.0, 2.0, 5)[:, None, None] * jnp.ones((1, 2, 2))
    errors = {}
    for sampler in ("ddim", "dpm_solver"):
        sampled = sample_segments(
            best, lambda x, t: (x[:, 0, 0], x[:, 0, 0]), noise, jnp.zeros((5, 1)), jnp.zeros(5), jax.random.key(0),
            steps=make_steps(SCHEDULE, sampler=sampler, count=6), guide_config=NO_GUIDE,
        )  # fmt: skip
        errors[sampler] = float(jnp.abs(sampled.segments[:, 1] - 0.5 * noise[:, 1]).max())
    assert errors["dpm_solver"] < errors["ddim"] < 0.3
