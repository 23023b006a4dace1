"""Segments sampled from a diffusion model that predicts clean ones, guided on the way, and the choice among them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from surefoot.diffusion.clean import CleanSampler, Steps
from surefoot.nn import TemporalUNet, TrajectoryValue
from surefoot.planning.guidance import GuideConfig, Values, guide
from surefoot.planning.noise import fold_in, normal_rows
from surefoot.ranges import Range, Ranged

Planned = TypeVar("Planned")
Predict = Callable[[Float[Array, "b H d"], Float[Array, " 1"]], Float[Array, "b H d"]]
"""(noisy segments, diffusion time) -> clean segments."""


@dataclass(frozen=True)
class SamplerConfig(Ranged, part="sampler"):
    """Diffusion sampler of segments, from noise or from the previous plan."""

    kind: CleanSampler = "ancestral"
    """ancestral, ddim or dpm_solver (DPM-Solver++ 2M)."""
    steps: Annotated[int | None, Range("[1, 10000]")] = None
    """Denoising steps from pure noise; None: as many as the model was trained with."""
    temperature: Annotated[float, Range("[0, inf)")] = 1.0
    """Share of the posterior noise that is added (`ancestral` only)."""
    warm_steps: Annotated[int, Range("[0, 10000]")] = 0
    """Where there is a plan from the step before: only so many of the last steps, from that plan moved on by a step and
    noised again. 0: always from pure noise."""


class Sampled(NamedTuple):
    """Segments [b, H, d], normalised, and the reward and cost to come that the last guide evaluation saw [b]: at
    diffusion time 0, before the last denoising step, and so not of these segments."""

    segments: Float[Array, "b H d"]
    reward: Float[Array, " b"]
    cost: Float[Array, " b"]


def fix_observation(x: Float[Array, "b H d"], observation: Float[Array, "b obs"]) -> Float[Array, "b H d"]:
    """Segments that start where the environment is: their first observation, behind the action, is replaced."""
    return x.at[:, 0, x.shape[-1] - observation.shape[-1] :].set(observation)


def sample_segments(
    predict: Predict,
    values: Values,
    noise: Float[Array, "b H d"],
    observation: Float[Array, "b obs"],
    budget: Float[Array, " b"],
    key: Key[Array, "*n"],
    *,
    steps: Steps,
    guide_config: GuideConfig,
    spread: tuple[Array, Array] | None = None,
    warm_steps: int = 0,
    previous: Float[Array, "b H d"] | None = None,
    fresh: Bool[Array, " b"] | None = None,
    last_values: bool = True,
) -> Sampled:
    """Sample segments in one compiled loop over the steps: guide, denoise, put the first observation back.

    Gradients of the values are computed only at the times that are guided. `key`: one for all, or [n] keys for as many
    environments, whose segments lie side by side. `previous`: segments from which the last `warm_steps` start, where
    `fresh` does not say that there is none; rows that start late wait for those that start from noise. `last_values`
    false leaves out the evaluation for `Sampled.reward` where no gradient needs it.
    """
    constrain = partial(fix_observation, observation=observation)
    guided = (steps.time >= guide_config.stop) & (steps.time <= guide_config.start)
    guided = guided & (guide_config.steps > 0)
    table = {name: jnp.asarray(column) for name, column in steps._asdict().items()}
    action_dim = noise.shape[-1] - observation.shape[-1]
    zeros = jnp.zeros(noise.shape[0], noise.dtype)

    first = None  # where every row starts with the first step
    x = noise
    if warm_steps and previous is not None and fresh is not None:
        first = jnp.where(fresh, 0, steps.number - warm_steps)[:, None, None]
        x = table["signal"][first] * previous + table["noise"][first] * noise

    def one_step(index, carry, *, is_guided):
        before, clean_before, found, _ = carry
        x = before
        at = {name: column[index] for name, column in table.items()}
        t = at["time"].astype(x.dtype)[None]
        if is_guided:
            x, found = guide(
                values, x, t, at["variance"], budget, config=guide_config, constrain=constrain, action_dim=action_dim,
                spread=spread,
            )  # fmt: skip
        entered = x
        clean = predict(x, t)
        ahead = jnp.where(index > (0 if first is None else first), at["extrapolate"], 0.0)
        x = at["keep"] * x + at["clean"] * (clean + ahead * (clean - clean_before))
        if steps.deviation.any():
            x = x + at["deviation"] * normal_rows(fold_in(key, index), x.shape)
        x = constrain(x)
        return x if first is None else jnp.where(index < first, before, x), clean, found, entered

    start = constrain(x)
    carry = (start, jnp.zeros_like(start), (zeros, zeros), start)
    # A loop for each run of steps that are led, or not: a branch inside would bring every step of a GPU to the host.
    ends = [0, *(np.flatnonzero(np.diff(guided)) + 1).tolist(), steps.number]
    for begin, end in itertools.pairwise(ends):
        since = begin if first is None else jnp.maximum(first.min(), begin)
        carry = jax.lax.fori_loop(since, end, partial(one_step, is_guided=bool(guided[begin])), carry)
    segments, _, found, entered = carry
    if last_values and not guided[-1]:
        found = values(entered, jnp.zeros(1, noise.dtype))
    return Sampled(segments, *found)


def with_fused_networks(
    plan: Callable[[Any, Any], Planned], model: TemporalUNet, values: TrajectoryValue, *, horizon: int, times: int
) -> Planned:
    """plan(denoiser, stacked values), these in the form in which they plan fastest: on a CUDA device a kernel a layer,
    where the kernels take the sizes of both. `times`: number of diffusion times."""
    if jax.default_backend() != "gpu":
        return plan(model, values)
    from surefoot.planning import fused_networks  # others need no Pallas

    if not fused_networks.takes_both(model, values, horizon):
        return plan(model, values)
    # What is placed on the CPU of a machine with a GPU is planned there.
    return jax.lax.platform_dependent(
        model,
        values,
        cuda=lambda model, values: plan(*fused_networks.both(model, values, horizon, times=times)),
        default=plan,
    )


def choose_plan(reward: Float[Array, "n c"], cost: Float[Array, "n c"], budget: Float[Array, " n"]) -> Int[Array, " n"]:
    """For each environment the candidate of the largest reward among those of cost <= budget; where there is none, the
    candidate of the smallest cost (TREBI, arXiv 2306.00603, without its finite penalty, which loses the order)."""
    feasible = cost <= budget[:, None]
    best = jnp.argmax(jnp.where(feasible, reward, -jnp.inf), -1)
    return jnp.where(feasible.any(-1), best, jnp.argmin(cost, -1))
