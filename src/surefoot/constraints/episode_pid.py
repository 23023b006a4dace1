"""The multiplier of SafeDreamer's planner OSRP-Lag: a PID controller on the costs of single episodes (SafeDreamer, ICLR
2024, arXiv 2307.07176).

`multipliers.pid_update` is given means over many episodes. Here the controller smooths before it integrates, and
compares with the cost of some episodes ago, because the costs of single episodes are mostly noise.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.ranges import NUMBER, Range, Ranged


@dataclass(frozen=True)
class EpisodePIDConfig(Ranged, part="pid"):
    """Gains of the multiplier's controller on episode costs; the defaults are SafeDreamer's (code)."""

    proportional: Annotated[float, Range("[0, inf)")] = 0.1
    """Multiplier per unit of smoothed cost above the limit."""
    integral: Annotated[float, Range("[0, inf)")] = 0.01
    """Multiplier per unit of cost above the limit and episode."""
    derivative: Annotated[float, Range("[0, inf)")] = 0.01
    """Multiplier per unit by which the smoothed cost rose over `delay` episodes; a fall counts nothing."""
    averaging: Annotated[float, Range("[0, 1)")] = 0.99
    """Share of the old value that the mean cost keeps in an episode; its excess over the limit is integrated."""
    smoothing: Annotated[float, Range("[0, 1)")] = 0.95
    """Share of the old value that the smoothed excess and the smoothed cost keep in an episode (proportional and
    derivative terms)."""
    delay: Annotated[int, Range("[1, 2^20]")] = 10
    """Episodes over which a rise of the cost is measured."""
    most: Annotated[float, Range("[0, inf)")] = 0.1
    """Upper bound of the multiplier."""
    after_steps: Annotated[int, Range(NUMBER)] = 5000
    """Environment steps before the multiplier moves."""


class EpisodePIDState(NamedTuple):
    """State of the controller; float32."""

    multiplier: Float[Array, ""]
    """Multiplier in [0, most]."""
    integral: Float[Array, ""]
    """The integral part, at least 0."""
    mean_cost: Float[Array, ""]
    """Exponential mean of episode costs (`averaging`)."""
    smoothed_excess: Float[Array, ""]
    """Exponential mean of the mean cost above the limit (`smoothing`)."""
    smoothed_costs: Float[Array, " history"]
    """Exponential mean of episode costs after each of the last `delay` + 1 episodes, the latest last. Before so many
    episodes, the first value fills the rest."""
    episodes: Float[Array, ""]
    """Number of episodes since the multiplier began to move."""
    steps: Float[Array, ""]
    """Environment steps so far."""


def episode_pid_init(config: EpisodePIDConfig) -> EpisodePIDState:
    """State of the controller before the first episode: a multiplier of 0."""
    zero = lambda: jnp.zeros(())  # noqa: E731
    return EpisodePIDState(zero(), zero(), zero(), zero(), jnp.zeros(config.delay + 1), zero(), zero())


def episode_pid_update(
    state: EpisodePIDState,
    cost: Float[Array, ""],
    length: Float[Array, ""],
    *,
    limit: float,
    config: EpisodePIDConfig,
) -> EpisodePIDState:
    """One update of the multiplier after an episode.

    lambda = clip(K_p Delta + I + K_d D, 0, most), with delta = EMA(cost) - limit, I <- max(0, I + K_i delta), Delta =
    EMA(delta) and D = max(0, EMA'(cost) - its value `delay` episodes ago). Every mean starts at its first value. Only
    `steps` changes during the first `after_steps` environment steps.

    Args:
        state: State before the episode.
        cost: Undiscounted cost of the episode, a scalar.
        length: Environment steps of the episode, a scalar.
        limit: Undiscounted cost allowed over an episode.
        config: Gains, smoothing and bounds.

    Returns:
        State after the episode.
    """
    state = state._replace(steps=state.steps + length)
    first = state.episodes == 0

    def averaged(old: Array, new: Array, share: float) -> Array:
        return jnp.where(first, new, share * old + (1.0 - share) * new)

    mean_cost = averaged(state.mean_cost, cost, config.averaging)
    excess = mean_cost - limit
    smoothed_excess = averaged(state.smoothed_excess, excess, config.smoothing)
    latest = averaged(state.smoothed_costs[-1], cost, config.smoothing)
    known = jnp.where(first, latest, state.smoothed_costs)
    smoothed_costs = jnp.concatenate([known[1:], latest[None]])
    integral = jnp.maximum(0.0, state.integral + config.integral * excess)
    rise = jnp.maximum(0.0, latest - smoothed_costs[0])
    raw = config.proportional * smoothed_excess + integral + config.derivative * rise
    moved = EpisodePIDState(
        jnp.clip(raw, 0.0, config.most), integral, mean_cost, smoothed_excess, smoothed_costs, state.episodes + 1.0,
        state.steps,
    )  # fmt: skip
    waits = state.steps <= config.after_steps
    return jax.tree.map(lambda old, new: jnp.where(waits, old, new), state, moved)
