"""Gradient guidance of noisy segments towards reward and under a cost budget (TREBI, Lin et al., ICML 2023, arXiv
2306.00603)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.ranges import NUMBER, Range, Ranged

Values = Callable[[Float[Array, "b H d"], Float[Array, " 1"]], tuple[Float[Array, " b"], Float[Array, " b"]]]
"""(noisy segments, diffusion time) -> (reward to come R, cost to come C) of each segment."""
Constraint = Callable[[Float[Array, "b H d"]], Float[Array, "b H d"]]
"""Projection of segments, such as onto those that start with the present observation."""


@dataclass(frozen=True)
class GuideConfig(Ranged, part="guide"):
    """Gradient guidance of segments before each denoising step."""

    kind: Literal["hinge", "exponential"] = "hinge"
    """hinge: gradient of R - w (C - b)+. exponential: w grows with the excess, to w exp(clip((C - b) / b, 0, 1)) (the
    authors' types 1 and 0)."""
    cost_weight: Annotated[float, Range("[0, inf)")] = 100.0
    """w: reward given up per unit of cost above the budget (per spread of both where `units` is spread)."""
    units: Literal["raw", "spread"] = "raw"
    """raw: R and C in their own units. spread: R and C divided by their spread in the data, so that one w serves all
    tasks."""
    steps: Annotated[int, Range("[0, 10000]")] = 2
    """K, gradient steps before each denoising step."""
    scale: Annotated[float, Range("[0, inf)")] = 0.1
    """Length of a gradient step per variance of the denoising step."""
    stop: Annotated[int, Range(NUMBER)] = 2
    """No gradients at diffusion times below this."""
    start: Annotated[int, Range(NUMBER)] = 1_000
    """No gradients at diffusion times above this, so that the late steps alone are guided."""
    actions_only: bool = False
    """Whether gradients move a segment's actions alone and leave its observations to the model."""


def guide_gradient(
    values: Values,
    x: Float[Array, "b H d"],
    t: Float[Array, " 1"],
    budget: Float[Array, " b"],
    *,
    kind: Literal["hinge", "exponential"],
    reward_scale: Array | float = 1.0,
    cost_weight: Array | float,
) -> tuple[Float[Array, "b H d"], tuple[Float[Array, " b"], Float[Array, " b"]]]:
    """Gradient of R - w (C - b)+ at each segment, from one backward pass.

    Under an infinite budget it is the gradient of R.

    Args:
        values: Gives R and C of noisy segments.
        x: Noisy segments [b, H, d].
        t: Diffusion time [1].
        budget: b of each segment [b], in the units of C; inf: no limit.
        kind: How w depends on the excess: not at all (hinge), or growing with it (exponential).
        reward_scale: Factor of R.
        cost_weight: w, per unit of C.

    Returns:
        (gradient [b, H, d], (R [b], C [b])).
    """

    def total(moved: Float[Array, "b H d"]) -> tuple[Array, tuple[Array, Array]]:
        reward, cost = values(moved, t)
        weight = jnp.full_like(cost, cost_weight)
        if kind == "exponential":
            bounded = jnp.isfinite(budget) & (budget != 0.0)
            excess = jax.lax.stop_gradient(cost) / jnp.where(bounded, budget, 1.0) - 1.0
            weight = weight * jnp.where(bounded, jnp.exp(jnp.clip(excess, 0.0, 1.0)), 1.0)
        above = cost > budget
        hinge = jnp.where(above, weight * (cost - jnp.where(above, budget, 0.0)), 0.0)
        return jnp.sum(reward_scale * reward - hinge), (reward, cost)

    gradient, found = jax.grad(total, has_aux=True)(x)
    return gradient, found


def guide(
    values: Values,
    x: Float[Array, "b H d"],
    t: Float[Array, " 1"],
    variance: Float[Array, ""],
    budget: Float[Array, " b"],
    *,
    config: GuideConfig,
    constrain: Constraint,
    action_dim: int,
    spread: tuple[Array, Array] | None = None,
) -> tuple[Float[Array, "b H d"], tuple[Float[Array, " b"], Float[Array, " b"]]]:
    """K gradient steps of length scale times variance, each followed by a projection.

    Args:
        values: Gives R and C of noisy segments.
        x: Noisy segments [b, H, d].
        t: Diffusion time [1].
        variance: Variance of the denoising step, a scalar.
        budget: b of each segment [b], in the units of C; inf: no limit.
        config: Number and length of the steps, and the weight of costs.
        constrain: Projection after each step.
        action_dim: Numbers of an action, which come first in a step of a segment.
        spread: Spreads of R and C in the data; needed where `config.units` is spread.

    Returns:
        (guided segments [b, H, d], (R [b], C [b]) before the last step; zeros without steps).
    """
    reward_scale, cost_weight = jnp.ones(()), jnp.asarray(config.cost_weight, x.dtype)
    if config.units == "spread":
        assert spread is not None
        reward_scale, cost_weight = 1.0 / spread[0], cost_weight / spread[1]

    def one_step(carry, _):
        x, _ = carry
        gradient, found = guide_gradient(
            values, x, t, budget, kind=config.kind, reward_scale=reward_scale, cost_weight=cost_weight
        )
        if config.actions_only:
            gradient = gradient.at[:, :, action_dim:].set(0.0)
        return (constrain(x + config.scale * variance * gradient), found), None

    zeros = jnp.zeros(x.shape[0], x.dtype)
    (x, found), _ = jax.lax.scan(one_step, (x, (zeros, zeros)), None, length=config.steps)
    return x, found
