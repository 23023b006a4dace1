"""FISOR's choice of an action: value estimates of states and actions, and the candidate that acts."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from surefoot.algorithms.fisor.config import Extraction, FISORConfig
from surefoot.algorithms.fisor.scales import constraint_unit, margin_of, standardized
from surefoot.algorithms.fisor.state import FISORState
from surefoot.diffusion.policy import propose
from surefoot.errors import ConfigError
from surefoot.types import ActionBounds, Decision


class Estimates(NamedTuple):
    """Frozen value estimates of b transitions: minimum of Q_r, V_r, maximum of Q_h, V_h."""

    q_r: Float[Array, " b"]
    v_r: Float[Array, " b"]
    q_h: Float[Array, " b"]
    v_h: Float[Array, " b"]


def estimate(
    state: FISORState, observation: Float[Array, "b obs"], action: Float[Array, "b act"], config: FISORConfig
) -> Estimates:
    """Target-critic and value estimates of transitions: min Q_r, V_r, max Q_h, V_h.

    Args:
        state: Training state.
        observation: Raw observations, [b, obs].
        action: Actions in [-1, 1], [b, act].
        config: FISOR's hyper-parameters.

    Returns:
        Q_r and V_r in units of scaled rewards (0 without reward values), Q_h and V_h in units of scaled h. With critics
        of costs (qc) the discounted cost limit is subtracted from Q_h and V_h.
    """
    observation = standardized(state.scales, observation)
    inputs = jnp.concatenate([observation, action], -1)
    no_rewards, learned = jnp.zeros(inputs.shape[:-1]), config.values.reward_values
    return Estimates(
        q_r=state.reward.critic_target(inputs).min(0) if learned else no_rewards,
        v_r=state.reward.value(observation) if learned else no_rewards,
        q_h=state.constraint.critic_target(inputs).max(0) - config.limit,
        v_h=state.constraint.value(observation).max(0) - config.limit,
    )


def scaled_value(state: FISORState, observation: Float[Array, "n obs"], config: FISORConfig) -> Float[Array, " n"]:
    """V_h of observations in units of scaled h; <= 0 is feasible.

    Args:
        state: Training state.
        observation: Raw observations, [n, obs].
        config: FISOR's hyper-parameters.

    Returns:
        Values, [n]; with critics of costs (qc) the discounted cost above the limit.
    """
    return state.constraint.value(standardized(state.scales, observation)).max(0) - config.limit


def acting_margin(state: FISORState, config: FISORConfig) -> float | Float[Array, ""]:
    """Margin of feasibility while acting, in units of scaled h.

    Args:
        state: Training state, with the quantiles of V_h where they are measured.
        config: FISOR's hyper-parameters; `extraction`, `scaling.margin_quantile` and `beyond.margin` set the margin.

    Returns:
        A scalar m: a state or an action is feasible where V_h or Q_h is at most -m.
    """
    if config.extraction not in ("feasible_first", "first_feasible"):
        return 0.0
    share = config.scaling.margin_quantile
    quantiles = None if state.scales is None else state.scales.safe_quantiles
    if state.scales is not None and state.scales.allowed_quantiles is not None:
        quantiles = state.scales.allowed_quantiles
    return margin_of(quantiles, share=share, least=-math.inf if share > 0 else config.beyond.margin)


def feasible_margin(state: FISORState, config: FISORConfig) -> Float[Array, ""]:
    """Margin of feasibility while acting.

    Args:
        state: The trained state.
        config: Its configuration.

    Returns:
        Margin in units of h, a scalar.
    """
    return jnp.asarray(acting_margin(state, config) * constraint_unit(state.scales), jnp.float32)


def decide(
    state: FISORState, observation: Float[Array, "n obs"], key: Key[Array, ""], config: FISORConfig,
    within: ActionBounds | None = None,
) -> Decision:  # fmt: skip
    """The executed action in each of n states, and whether any candidate is feasible there.

    Args:
        state: Training state.
        observation: Raw observations, [n, obs].
        key: Random key of the candidates.
        config: FISOR's hyper-parameters.
        within: Bounds that candidates are cut to before they are judged, or None.

    Returns:
        Actions [n, act] in [-1, 1], and flags [n]: False where the fallback of `extraction` acts.
    """
    seen = standardized(state.scales, observation)
    actions = propose(
        state.policy.network_ema, seen, key, num_candidates=config.num_candidates, config=config.diffusion
    )
    if config.beyond.safer_step > 0:
        actions = jnp.concatenate([actions, safer(state, observation, actions, config)], axis=1)
    actions = cut(actions, within)
    q_r, q_h, q_c = candidate_values(state, observation, actions, config)
    chosen = choose(state, q_r, q_h, q_c, config)
    return Decision(
        action=jnp.take_along_axis(actions, chosen[:, None, None], axis=1)[:, 0],
        feasible=q_h.min(-1) <= -acting_margin(state, config),
    )


def cut(actions: Float[Array, "n c act"], within: ActionBounds | None) -> Float[Array, "n c act"]:
    """Candidates as the plant would apply them.

    Args:
        actions: c candidates a state, [n, c, act].
        within: Bounds of what is applied as it is; None: everything is.

    Returns:
        Candidates within the bounds, [n, c, act].
    """
    return actions if within is None else jnp.clip(actions, within.low[:, None], within.high[:, None])


def candidate_values(
    state: FISORState, observation: Float[Array, "n obs"], actions: Float[Array, "n c act"], config: FISORConfig
) -> tuple[Float[Array, "n c"], Float[Array, "n c"], Float[Array, "n c"] | None]:
    """Target Q_r, Q_h and Q_c of every candidate action.

    Args:
        state: Training state.
        observation: Raw observations, [n, obs].
        actions: c candidates a state, [n, c, act].
        config: FISOR's hyper-parameters.

    Returns:
        (Q_r, Q_h, Q_c), each [n, c]. Q_r is 0 without reward values, Q_c is None without recovery values.
    """
    count, candidates, _ = actions.shape
    inputs = critic_inputs(standardized(state.scales, observation), actions)
    q_h = state.constraint.critic_target(inputs).max(0).reshape(count, candidates) - config.limit
    q_r, q_c = jnp.zeros_like(q_h), None
    if config.values.reward_values:
        q_r = state.reward.critic_target(inputs).min(0).reshape(count, candidates)
    if state.recovery is not None:
        q_c = state.recovery.critic_target(inputs).max(0).reshape(count, candidates)
    return q_r, q_h, q_c


def choose(
    state: FISORState, q_r: Float[Array, "n c"], q_h: Float[Array, "n c"], q_c: Float[Array, "n c"] | None,
    config: FISORConfig,
) -> Int[Array, " n"]:  # fmt: skip
    """Index of the candidate that acts, by `choose_candidate` with the configuration's options.

    Args:
        state: The trained state.
        q_r: Q_r of each candidate, [n, c].
        q_h: Q_h of each candidate, [n, c].
        q_c: Q_c of each candidate, [n, c], or None.
        config: Configuration.

    Returns:
        Indices, [n].
    """
    return choose_candidate(
        q_r,
        q_h,
        q_c,
        extraction=config.extraction,
        margin=acting_margin(state, config),
        escape_slack=config.beyond.escape_slack,
        escape_above=config.beyond.escape_above,
    )


def safer(
    state: FISORState, observation: Float[Array, "n obs"], actions: Float[Array, "n c act"], config: FISORConfig
) -> Float[Array, "n c act"]:
    """Candidates after one normalized gradient step down max Q_h.

    Args:
        state: Training state.
        observation: Raw observations, [n, obs].
        actions: Candidates in [-1, 1], [n, c, act].
        config: FISOR's hyper-parameters; `beyond.safer_step` is the length of the step, in units of the action.

    Returns:
        Moved candidates, [n, c, act], clipped to [-1, 1].
    """
    seen = standardized(state.scales, observation)

    def total(moved: Float[Array, "n c act"]) -> Float[Array, ""]:
        return state.constraint.critic_target(critic_inputs(seen, moved)).max(0).sum()

    gradient = jax.grad(total)(actions)
    length = jnp.linalg.norm(gradient, axis=-1, keepdims=True)
    return jnp.clip(actions - config.beyond.safer_step * gradient / jnp.maximum(length, 1e-8), -1.0, 1.0)


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
    """Index of the executed candidate, by the rule `extraction`.

    - minqc: the smallest Q_h (the paper's rule).
    - maxq: the largest Q_r.
    - feasible_first: the largest Q_r among candidates with Q_h <= -margin; the smallest Q_h where no candidate is
      feasible.
    - first_feasible: the first candidate with Q_h <= -margin. It is a sample of the policy restricted to feasible
      actions, and does not exploit errors of a Q_r that was not trained to rank candidates.

    Args:
        q_r: Reward values of c candidates in n states, [n, c].
        q_h: Constraint values, [n, c]; <= 0 is feasible.
        q_c: Discounted violating steps to come, [n, c]; where no candidate is feasible the smallest acts. None: Q_h
            decides there.
        extraction: Rule, as above.
        margin: Margin of feasibility, in units of `q_h`.
        escape_slack: Where the violation cannot be avoided, candidates within this of the smallest Q_h compete by Q_r.
            The worst h is then fixed (V_h >= h(s)), and the smallest Q_h alone could leave a robot standing inside the
            hazard. In units of `q_h`.
        escape_above: Smallest Q_h from which a violation counts as unavoidable, in units of `q_h`.

    Returns:
        Indices in [0, c), [n].

    Raises:
        ConfigError: `extraction` is unknown.
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


def critic_inputs(observation: Float[Array, "n obs"], actions: Float[Array, "n c act"]) -> Float[Array, "rows in"]:
    """Every candidate beside its observation.

    Args:
        observation: Observations, [n, obs].
        actions: Candidates, [n, c, act].

    Returns:
        Inputs of critics, [n c, obs + act].
    """
    count, candidates, _ = actions.shape
    repeated = jnp.broadcast_to(observation[:, None], (count, candidates, observation.shape[-1]))
    return jnp.concatenate([repeated, actions], -1).reshape(count * candidates, -1)
