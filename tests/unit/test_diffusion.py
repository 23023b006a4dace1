"""Noise schedules, the training loss, both samplers, the diffusion policy."""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.diffusion import schedules
from surefoot.diffusion.policy import (
    DiffusionPolicyConfig,
    add_noise,
    draw_noisy,
    init_policy,
    propose,
    update_policy,
    weighted_noise_loss,
)
from surefoot.diffusion.samplers import ancestral, dpm_solver_1
from surefoot.diffusion.schedules import FIRST_TIME, make_schedule, marginal
from surefoot.errors import ConfigError
from surefoot.nn import DenoiserConfig
from surefoot.types import DataSpec

CONFIG = DiffusionPolicyConfig(
    network=DenoiserConfig(width=16, blocks=1, expansion=2, frequencies=4, time_width=8, dropout=0.0),
    learning_rate=5e-3,
    ema_rate=0.05,
)

# Compiled: op by op, the first call of each operation costs more than the whole.
fresh = jax.jit(init_policy, static_argnames=("spec", "config"))
update = jax.jit(update_policy, static_argnames="config")
sample = jax.jit(propose, static_argnames=("num_candidates", "config"))


# --- schedules ---


def test_vp_by_hand() -> None:
    # T = 1: alpha_1 = exp(-0.1 / 1 - 9.9 (2 - 1) / (2 * 1)) = exp(-5.05)
    np.testing.assert_allclose(make_schedule("vp", 1).alphas, [np.exp(-5.05)], rtol=1e-5)
    # T = 2: alpha_1 = exp(-0.05 - 9.9 * 1 / 8) = exp(-1.2875), alpha_2 = exp(-0.05 - 9.9 * 3 / 8) = exp(-3.7625)
    schedule = make_schedule("vp", 2)
    np.testing.assert_allclose(schedule.alphas, np.exp([-1.2875, -3.7625]), rtol=1e-5)
    np.testing.assert_allclose(schedule.alpha_bars, np.exp([-1.2875, -5.05]), rtol=1e-5)


def test_cosine_and_linear_by_hand() -> None:
    # T = 2: f(t) = cos^2((t/2 + 0.008) / 1.008 * pi/2); f(0) = 0.99984, f(1) = 0.49377, f(2) = 0 -> the bound 0.999
    f = [np.cos((t / 2 + 0.008) / 1.008 * np.pi / 2) ** 2 for t in (0, 1)]
    np.testing.assert_allclose(f, [0.99984, 0.49377], atol=1e-5)
    np.testing.assert_allclose(make_schedule("cosine", 2).betas, [1 - f[1] / f[0], 0.999], rtol=1e-6)
    np.testing.assert_allclose(make_schedule("linear", 3).betas, [1e-4, 0.01005, 0.02], rtol=1e-5)


@pytest.mark.parametrize("name", ["vp", "cosine", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_schedules_are_consistent(name: schedules.BetaSchedule, steps: int) -> None:
    schedule = make_schedule(name, steps)
    assert schedule.steps == steps
    assert (schedule.betas > 0).all()
    assert (schedule.betas < 1).all()
    np.testing.assert_allclose(schedule.alphas + schedule.betas, 1.0, rtol=1e-6)
    np.testing.assert_allclose(schedule.alpha_bars, np.cumprod(schedule.alphas), rtol=1e-5)
    assert (np.diff(schedule.alpha_bars) < 0).all()
    assert {array.dtype for array in (schedule.betas, schedule.alphas, schedule.alpha_bars)} == {np.dtype(np.float32)}


def test_schedules_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="at least 1 step, found 0"):
        make_schedule("vp", 0)
    with pytest.raises(ConfigError, match="unknown beta schedule 'sine'; known: vp, cosine, linear"):
        make_schedule("sine", 5)  # pyright: ignore[reportArgumentType]


def test_the_continuous_schedule() -> None:
    # log alpha(1) = -0.25 * 19.9 - 0.5 * 0.1 = -5.025; alpha^2 + sigma^2 = 1; nothing but the sample at t = 0
    assert float(schedules.marginal_log_alpha(jnp.float32(1.0))) == pytest.approx(-5.025)
    alpha, sigma = marginal(jnp.linspace(FIRST_TIME, 1.0, 50))
    np.testing.assert_allclose(alpha**2 + sigma**2, 1.0, rtol=1e-5)
    assert (np.diff(np.asarray(sigma)) > 0).all()
    np.testing.assert_array_equal(jnp.stack(marginal(jnp.float32(0.0))), [1.0, 0.0])


# --- losses ---


def test_add_noise_by_hand() -> None:
    # abar = (0.64, 0.36): 0.8 * 1 + 0.6 * 2 = 2.0 and 0.6 * 1 + 0.8 * 2 = 2.2
    bars = np.array([0.64, 0.36], np.float32)
    schedule = schedules.Schedule(betas=1 - bars, alphas=bars, alpha_bars=bars)
    noisy = add_noise(jnp.ones((2, 1)), 2 * jnp.ones((2, 1)), jnp.array([0, 1]), schedule)
    np.testing.assert_allclose(noisy, [[2.0], [2.2]], rtol=1e-6)


@pytest.mark.parametrize("steps", [3, None])
def test_draws_hold_together_and_use_every_time(steps: int | None) -> None:
    schedule = None if steps is None else make_schedule("vp", steps)
    clean = jax.random.uniform(jax.random.key(0), (600, 2), minval=-1, maxval=1)
    noisy, noise, t = draw_noisy(clean, jax.random.key(1), schedule)
    if schedule is not None:
        assert set(np.asarray(t).tolist()) == {0.0, 1.0, 2.0}
        np.testing.assert_allclose(noisy, add_noise(clean, noise, t.astype(int), schedule), rtol=1e-5, atol=1e-6)
    else:
        assert FIRST_TIME <= float(t.min()) < 0.02
        assert 0.98 < float(t.max()) <= 1.0
        alpha, sigma = marginal(t[:, None])
        np.testing.assert_allclose(noisy, alpha * clean + sigma * noise, rtol=1e-5, atol=1e-6)
    # Independent of the data and standard normal: 1200 numbers have a mean within 0.12 of 0 (four deviations).
    assert abs(float(noise.mean())) < 0.12
    assert float(noise.std()) == pytest.approx(1.0, abs=0.1)


def test_the_loss_by_hand() -> None:
    # rows: 1^2 + 2^2 = 5 and 3^2 = 9; weights 2 and 0: (10 + 0) / 2 = 5; unweighted (5 + 9) / 2 = 7
    predicted = jnp.array([[1.0, 2.0], [3.0, 0.0]])
    loss, metrics = weighted_noise_loss(predicted, jnp.zeros((2, 2)), jnp.array([2.0, 0.0]))
    assert float(loss) == 5.0
    assert float(metrics["policy/noise_error"]) == 7.0


# --- samplers ---


@pytest.mark.parametrize("extra_last_steps", [0, 2])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_ancestral_sampler_recovers_a_point(steps: int, extra_last_steps: int) -> None:
    """With all data in one point c, the noise in x is (x - sqrt(abar) c) / sqrt(1 - abar), and the last step, where
    abar = alpha, gives (x - (x - sqrt(alpha) c)) / sqrt(alpha) = c, whatever came before."""
    point = jnp.array([[0.3, -0.7]])
    schedule = make_schedule("vp", steps)
    bars = jnp.asarray(schedule.alpha_bars)

    def predict(x, t):
        bar = bars[t.astype(int)]
        return (x - jnp.sqrt(bar) * point) / jnp.sqrt(1.0 - bar)

    start = jax.random.normal(jax.random.key(0), (50, 2))
    samples = ancestral(predict, start, jax.random.key(1), schedule=schedule, extra_last_steps=extra_last_steps)
    np.testing.assert_allclose(samples, jnp.broadcast_to(point, (50, 2)), atol=2e-5)


def test_the_ancestral_sampler_clips_and_draws_noise_but_at_the_last_step() -> None:
    zero = lambda x, t: jnp.zeros_like(x)  # noqa: E731
    start = jnp.full((4, 2), 10.0)
    one = make_schedule("vp", 1)
    np.testing.assert_array_equal(ancestral(zero, start, jax.random.key(0), schedule=one), jnp.ones((4, 2)))
    # One step is the last step: no noise, so the key does not matter. Two steps: it does, but at temperature 0.
    small = 1e-3 * jnp.ones((4, 2))
    run = lambda seed, steps, **options: np.asarray(  # noqa: E731
        ancestral(zero, small, jax.random.key(seed), schedule=make_schedule("vp", steps), **options)
    )
    np.testing.assert_array_equal(run(0, 1), run(1, 1))
    assert (run(0, 2) != run(1, 2)).any()
    np.testing.assert_array_equal(run(0, 2, temperature=0.0), run(1, 2, temperature=0.0))


def test_dpm_solver_converges_to_the_exact_flow_of_a_gaussian() -> None:
    """Data ~ N(0.2, 0.1^2). The noise in x at t is sigma (x - 0.2 alpha) / (0.01 alpha^2 + sigma^2), and the flow
    carries quantiles into quantiles: x_t = 0.2 alpha + z sqrt(0.01 alpha^2 + sigma^2)."""
    mean, deviation = 0.2, 0.1

    def spread(t):
        alpha, sigma = marginal(t)
        return alpha, sigma, jnp.sqrt((deviation * alpha) ** 2 + sigma**2)

    def predict(x, t):
        alpha, sigma, width = spread(t)
        return sigma * (x - mean * alpha) / width**2

    z = jnp.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
    alpha, _, width = spread(jnp.float32(1.0))
    alpha_end, _, width_end = spread(jnp.float32(FIRST_TIME))
    exact = mean * alpha_end + width_end * z
    errors = [
        float(jnp.abs(dpm_solver_1(predict, mean * alpha + width * z, steps=steps) - exact).max())
        for steps in (10, 40, 160, 640)
    ]
    # First order: four times the steps, about a quarter of the error.
    ratios = [coarse / fine for coarse, fine in pairwise(errors)]
    assert ratios[0] < ratios[1] < ratios[2] < 4.0, errors
    assert ratios[-1] > 3.7, errors
    assert errors[-1] < 5e-3


# --- the policy ---


@pytest.mark.parametrize("sampler", ["ddpm", "dpm_solver"])
def test_a_policy_learns_the_weighted_half_of_its_data(sampler: str) -> None:
    """Actions are +0.5 (weight 1) or -0.5 (weight 0): samples must lie near +0.5."""
    config = replace(CONFIG, sampler=sampler)
    state = fresh(DataSpec(1, 1, 10), jax.random.key(0), config=config)
    signs = jnp.tile(jnp.array([1.0, -1.0]), 32)[:, None]
    observation, weights = jnp.zeros((64, 1)), (signs[:, 0] > 0).astype(jnp.float32)

    def one_step(state, key):
        state, metrics = update_policy(state, observation, 0.5 * signs, weights, key, config=config)
        return state, metrics["policy/loss"]

    state, losses = jax.jit(lambda s, keys: jax.lax.scan(one_step, s, keys))(
        state, jax.random.split(jax.random.key(1), 800)
    )
    assert float(losses[-50:].mean()) < 0.5 * float(losses[:50].mean())
    samples = sample(state.network_ema, jnp.zeros((1, 1)), jax.random.key(2), num_candidates=200, config=config)
    assert float((jnp.abs(samples - 0.5) < 0.25).mean()) > 0.9


def test_candidates_belong_to_their_observation() -> None:
    """[n, candidates, act]: candidates of one observation are consecutive rows of the one batch."""
    config = replace(CONFIG, noise_temperature=0.0, start_temperature=0.0)  # nothing is random
    network = fresh(DataSpec(3, 2, 10), jax.random.key(0), config=config).network
    observation = jax.random.normal(jax.random.key(1), (4, 3))
    actions = sample(network, observation, jax.random.key(2), num_candidates=3, config=config)
    assert actions.shape == (4, 3, 2)
    np.testing.assert_allclose(actions, jnp.repeat(actions[:, :1], 3, axis=1), atol=1e-6)
    for index in range(4):
        alone = sample(network, observation[index : index + 1], jax.random.key(3), num_candidates=1, config=config)
        np.testing.assert_allclose(actions[index, :1], alone[0], atol=1e-5)
    assert len(np.unique(np.asarray(actions)[:, 0].round(4), axis=0)) == 4


def test_the_acting_copy_follows_slowly() -> None:
    state = fresh(DataSpec(1, 1, 10), jax.random.key(0), config=CONFIG)
    observation, action = jnp.zeros((4, 1)), jnp.zeros((4, 1))
    after, _ = update(state, observation, action, jnp.ones(4), jax.random.key(1), config=CONFIG)
    # ema = old + 0.05 (new - old)
    old, new, ema = (network.exit.bias for network in (state.network, after.network, after.network_ema))
    assert (np.asarray(new) != np.asarray(old)).all()
    np.testing.assert_allclose(ema, old + 0.05 * (new - old), rtol=1e-6)
