"""Actions of a policy in logged states: their distance from the logged actions, and their estimated value."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from surefoot.audit.episodes import AuditedEpisodes, Part
from surefoot.audit.fqe import RESAMPLES, Estimated, LoggedSteps, episode_weights, fitted_q, logged_sums
from surefoot.audit.rollouts import rolled_out
from surefoot.data import Dataset
from surefoot.evaluation.held_out import USUAL, action_distances, known_transitions, share_of
from surefoot.numerics import check_finite
from surefoot.protocols import Algorithm
from surefoot.tasks.action_units import ActionUnits, AppliedActions
from surefoot.types import ActionBounds, PolicyInputs

STATES = 500
"""Logged states in which the policy acts."""
MOST_STEPS = 12_000
"""Logged steps that values are fitted to, of whole episodes."""
MODEL_STEPS, MODEL_EPISODES = 12_000, (8, 32)
"""Steps of each seed in a model of the log, and the least and largest number of their episodes."""
_BLOCK = 2048
_SEED = 23_2027
_UNSOUND = "its networks overflow on the data's observations"


def is_memoryless(algorithm: Algorithm, states: Any) -> bool:
    """Whether a policy's action depends on the observation alone.

    Args:
        algorithm: The policy's algorithm.
        states: States with a leading seed axis.

    Returns:
        False for a policy with memory or with a budget.
    """
    first = jax.tree.map(lambda leaf: leaf[0], states)
    return not algorithm.inputs.budget and not jax.tree.leaves(algorithm.policy(first).initial(1))


def policy_actions(
    algorithm: Algorithm, states: Any, observations: Float[np.ndarray, "n obs"],
    within: ActionBounds | None = None,
) -> Float[np.ndarray, "seed n act"]:  # fmt: skip
    """Actions of each seed's policy in logged states, as in an episode's first step; budgets are unlimited.

    Args:
        algorithm: The policies' algorithm.
        states: States with a leading seed axis.
        observations: Observations, [n, obs].
        within: Bounds of the actions that are applied as they are, [n, act], or None.

    Returns:
        Actions in [-1, 1], [seed, n, act].

    Raises:
        OutputError: An action is not finite.
    """
    found = []
    for number, start in enumerate(range(0, len(observations), _BLOCK)):
        block = observations[start : start + _BLOCK]
        size = min(_BLOCK, 1 << max(len(block) - 1, 1).bit_length())  # few shapes are compiled
        more = ((0, size - len(block)), (0, 0))
        bounds = jax.tree.map(lambda one: np.pad(one[start : start + _BLOCK], more), within)  # noqa: B023
        padded = np.pad(block, more)
        key = jax.random.fold_in(jax.random.key(_SEED), number)
        found.append(np.asarray(_act(algorithm, states, padded, key, bounds))[:, : len(block)])
    return check_finite("action (seed, state)", np.concatenate(found, 1), _UNSOUND)


def support(
    algorithm: Algorithm, states: Any, episodes: AuditedEpisodes, *, units: ActionUnits | None = None
) -> dict[str, Any]:
    """Distances of the policy's actions from logged actions in similar states, beside those of held-out logged actions.

    Args:
        algorithm: The policies' algorithm.
        states: States with a leading seed axis.
        episodes: Held-out and training episodes.
        units: Units of actions with rate limits, which hold from the last logged action; None: no rate limits.

    Returns:
        JSON values: the share of far actions, and quantiles of distances in units of the action's half range.
    """
    part = episodes.held_out.episodes
    rows = np.random.default_rng(_SEED).permutation(len(part))[:STATES]
    known = known_transitions(episodes.training.episodes)
    first = np.isin(rows, part.episode_starts)
    within = None if units is None else _bounds_after(units, part.actions[rows - 1], first)
    chosen = policy_actions(algorithm, states, part.observations[rows], within)
    if units is not None:
        chosen = np.where(first[:, None], chosen, units.applied_after(chosen, part.actions[rows - 1]))
    kinds = np.concatenate([part.actions[rows][None], chosen])
    distances = action_distances(known, part.observations[rows], kinds, np.full(len(rows), -1))
    far = distances[1:] > np.quantile(distances[0], USUAL)
    return {
        "far_actions": share_of(far, trials=len(part.lengths)),
        "distance": _quantiles(distances[1:]),
        "logged_distance": _quantiles(distances[:1]),
    }


def estimated_values(
    algorithm: Algorithm, states: Any, episodes: AuditedEpisodes, *, horizon: int, units: ActionUnits | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of the policy and of the log: return where rewards are logged, and the cost of each constraint.

    They are estimated by fitted-Q evaluation on held-out and training episodes, and by episodes in a model of the log.

    Args:
        algorithm: The policies' algorithm.
        states: States with a leading seed axis.
        episodes: Held-out and training episodes.
        horizon: Longest episode, in environment steps.
        units: Units of actions with rate limits, or None.

    Returns:
        (figures, settings). Figures map a quantity to "policy", "log" and "difference" (fitted-Q), "model" and
        "model_difference" (model of the log), each a mean with an interval.
    """
    data, gains, names = _fitted_episodes(episodes)
    starts = np.asarray(data.episode_starts)
    within = None if units is None else _bounds_after(units, data.actions, np.zeros(len(data), bool))
    entered = policy_actions(algorithm, states, data.next_observations, within)
    if units is not None:
        entered = units.applied_after(entered, data.actions)
    first = policy_actions(algorithm, states, data.observations[starts])
    estimates: list[Estimated] = []
    steps = None
    for mine, at_first in zip(entered, first, strict=True):
        steps = LoggedSteps(
            data.observations, data.actions, data.next_observations, mine, data.terminated, gains, starts, at_first
        )
        estimates.append(fitted_q(steps, horizon=horizon))
    assert steps is not None
    modeled = _in_model(algorithm, states, steps, horizon=horizon, units=units)
    resampled = np.mean([one.resampled for one in estimates], 0)
    weights = episode_weights(len(starts), len(resampled))
    sums = logged_sums(steps)
    log = weights @ sums / weights.sum(1, keepdims=True)
    figures = {}
    for index, name in enumerate(names):
        per_seed = [float(one.mean[index]) for one in estimates]
        mean, logged = float(np.mean(per_seed)), float(log[0, index])
        figures[name] = {
            "policy": {"mean": mean, "interval": _interval(resampled[:, index]), "per_seed": per_seed},
            "log": {"mean": logged, "interval": _interval(log[1:, index]), **_quantiles(sums[:, index])},
            "difference": {"mean": mean - logged, "interval": _interval(resampled[:, index] - log[1:, index])},
            **{key: values[index] for key, values in modeled.items()},
        }
    settings = {"episodes": len(starts), "steps": len(data), "horizon": horizon, "resamples": len(resampled)}
    return figures, settings


def _in_model(
    algorithm: Algorithm, states: Any, steps: LoggedSteps, *, horizon: int, units: ActionUnits | None
) -> dict[str, list[dict[str, Any]]]:
    """ "model" and "model_difference" of each quantity, from first states of evenly many logged episodes; intervals are
    over these."""
    fewest, most = MODEL_EPISODES
    count = min(len(steps.starts), max(fewest, min(most, MODEL_STEPS // horizon)))
    chosen = np.linspace(0, len(steps.starts) - 1, count).astype(int)
    seeds = len(jax.tree.leaves(states)[0])
    first = np.tile(steps.observation[steps.starts[chosen]], (seeds, 1))
    applied = None if units is None else AppliedActions(units, len(first))

    def act(here: Float[np.ndarray, "n obs"], step: int) -> Float[np.ndarray, "n act"]:
        seen = here.reshape(seeds, count, -1).astype(np.float32)
        begins, within = np.full(len(here), step == 0), None
        if applied is not None:
            within = ActionBounds(*(jnp.asarray(one.reshape(seeds, count, -1)) for one in applied.bounds(begins)))
        actions = np.asarray(_act_apart(algorithm, states, seen, jax.random.key(step), within))
        actions = check_finite("action (seed, state)", actions, _UNSOUND).reshape(len(here), -1)
        return actions if applied is None else applied.take(actions, begins)

    sums = rolled_out(steps, act, first, horizon=horizon).reshape(seeds, count, -1)
    logged = logged_sums(steps)[chosen]
    weights = episode_weights(count, RESAMPLES)[1:] / count
    found: dict[str, list[dict[str, Any]]] = {"model": [], "model_difference": []}
    for index in range(logged.shape[1]):
        mine = sums[..., index]
        spread = {"model": mine.mean(0), "model_difference": mine.mean(0) - logged[:, index]}
        for key, each in spread.items():
            found[key].append({"mean": float(each.mean()), "interval": _interval(weights @ each)})
        found["model"][-1]["per_seed"] = mine.mean(1).tolist()
    return found


def _bounds_after(
    units: ActionUnits, before: Float[np.ndarray, "n act"], first: Bool[np.ndarray, " n"]
) -> ActionBounds:
    """Bounds [n, act] of what is applied as it is after actions in [-1, 1]."""
    low, high = units.bounds_after(units.physical(before), first)
    return ActionBounds(jnp.asarray(low), jnp.asarray(high))


def _fitted_episodes(episodes: AuditedEpisodes) -> tuple[Dataset, Float[np.ndarray, "n k"], list[str]]:
    """Whole episodes, held-out ones first, the gains of each step and their names."""
    parts = [_some(episodes.held_out, MOST_STEPS // 2), _some(episodes.training, MOST_STEPS // 2)]
    names = [one.name for one in episodes.held_out.constraints]
    gains = []
    for data, costs in parts:
        rewards = [] if data.rewards is None else [data.rewards[:, None]]
        gains.append(np.concatenate([*rewards, costs], 1))
    arrays = {name: np.concatenate([array, dict(parts[1][0].arrays())[name]]) for name, array in parts[0][0].arrays()}
    rewarded = ["return"] if parts[0][0].rewards is not None else []
    return Dataset(parts[0][0].task, **{"rewards": None, **arrays}), np.concatenate(gains), rewarded + names


def _some(part: Part, rows: int) -> tuple[Dataset, Float[np.ndarray, "n c"]]:
    """A random part of the episodes with about `steps` steps, at least one episode, and their costs."""
    order = np.random.default_rng(_SEED).permutation(len(part.episodes.lengths))
    count = max(1, int(np.searchsorted(np.cumsum(part.episodes.lengths[order]), rows, side="right")))
    chosen = np.sort(order[:count])
    starts, ends = part.episodes.episode_starts, part.episodes.episode_ends
    kept = np.concatenate([np.arange(int(starts[number]), int(ends[number])) for number in chosen])
    return part.episodes.take(kept), np.stack([one.cost[kept] for one in part.constraints], 1)


def _quantiles(values: Float[np.ndarray, "*n"]) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return {"tenth": float(low), "median": float(middle), "nine_tenths": float(high)}


def _interval(resampled: Float[np.ndarray, " b"]) -> list[float]:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return [float(low), float(high)]


@partial(jax.jit, static_argnames="algorithm")
def _act(algorithm: Algorithm, states: Any, observations: Array, key: Array, within: ActionBounds | None) -> Array:
    return jax.lax.map(lambda state: _act_of(algorithm, state, observations, key, within), states)


@partial(jax.jit, static_argnames="algorithm")
def _act_apart(
    algorithm: Algorithm, states: Any, observations: Array, key: Array, within: ActionBounds | None
) -> Array:
    """Each seed's policy in observations [seed, n, obs] of its own, and with bounds [seed, n, act] of its own."""
    return jax.lax.map(lambda one: _act_of(algorithm, one[0], one[1], key, one[2]), (states, observations, within))


def _act_of(algorithm: Algorithm, state: Any, observations: Array, key: Array, within: ActionBounds | None) -> Array:
    count = len(observations)
    limits = jnp.full(count, jnp.inf) if algorithm.inputs.budget else None
    policy = algorithm.policy(state)
    keys = jax.random.split(key, count) if policy.keyed else key
    inputs = PolicyInputs(observations, limits, jnp.zeros(count, jnp.int32), within=within)
    return policy.act(policy.initial(count), inputs, keys)[1]
