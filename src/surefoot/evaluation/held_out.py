"""A trained policy's values and actions in logged episodes: an offline evaluation, before or without a simulator.

Each figure is a share of states or of episodes, for each training seed and on average over them. States of an episode
are alike, so an interval counts each episode as one trial, however many states it has.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from surefoot.data import Dataset
from surefoot.evaluation.feasible_values import HasFeasibleActionValue, action_values, state_values
from surefoot.evaluation.metrics import wilson_interval
from surefoot.numerics import check_finite, pinned
from surefoot.protocols import ActsFeasibly
from surefoot.types import Decision

FEWEST_EPISODES = 20
"""Logged episodes below which there is no evaluation."""
MOST_ROWS = 50_000
"""Transitions of episodes without a violation, and as many of those with one, that are evaluated at most."""
DECISIONS = 500
"""States in which the policy acts, of the episodes without a violation and of all."""
KNOWN_ROWS = 20_000
"""Training transitions among which similar states are searched."""
NEIGHBORS = 20
"""Similar states whose logged actions are compared with an action."""
USUAL = 0.95 ** (1 / 8)
"""Quantile of logged actions' distances to those of similar states up to which an action is near. The most unusual of 8
candidates, drawn as the logged ones are, is near with a probability of 95 %."""
_SEED = 21_2026
_UNSOUND = "its networks overflow on the data's observations"


class Share(NamedTuple):
    """A share of states or episodes; None where there are none."""

    share: float | None
    """Mean over the seeds."""
    interval: list[float] | None
    """95 % Wilson interval, each episode one trial."""
    per_seed: list[float | None]


@pinned()
def judge(
    algorithm: ActsFeasibly, states: PyTree[Any], judged: Dataset, *, known: Dataset | None = None
) -> dict[str, Any]:
    """Figures of complete logged episodes by a policy's values and actions.

    - safe_feasible: feasible states among those of episodes without a violation; violating_feasible: among violating
      states.
    - warned: episodes whose last state before the first violation is infeasible; foreseen: that state or its logged
      action.
    - fallback_safe, fallback: states without a feasible candidate, in episodes without a violation and in all.
    - far_actions: states whose policy action is farther from the logged actions of similar states than nearly all
      (`USUAL`) logged ones.
    - similar_values: variance of V_h that similar states of other episodes explain (`told_by_similar`).
    - warning_steps: quantiles of the steps before the first violation in which no state is feasible.

    Args:
        algorithm: Algorithm with feasible values.
        states: States with a leading seed axis.
        judged: Episodes to evaluate.
        known: Training episodes, where `judged` was held out; None: `judged` is training data.

    Returns:
        JSON values: numbers of episodes, and the figures above as `Share`s.

    Raises:
        OutputError: The networks overflow.
    """
    part = judged.select(np.arange(len(judged.lengths)))
    safe = (part.violating_steps == 0)[episode_of(part)]
    violating = part.violating
    margins = np.asarray(jax.lax.map(algorithm.feasible_margin, states))[:, None]
    values = state_values(algorithm, states, part.observations)
    feasible = values <= -margins
    entered = state_values(algorithm, states, part.next_observations[violating]) <= -margins
    steps = np.stack([warning_steps(part, mine) for mine in feasible])
    random = np.random.default_rng(_SEED)
    rows = random.permutation(len(part))[:DECISIONS]
    safe_rows = random.permutation(np.flatnonzero(safe))[:DECISIONS]
    actions, chosen = _decisions(algorithm, states, part.observations[rows])
    _, chosen_safe = _decisions(algorithm, states, part.observations[safe_rows])
    numbers = episode_of(part) if known is None else np.full(len(part), -1)
    seen = known_transitions(part if known is None else known)
    far = far_actions(seen, part.observations[rows], part.actions[rows], actions, numbers[rows])
    near = similar_rows(seen, part.observations[rows], numbers[rows])
    told = told_by_similar(values[:, rows], state_values(algorithm, states, seen.logged)[:, near])
    safe_count, all_count = int((part.violating_steps == 0).sum()), len(part.lengths)
    share = partial(share_of, trials=all_count - safe_count)
    return {
        "episodes": all_count,
        "safe_episodes": safe_count,
        "violating_episodes": all_count - safe_count,
        "transitions": len(part),
        "safe_feasible": share_of(feasible[:, safe], trials=safe_count),
        "violating_feasible": share(entered),
        "warned": share(steps > 0),
        "foreseen": share((steps > 0) | bad_actions(algorithm, states, part, margins)),
        "warning_steps": _quantiles(steps),
        "fallback_safe": share_of(~chosen_safe, trials=safe_count),
        "fallback": share_of(~chosen, trials=all_count),
        "far_actions": share_of(far, trials=all_count),
        "similar_values": told._asdict(),
    }


def sample_to_judge(dataset: Dataset) -> Dataset:
    """Complete episodes to evaluate, in memory: all, or a random part of those with and of those without a
    violation."""
    violating, lengths = dataset.violating_steps > 0, dataset.lengths
    random = np.random.default_rng(_SEED)
    chosen = []
    for kind in (~violating, violating):
        episodes = random.permutation(np.flatnonzero(kind))
        count = int(np.searchsorted(np.cumsum(lengths[episodes]), MOST_ROWS, side="right"))
        chosen.append(episodes[: max(1, count)])
    return dataset.select(np.sort(np.concatenate(chosen)))


def warning_steps(dataset: Dataset, feasible: Bool[np.ndarray, " N"]) -> Int[np.ndarray, " V"]:
    """Steps before the first violation in which no state is feasible, for every complete episode with a violation.

    Args:
        dataset: Logged episodes.
        feasible: Whether the state that each step leaves is feasible, [N].

    Returns:
        Numbers of steps, [V]; 0 where the last state before the violation is feasible.
    """
    found = []
    violating = dataset.violating
    for start, end in zip(dataset.episode_starts, dataset.episode_ends, strict=True):
        if violating[start:end].any():
            first = int(violating[start:end].argmax())
            before = feasible[start : start + first + 1][::-1]
            found.append(int(before.argmax()) if before.any() else first + 1)
    return np.array(found, np.int64)


def bad_actions(
    algorithm: ActsFeasibly, states: PyTree[Any], dataset: Dataset, margins: Float[np.ndarray, "seed 1"]
) -> Bool[np.ndarray, "seed V"]:
    """Whether Q_h calls the logged action into each first violation infeasible.

    V_h is about the best action: where one wrong action leads from a safe state into a violation, V_h cannot warn, and
    Q_h can.

    Args:
        algorithm: Algorithm with feasible values.
        states: States with a leading seed axis.
        dataset: Logged episodes.
        margins: Margin of each seed, [seed, 1].

    Returns:
        Flags for every complete episode with a violation, [seed, V]; False without a Q_h.
    """
    violating = np.flatnonzero(dataset.violating)
    _, first = np.unique(episode_of(dataset)[violating], return_index=True)
    rows = violating[first]
    if not isinstance(algorithm, HasFeasibleActionValue):
        return np.zeros((len(margins), len(rows)), bool)
    return action_values(algorithm, states, dataset.observations[rows], dataset.actions[rows]) > -margins


class Known(NamedTuple):
    """Training transitions among which similar states are searched."""

    logged: Float[np.ndarray, "n obs"]
    """Observations as they are."""
    observation: Float[np.ndarray, "n obs"]
    """Standardized observations."""
    action: Float[np.ndarray, "n act"]
    episode: Int[np.ndarray, " n"]
    """Number of the episode in its data."""
    mean: Float[np.ndarray, " obs"]
    std: Float[np.ndarray, " obs"]


def known_transitions(dataset: Dataset) -> Known:
    """A random part of the complete episodes' transitions."""
    complete = int(dataset.episode_ends[-1])
    rows = np.sort(np.random.default_rng(_SEED).permutation(complete)[:KNOWN_ROWS])
    part = dataset.take(rows)
    mean, std = part.observations.mean(0), part.observations.std(0)
    std = np.where(std > 0, std, 1.0)
    episode = np.searchsorted(dataset.episode_ends, rows, side="right")
    return Known(part.observations, (part.observations - mean) / std, part.actions, episode, mean, std)


def far_actions(
    known: Known,
    observation: Float[np.ndarray, "n obs"],
    logged: Float[np.ndarray, "n act"],
    chosen: Float[np.ndarray, "seed n act"],
    episode: Int[np.ndarray, " n"],
) -> Bool[np.ndarray, "seed n"]:
    """Whether chosen actions are farther from those of similar states than 95 % of the logged ones.

    Args:
        known: Training transitions.
        observation: Observations, [n, obs].
        logged: Logged actions, [n, act].
        chosen: Actions of each seed's policy, [seed, n, act].
        episode: Number of each state's episode, whose states do not count as similar; -1: of none of the known
            episodes.

    Returns:
        Flags, [seed, n].
    """
    nearest = action_distances(known, observation, np.concatenate([logged[None], chosen]), episode)
    return nearest[1:] > np.quantile(nearest[0], USUAL)


def action_distances(
    known: Known,
    observation: Float[np.ndarray, "n obs"],
    actions: Float[np.ndarray, "kind n act"],
    episode: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "kind n"]:
    """Distances of actions from the nearest action of similar states.

    Args:
        known: Training transitions.
        observation: Observations, [n, obs].
        actions: Actions of several kinds, [kind, n, act].
        episode: As of `far_actions`, [n].

    Returns:
        Euclidean distances, [kind, n].
    """
    similar = known.action[similar_rows(known, observation, episode)]
    return np.stack([np.linalg.norm(mine[:, None] - similar, axis=-1).min(1) for mine in actions])


def similar_rows(
    known: Known, observation: Float[np.ndarray, "n obs"], episode: Int[np.ndarray, " n"]
) -> Int[np.ndarray, "n near"]:
    """Numbers of the most similar known states.

    Args:
        known: Training transitions.
        observation: Observations, [n, obs].
        episode: Number of each state's episode, whose states do not count; -1: of none of the known episodes, [n].

    Returns:
        Row numbers, [n, near], in no order.
    """
    here = (observation - known.mean) / known.std
    squares = np.square(known.observation).sum(1)
    found = []
    for place, mine in zip(here, episode, strict=True):
        apart = np.where(known.episode == mine, np.inf, squares - 2 * (known.observation @ place))
        found.append(np.argpartition(apart, min(NEIGHBORS, len(apart)) - 1)[:NEIGHBORS])
    return np.stack(found)


def told_by_similar(values: Float[np.ndarray, "seed n"], similar: Float[np.ndarray, "seed n near"]) -> Share:
    """Share of the variance of V_h that its mean over similar states of other episodes explains.

    Values that were memorized episode by episode disagree with those of similar states elsewhere, however well they fit
    the episodes.

    Args:
        values: V_h of states, [seed, n].
        similar: V_h of their similar states, [seed, n, near].

    Returns:
        The share; None where V_h is the same everywhere.
    """
    variance = values.var(1)
    if not (variance > 0).all():
        return Share(None, None, [None] * len(values))
    each = np.clip(1.0 - (values - similar.mean(-1)).var(1) / variance, 0.0, 1.0)
    return Share(float(each.mean()), None, each.tolist())


def _decisions(
    algorithm: ActsFeasibly, states: Any, observations: Float[np.ndarray, "n obs"]
) -> tuple[Float[np.ndarray, "seed n act"], Bool[np.ndarray, "seed n"]]:
    """What the policy of each seed does, and whether any candidate counts as feasible."""
    count = len(observations)
    found = _decide(algorithm, states, np.pad(observations, ((0, DECISIONS - count), (0, 0))))
    actions = check_finite("action (seed, state)", found.action, _UNSOUND)
    return actions[:, :count], np.asarray(found.feasible)[:, :count]


@partial(jax.jit, static_argnames="algorithm")
def _decide(algorithm: ActsFeasibly, states: Any, observations: Array) -> Decision:
    return jax.lax.map(lambda state: algorithm.decide(state, observations, jax.random.key(_SEED)), states)


def episode_of(dataset: Dataset) -> Int[np.ndarray, " N"]:
    """Number of the complete episode of each row, [N]."""
    return np.repeat(np.arange(len(dataset.lengths)), dataset.lengths)


def share_of(found: Bool[np.ndarray, "seed n"], *, trials: int) -> dict[str, Any]:
    """A `Share` as JSON values.

    Args:
        found: Flags, [seed, n].
        trials: Episodes that they come from.

    Returns:
        Mean, 95 % interval and mean of each seed; None without flags.
    """
    if not found.shape[1] or not trials:
        return Share(None, None, [None] * len(found))._asdict()
    each = found.mean(1)
    share = float(each.mean())
    return Share(share, list(wilson_interval(share * trials, trials)), each.tolist())._asdict()


def _quantiles(steps: Int[np.ndarray, "seed V"]) -> dict[str, float] | None:
    """Over episodes and seeds: the tenth, the half and nine tenths."""
    if not steps.shape[1]:
        return None
    low, middle, high = np.quantile(steps, [0.1, 0.5, 0.9], method="inverted_cdf")  # steps that occur
    return {"tenth": float(low), "median": float(middle), "nine_tenths": float(high)}
