"""Constrained cross-entropy planning (Wen and Topcu, 2018; SafeDreamer, ICLR 2024, arXiv 2307.07176, section 4).

Action sequences are sampled, judged, and sampled again around the best of them. SafeDreamer's two planners differ in
the return that `evaluate` gives: OSRP's is that of the reward; OSRP-Lag's subtracts a multiple of the cost. The planner
knows no model: `evaluate` imagines.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from surefoot.ranges import Range, Ranged, Relation
from surefoot.types import FORMERLY

Evaluate = Callable[[Float[Array, "n s H act"], Key[Array, ""]], tuple[Float[Array, "n s"], Float[Array, "n s"]]]
"""(action sequences, key) -> (return of each, cost of each in the units of the limit)."""


@dataclass(frozen=True)
class CrossEntropyConfig(Ranged, part="planner"):
    """Numbers and spread of sampled sequences; the defaults are SafeDreamer's (code)."""

    num_samples: Annotated[int, Range("[1, 2^20]")] = field(default=500, metadata={FORMERLY: "samples"})
    """Sequences sampled in each iteration, beside the policy's."""
    num_policy_samples: Annotated[int, Range("[0, 2^20]")] = field(default=0, metadata={FORMERLY: "policy_samples"})
    """Sequences of the actor, which take part in every iteration."""
    iterations: Annotated[int, Range("[1, 10000]")] = 6
    """Iterations of sampling and judging before each action."""
    num_elites: Annotated[int, Range("[1, 2^20]")] = field(default=50, metadata={FORMERLY: "elites"})
    """Best sequences, around which the next ones are sampled."""
    momentum: Annotated[float, Range("[0, 1)")] = 0.1
    """Share of the old mean that is kept in each iteration."""
    std: Annotated[float, Range("(0, inf)")] = field(default=1.0, metadata={FORMERLY: "deviation"})
    """Standard deviation of the first iteration's actions, which are clipped to [-1, 1]."""

    def _relations(self) -> Iterator[Relation]:
        drawn = self.num_samples + self.num_policy_samples
        sentence = f"expected at most all {drawn} sequences, found {self.num_elites}"
        others = ("planner.num_samples", "planner.num_policy_samples")
        yield Relation(self.num_elites <= drawn, "num_elites", sentence, others)


class Plan(NamedTuple):
    """Plans of n environments."""

    mean: Float[Array, "n H act"]
    """Mean of the last elites; its first action is executed."""
    deviation: Float[Array, "n H act"]
    """Standard deviation of the last elites."""
    safe_share: Float[Array, " n"]
    """Share of the last iteration's sequences whose cost was below the limit."""


def safe_first(
    returns: Float[Array, "n s"], costs: Float[Array, "n s"], *, limit: float, elites: int
) -> Int[Array, "n elites"]:
    """Elites of each environment, best first: the largest returns among safe sequences, else the smallest costs.

    Returns decide where at least `elites` sequences cost less than the limit. The authors' code fills a smaller safe
    set up with copies of sequence 0; nothing is filled up here.

    Args:
        returns: Return of each sequence [n, s].
        costs: Cost of each sequence [n, s].
        limit: Allowed cost in the units of `costs`.
        elites: Number of elites, at most s.

    Returns:
        Indices of the elites [n, elites].
    """
    safe = costs < limit
    enough = safe.sum(-1, keepdims=True) >= elites
    score = jnp.where(enough, jnp.where(safe, returns, -jnp.inf), -costs)
    return jax.lax.top_k(score, elites)[1]


def refit(
    mean: Float[Array, "n H act"], elite: Float[Array, "n elites H act"], *, momentum: float
) -> tuple[Float[Array, "n H act"], Float[Array, "n H act"]]:
    """Mean and standard deviation from which the next iteration samples.

    Args:
        mean: Old mean [n, H, act].
        elite: Elites [n, elites, H, act].
        momentum: Share of the old mean that is kept, in [0, 1).

    Returns:
        (momentum * old mean + (1 - momentum) * mean of the elites, standard deviation of the elites), each [n, H, act].
    """
    return momentum * mean + (1.0 - momentum) * elite.mean(1), elite.std(1)


def shifted(mean: Float[Array, "n H act"]) -> Float[Array, "n H act"]:
    """Initial mean of the next step's planning: the plan one step later, with a zero action at its end."""
    return jnp.concatenate([mean[:, 1:], jnp.zeros_like(mean[:, :1])], 1)


def plan_actions(
    evaluate: Evaluate,
    start: Float[Array, "n H act"],
    key: Key[Array, ""],
    *,
    limit: float,
    config: CrossEntropyConfig,
    proposals: Float[Array, "n p H act"] | None = None,
) -> Plan:
    """Plan action sequences for n environments in one scan over the iterations.

    Args:
        evaluate: Judges sequences.
        start: Initial means [n, H, act].
        key: Random key.
        limit: Allowed cost in the units of `evaluate`.
        config: Numbers and spread of sampled sequences.
        proposals: Sequences [n, p, H, act] that take part in every iteration; None: sampled ones alone.

    Returns:
        Plans in [-1, 1].
    """
    count, horizon, action_dim = start.shape

    def one_iteration(carry: tuple[Array, Array], step_key: Key[Array, ""]) -> tuple[tuple[Array, Array], Array]:
        mean, deviation = carry
        k_draw, k_judge = jax.random.split(step_key)
        noise = jax.random.normal(k_draw, (count, config.num_samples, horizon, action_dim))
        drawn = jnp.clip(mean[:, None] + deviation[:, None] * noise, -1.0, 1.0)
        sequences = drawn if proposals is None else jnp.concatenate([drawn, proposals], 1)
        returns, costs = evaluate(sequences, k_judge)
        chosen = safe_first(returns, costs, limit=limit, elites=config.num_elites)
        elite = jnp.take_along_axis(sequences, chosen[:, :, None, None], 1)
        return refit(mean, elite, momentum=config.momentum), (costs < limit).mean(-1)

    first = (start, jnp.full_like(start, config.std))
    (mean, deviation), safe = jax.lax.scan(one_iteration, first, jax.random.split(key, config.iterations))
    return Plan(mean, deviation, safe[-1])
