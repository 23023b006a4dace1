"""Guided sampling of segments from a diffusion model that predicts clean ones."""

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
    """Kind of sampler: ancestral, ddim or dpm_solver (DPM-Solver++ 2M)."""
    steps: Annotated[int | None, Range("[1, 10000]")] = None
    """Denoising steps from pure noise; None: as many as the model was trained with."""
    temperature: Annotated[float, Range("[0, inf)")] = 1.0
    """Share of the posterior noise that is added (`ancestral` only)."""
    warm_steps: Annotated[int, Range("[0, 10000]")] = 0
    """Denoising steps from the previous plan, moved on by a step and noised again, where there is one. 0: always from
    pure noise."""


class Sampled(NamedTuple):
    """Sampled segments and their predicted reward and cost to come.

    Reward and cost are of the last guide evaluation, at diffusion time 0 before the last denoising step, and so not of
    the final segments.
    """

    segments: Float[Array, "b H d"]
    """Segments in normalized units."""
    reward: Float[Array, " b"]
    cost: Float[Array, " b"]


def fix_observation(x: Float[Array, "b H d"], observation: Float[Array, "b obs"]) -> Float[Array, "b H d"]:
    """Segments whose first observation, behind the action, is replaced by the present one.

    Args:
        x: Segments [b, H, d].
        observation: Present observations [b, obs], in the units of the segments.

    Returns:
        Segments [b, H, d].
    """
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
    """Sample segments in one compiled loop over the steps: guide, denoise, replace the first observation.

    Gradients of the values are computed only at guided diffusion times. Rows that start from a previous plan wait for
    rows that start from noise.

    Args:
        predict: Denoiser.
        values: Gives reward and cost to come of noisy segments.
        noise: Standard normal numbers [b, H, d].
        observation: Present observations [b, obs], normalized.
        budget: Cost budget of each segment [b]; inf: no limit.
        key: One key for all, or keys [n] for n environments, whose segments lie side by side.
        steps: Coefficients of the denoising steps.
        guide_config: Guidance.
        spread: Spreads of reward and cost to come, for `guide`.
        warm_steps: Last steps that start from `previous`; 0: none.
        previous: Previous plans [b, H, d], moved on by a step; None: all start from noise.
        fresh: Rows [b] without a previous plan.
        last_values: Whether the values are evaluated at the last step even where no gradient needs them.

    Returns:
        Segments, and reward and cost to come of the last evaluation.
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
    """Result of planning with the fastest form of the networks.

    On a CUDA device each layer is one kernel, where the kernels take the sizes of both networks. What is placed on the
    CPU of such a machine plans without.

    Args:
        plan: Function of the denoiser and the stacked value networks.
        model: Denoiser.
        values: Value networks, stacked along a leading axis.
        horizon: Steps of a segment.
        times: Number of diffusion times.

    Returns:
        What `plan` returns.
    """
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
    """Candidate of the largest reward under the budget, else of the smallest cost.

    TREBI (arXiv 2306.00603) without its finite penalty, which loses the order.

    Args:
        reward: Predicted reward to come of each candidate [n, c].
        cost: Predicted cost to come of each candidate [n, c].
        budget: Remaining budget of each environment [n], in the units of `cost`; inf: no limit.

    Returns:
        Index of the candidate of each environment [n].
    """
    feasible = cost <= budget[:, None]
    best = jnp.argmax(jnp.where(feasible, reward, -jnp.inf), -1)
    return jnp.where(feasible.any(-1), best, jnp.argmin(cost, -1))
