"""FISOR's weights of transitions and its choice among candidate actions: pure functions of what the values say."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from surefoot.errors import ConfigError
from surefoot.types import Transition

Weighting = Literal["feasibility", "imitation", "behaviour_cloning"]
WEIGHT_BLOCK = 8192
"""Rows whose weights are computed at once: bounds memory, changes no number."""
Extraction = Literal["minqc", "maxq", "feasible_first", "first_feasible"]


class Estimates(NamedTuple):
    """What the frozen values say of transitions: minimum of Q_r, V_r, maximum of Q_h, V_h; each [B]."""

    q_r: Float[Array, " b"]
    v_r: Float[Array, " b"]
    q_h: Float[Array, " b"]
    v_h: Float[Array, " b"]


def transition_weights(
    estimates: Estimates,
    *,
    weighting: Weighting,
    reward_temperature: float | Float[Array, ""],
    constraint_temperature: float | Float[Array, ""],
    margin: float | Float[Array, ""] = 0.0,
    relief: Float[Array, " b"] | None = None,
) -> Float[Array, " b"]:
    """Weights w(s, a) >= 0 of the policy's regression.

    feasibility (equation 14): inside (V_h <= 0) 1[Q_h <= 0] min(exp(alpha_r (Q_r - V_r)), 100); outside
    min(exp(alpha_h (V_h - Q_h)), 150). imitation (no rewards): inside 1[Q_h <= 0] alpha_r; outside
    1[Q_h < V_h] clip(exp(alpha_h (V_h - Q_h)), 1, 150). behaviour_cloning: 1.

    Beyond the paper: a `relief` (V_c - Q_c, violations that an action avoids) takes the place of V_h - Q_h. With a
    `margin` (units of the values) the inside is V_h <= -margin and asks for Q_h <= -margin: in the band before the
    border the policy learns the ways back from it.
    """
    q_r, v_r, q_h, v_h = estimates
    better = v_h - q_h if relief is None else relief
    escape = jnp.exp(constraint_temperature * better)
    if weighting == "feasibility":
        inside = (q_h <= -margin) * jnp.minimum(jnp.exp(reward_temperature * (q_r - v_r)), 100.0)
        outside = jnp.minimum(escape, 150.0)
    elif weighting == "imitation":
        inside = (q_h <= -margin) * jnp.asarray(reward_temperature, jnp.float32)
        outside = (better > 0) * jnp.clip(escape, 1.0, 150.0)
    elif weighting == "behaviour_cloning":
        return jnp.ones_like(v_h)
    else:
        raise ConfigError(f"unknown weighting '{weighting}'; known: feasibility, imitation, behaviour_cloning.")
    return jnp.where(v_h <= -margin, inside, outside)


def advantage_spreads(
    estimates: Estimates, *, margin: float | Float[Array, ""] = 0.0, relief: Float[Array, " b"] | None = None
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Standard deviations of the reward advantage inside the region and of the constraint's outside it.

    Temperatures divided by them mean the same on every task: with rewards in metres exp(5 A) is nearly 1 everywhere.
    """
    q_r, v_r, q_h, v_h = estimates
    inside = v_h <= -margin
    _, reward_spread = mean_and_spread(q_r - v_r, inside & (q_h <= -margin))
    _, constraint_spread = mean_and_spread(v_h - q_h if relief is None else relief, ~inside)
    return reward_spread, constraint_spread


def mean_and_spread(values: Float[Array, " b"], rows: Bool[Array, " b"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and standard deviation over the marked rows; 0 and 1 where fewer than two are marked, or all are equal."""
    marked = rows.astype(jnp.float32)
    count = marked.sum()
    mean = (marked * values).sum() / jnp.maximum(count, 1.0)
    variance = (marked * (values - mean) ** 2).sum() / jnp.maximum(count, 1.0)
    some = (count > 1) & (variance > 0)
    return jnp.where(some, mean, 0.0), jnp.where(some, jnp.sqrt(variance), 1.0)


def choose_candidate(
    q_r: Float[Array, "n c"],
    q_h: Float[Array, "n c"],
    q_c: Float[Array, "n c"] | None = None,
    *,
    extraction: Extraction,
    margin: float | Float[Array, ""],
    escape_slack: float = 0.0,
    escape_above: float = 0.0,
) -> Int[Array, " n"]:
    """Index of the executed candidate.

    minqc: the smallest Q_h (the paper's). maxq: the largest Q_r. feasible_first: among those with Q_h <= -margin the
    largest Q_r; where there is none, the smallest Q_h. first_feasible: as that, but the first of those instead of the
    largest Q_r, a sample of the policy restricted to what is feasible: the maximum over candidates finds the errors of
    a Q_r that was not trained to rank them. Where even that exceeds `escape_above`, all within
    `escape_slack` of it compete by Q_r: the worst cannot be helped any more (V_h >= h(s) whatever is done), and the
    smallest Q_h alone would leave the robot standing inside the hazard. With `q_c`, discounted violations to come, the
    smallest of it acts where no candidate is feasible. All three are in the units of the values.
    """
    if extraction == "minqc":
        return jnp.argmin(q_h, axis=-1)
    if extraction == "maxq":
        return jnp.argmax(q_r, axis=-1)
    if extraction not in ("feasible_first", "first_feasible"):
        raise ConfigError(f"unknown extraction '{extraction}'; known: minqc, maxq, feasible_first, first_feasible.")
    allowed = q_h <= -margin
    if q_c is None:
        smallest = q_h.min(-1, keepdims=True)
        allowed = q_h <= jnp.maximum(-margin, smallest + escape_slack * (smallest > escape_above))
    if extraction == "first_feasible":
        best = jnp.argmax(allowed, axis=-1)
    else:
        best = jnp.argmax(jnp.where(allowed, q_r, -jnp.inf), axis=-1)
    return best if q_c is None else jnp.where(allowed.any(-1), best, jnp.argmin(q_c, axis=-1))


def pairs_of(observation: Float[Array, "n obs"], actions: Float[Array, "n c act"]) -> Float[Array, "rows in"]:
    """Critic inputs [n * c, obs + act] of every candidate with its observation."""
    count, candidates, _ = actions.shape
    repeated = jnp.broadcast_to(observation[:, None], (count, candidates, observation.shape[-1]))
    return jnp.concatenate([repeated, actions], -1).reshape(count * candidates, -1)


def in_blocks(function: Any, rows: Transition) -> Any:
    """`function` over equal blocks of rows, the last one padded with copies of the first row; results [N]."""
    count = rows.reward.shape[0]
    block = min(WEIGHT_BLOCK, count)
    index = np.arange(-(-count // block) * block)
    index = np.where(index < count, index, 0).reshape(-1, block)
    results = jax.lax.map(lambda i: function(jax.tree.map(lambda values: values[i], rows)), jnp.asarray(index))
    return jax.tree.map(lambda values: values.reshape(-1)[:count], results)
