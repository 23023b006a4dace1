"""Diffusion policies of FISOR and behaviour cloning: configuration, training step, candidates."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from surefoot.diffusion.samplers import ancestral, dpm_solver_1
from surefoot.diffusion.schedules import FIRST_TIME, BetaSchedule, Schedule, make_schedule, marginal
from surefoot.nn import Denoiser, DenoiserConfig, apply_gradient, init_optimizer, move_towards
from surefoot.ranges import COUNT, Range, Ranged
from surefoot.types import DataSpec, Metrics


@dataclass(frozen=True)
class DiffusionPolicyConfig(Ranged, part="diffusion"):
    """Hyper-parameters of a diffusion policy (FISOR, arXiv 2401.10700)."""

    network: DenoiserConfig = field(default_factory=DenoiserConfig)
    """Sizes of the noise predictor."""
    diffusion_steps: Annotated[int, Range("[1, 10000]")] = 5
    """Denoising steps T."""
    beta_schedule: BetaSchedule = "vp"
    """Noise schedule of the `ddpm` sampler: vp, cosine or linear."""
    sampler: Literal["ddpm", "dpm_solver"] = "ddpm"
    """Ancestral sampling in discrete time, or first-order DPM-Solver with training in continuous time."""
    extra_last_steps: Annotated[int, Range("[0, 10000]")] = 0
    """Repetitions of the last denoising step (M; `ddpm` only)."""
    start_temperature: Annotated[float, Range("[0, inf)")] = 1.0
    """Standard deviation of the noise that sampling starts from (the legacy DPM-Solver starts from 0)."""
    noise_temperature: Annotated[float, Range("[0, inf)")] = 1.0
    """Share of the posterior noise added while sampling (`ddpm` only)."""
    learning_rate: Annotated[float, Range("(0, inf)")] = 3e-4
    """First learning rate of AdamW without decay of weights; falls to 0 as a cosine."""
    decay_steps: Annotated[int, Range(COUNT)] = 3_000_000
    """Optimiser steps over which the learning rate falls to 0."""
    ema_rate: Annotated[float, Range("(0, 1]")] = 0.001
    """Share of the online policy that enters the acting copy at each optimiser step."""

    @property
    def schedule(self) -> Schedule | None:
        """The discrete noise schedule; None where training is in continuous time."""
        if self.sampler == "dpm_solver":
            return None
        return make_schedule(self.beta_schedule, self.diffusion_steps)

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return optax.adamw(optax.cosine_decay_schedule(self.learning_rate, self.decay_steps), weight_decay=0.0)


class DiffusionPolicyState(NamedTuple):
    """The online network, its moving average, which acts, and the optimizer's state."""

    network: Denoiser
    network_ema: Denoiser
    optimizer: optax.OptState


def init_policy(spec: DataSpec, key: Key[Array, ""], *, config: DiffusionPolicyConfig) -> DiffusionPolicyState:
    """A fresh policy; the moving average has buffers of its own, so that the state can be donated.

    Args:
        spec: Shapes of the data.
        key: Random key of the parameters.
        config: Sizes and optimizer.

    Returns:
        The state before the first update.
    """
    network = Denoiser.create(key, spec.observation_dim, spec.action_dim, config.network)
    return DiffusionPolicyState(network, jax.tree.map(jnp.copy, network), init_optimizer(config.optimizer, network))


def add_noise(
    clean: Float[Array, "b ..."], noise: Float[Array, "b ..."], t: Int[Array, " b"], schedule: Schedule
) -> Float[Array, "b ..."]:
    """sqrt(abar_t) clean + sqrt(1 - abar_t) noise.

    Args:
        clean: Samples, [b, ...].
        noise: Standard normal numbers, [b, ...].
        t: Times in 0..T-1, [b].
        schedule: Noise schedule of T steps.

    Returns:
        Noisy samples, [b, ...].
    """
    alpha_bar = jnp.asarray(schedule.alpha_bars)[t].reshape(-1, *[1] * (clean.ndim - 1))
    return jnp.sqrt(alpha_bar) * clean + jnp.sqrt(1.0 - alpha_bar) * noise


def draw_noisy(
    clean: Float[Array, "b ..."], key: Key[Array, ""], schedule: Schedule | None
) -> tuple[Float[Array, "b ..."], Float[Array, "b ..."], Float[Array, " b"]]:
    """Noisy samples at random diffusion times.

    Args:
        clean: Samples, [b, ...]; [b, n] in continuous time.
        key: Random key of noise and times.
        schedule: Noise schedule, for uniform times in 0..T-1; None: continuous times, uniform on [1e-3, 1].

    Returns:
        (noisy, noise, times [b]).
    """
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
    """Mean over the batch of w sum_dims (predicted - noise)^2; weighted regression is exact energy guidance (FISOR,
    theorem 3).

    Args:
        predicted: Predicted noise, [b, n].
        noise: Noise, [b, n].
        weights: w >= 0, [b].

    Returns:
        `(loss, metrics)`: `policy/loss`, and `policy/noise_error`, the unweighted error.
    """
    errors = jnp.sum((predicted - noise) ** 2, -1)
    loss = jnp.mean(weights * errors)
    return loss, {"policy/loss": loss, "policy/noise_error": jnp.mean(errors)}


def policy_loss(
    network: Denoiser,
    observation: Float[Array, "b obs"],
    action: Float[Array, "b act"],
    weights: Float[Array, " b"],
    key: Key[Array, ""],
    *,
    schedule: Schedule | None,
    dropout: float,
) -> tuple[Float[Array, ""], Metrics]:
    """Weighted noise prediction at random diffusion times: mean of w sum_dims (eps_hat - eps)^2 (FISOR, theorem 3).

    Args:
        network: Predicts the noise.
        observation: States, [b, obs].
        action: Actions, [b, act].
        weights: w >= 0, [b].
        key: Random key of times, noise and dropout.
        schedule: Noise schedule; None: continuous time.
        dropout: Dropout rate.

    Returns:
        (loss, metrics) as of `weighted_noise_loss`.
    """
    k_noise, k_dropout = jax.random.split(key)
    noisy, noise, t = draw_noisy(action, k_noise, schedule)
    if schedule is None:
        time_part = network.embed_time(t)
    else:  # only T different times: embed each once and pick by a product, whose gradient is a product, too
        table = network.embed_time(jnp.arange(schedule.steps, dtype=jnp.float32))
        time_part = jax.nn.one_hot(t.astype(jnp.int32), schedule.steps) @ table
    condition = network.embed_observation(observation) + time_part
    predicted = network.predict(noisy, condition, dropout=dropout, key=k_dropout)
    return weighted_noise_loss(predicted, noise, weights)


def update_policy(
    state: DiffusionPolicyState,
    observation: Float[Array, "b obs"],
    action: Float[Array, "b act"],
    weights: Float[Array, " b"],
    key: Key[Array, ""],
    *,
    config: DiffusionPolicyConfig,
) -> tuple[DiffusionPolicyState, Metrics]:
    """One optimizer step on a weighted batch, then one step of the moving average.

    Args:
        state: State of the policy.
        observation: States, [b, obs].
        action: Actions, [b, act].
        weights: w >= 0, [b].
        key: Random key of times, noise and dropout.
        config: Noise schedule and optimizer.

    Returns:
        (state, metrics) as of `weighted_noise_loss`.
    """
    gradient, metrics = jax.grad(policy_loss, has_aux=True)(
        state.network, observation, action, weights, key, schedule=config.schedule, dropout=config.network.dropout
    )
    network, optimizer = apply_gradient(config.optimizer, gradient, state.optimizer, state.network)
    ema = move_towards(state.network_ema, network, rate=config.ema_rate)
    return DiffusionPolicyState(network, ema, optimizer), metrics


def propose(
    network: Denoiser,
    observation: Float[Array, "n obs"],
    key: Key[Array, ""],
    *,
    num_candidates: int,
    config: DiffusionPolicyConfig,
) -> Float[Array, "n candidates act"]:
    """Candidate actions; the observation's embedding is computed once for all candidates and steps.

    Args:
        network: Predicts the noise.
        observation: States, [n, obs].
        key: Random key of the noise.
        num_candidates: Actions a state.
        config: Sampler and temperatures.

    Returns:
        Actions in [-1, 1], [n, candidates, act].
    """
    count, action_dim = observation.shape[0], network.action_dim
    k_start, k_steps = jax.random.split(key)
    start = config.start_temperature * jax.random.normal(k_start, (count * num_candidates, action_dim))
    condition = jnp.repeat(network.embed_observation(observation), num_candidates, axis=0)

    def predict(noisy: Array, t: Array) -> Array:
        return network.predict(noisy, condition + network.embed_time(t[None]))

    schedule = config.schedule
    if schedule is None:
        actions = dpm_solver_1(predict, start, steps=config.diffusion_steps)
    else:
        actions = ancestral(
            predict,
            start,
            k_steps,
            schedule=schedule,
            temperature=config.noise_temperature,
            extra_last_steps=config.extra_last_steps,
        )
    return actions.reshape(count, num_candidates, action_dim)
