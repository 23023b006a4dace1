"""What a trained policy's values and choices say of logged episodes: before any simulator, and where there is none.

Each figure is a share of states or of episodes, for each training seed and on average over them. The states of an
episode are alike, so an interval counts each episode as one trial, however many states it has.
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
"""Fewer logged episodes are not judged."""
MOST_ROWS = 50_000
"""Transitions judged of the episodes without a violation, and as many of those with one."""
DECISIONS = 500
"""States in which the policy is asked to act, of the episodes without a violation and of all."""
KNOWN_ROWS = 20_000
"""Training transitions among which similar states are looked for."""
NEIGHBORS = 20
"""Similar states whose logged actions an action is compared with."""
USUAL = 0.95 ** (1 / 8)
"""Share of the logged actions that count as near to those of similar states: the most unusual of 8 candidates, drawn
as the logged ones are, is near with a chance of 95 %."""
_SEED = 21_2026
_UNSOUND = "its networks overflow on the data's observations"


class Share(NamedTuple):
    """A share of states or episodes; None where there are none."""

    share: float | None
    """Mean over the seeds."""
    interval: list[float] | None
    """95 %, Wilson's, each episode one trial."""
    per_seed: list[float | None]


@pinned()
def judge(
    algorithm: ActsFeasibly, states: PyTree[Any], judged: Dataset, *, known: Dataset | None = None
) -> dict[str, Any]:
    """Figures of the complete episodes in `judged`, as JSON values; `states` have a leading seed axis.

    `known` are some of those that the policy was trained on, where `judged` was kept aside from it; None: `judged`.

    Returned are the numbers of episodes, and as `Share`s: "safe_feasible", of the states of episodes without a
    violation those that count as feasible; "violating_feasible", of the states in violation those that do; "warned", of
    the episodes with a violation those in which the state before the first one does not, "foreseen", those in which
    that state or the logged action there does not; "fallback_safe" and
    "fallback", of the states of episodes without a violation, and of all, those in which no candidate action counts as
    feasible; "far_actions", of all states those in which the policy's action is farther from the logged actions of
    similar states than nearly all (`USUAL`) of the logged ones are; "similar_values", of the variance of V_h what
    similar states of other episodes tell (`told_by_similar`). "warning_steps" are quantiles over episodes with a
    violation: for how many steps before the first one no state counts as feasible. Raises `OutputError` where networks
    overflow.
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
    """The complete episodes to judge a policy on, in memory: all, or a random part of each kind where they are many."""
    violating, lengths = dataset.violating_steps > 0, dataset.lengths
    random = np.random.default_rng(_SEED)
    chosen = []
    for kind in (~violating, violating):
        episodes = random.permutation(np.flatnonzero(kind))
        count = int(np.searchsorted(np.cumsum(lengths[episodes]), MOST_ROWS, side="right"))
        chosen.append(episodes[: max(1, count)])
    return dataset.select(np.sort(np.concatenate(chosen)))


def warning_steps(dataset: Dataset, feasible: Bool[np.ndarray, " N"]) -> Int[np.ndarray, " V"]:
    """For every complete episode with a violation, for how many steps before the first one no state left counts as
    feasible; 0 where the last one still does."""
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
    """For every complete episode with a violation, whether Q_h of the logged action into the first one does not count
    as feasible; False of a method without such values.

    V_h is about the best action. Where one wrong action leads from a state that another one keeps safe into a
    violation, V_h has nothing to warn of, and Q_h has.
    """
    violating = np.flatnonzero(dataset.violating)
    _, first = np.unique(episode_of(dataset)[violating], return_index=True)
    rows = violating[first]
    if not isinstance(algorithm, HasFeasibleActionValue):
        return np.zeros((len(margins), len(rows)), bool)
    return action_values(algorithm, states, dataset.observations[rows], dataset.actions[rows]) > -margins


class Known(NamedTuple):
    """Known transitions among which similar states are looked for."""

    logged: Float[np.ndarray, "n obs"]
    """Observations as they are."""
    observation: Float[np.ndarray, "n obs"]
    """Standardised."""
    action: Float[np.ndarray, "n act"]
    episode: Int[np.ndarray, " n"]
    """Number in its data."""
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
    """Whether each chosen action is farther from the actions of similar known states than 95 % of the `logged` ones
    are. States of the same `episode` are not similar ones; -1 for states that are of none of the known episodes."""
    nearest = action_distances(known, observation, np.concatenate([logged[None], chosen]), episode)
    return nearest[1:] > np.quantile(nearest[0], USUAL)


def action_distances(
    known: Known,
    observation: Float[np.ndarray, "n obs"],
    actions: Float[np.ndarray, "kind n act"],
    episode: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "kind n"]:
    """From actions of several kinds to the nearest one of the similar known states; `episode` as in `far_actions`."""
    similar = known.action[similar_rows(known, observation, episode)]
    return np.stack([np.linalg.norm(mine[:, None] - similar, axis=-1).min(1) for mine in actions])


def similar_rows(
    known: Known, observation: Float[np.ndarray, "n obs"], episode: Int[np.ndarray, " n"]
) -> Int[np.ndarray, "n near"]:
    """Which known states are the most similar ones; `episode` as in `far_actions`."""
    here = (observation - known.mean) / known.std
    squares = np.square(known.observation).sum(1)
    found = []
    for place, mine in zip(here, episode, strict=True):
        apart = np.where(known.episode == mine, np.inf, squares - 2 * (known.observation @ place))
        found.append(np.argpartition(apart, min(NEIGHBORS, len(apart)) - 1)[:NEIGHBORS])
    return np.stack(found)


def told_by_similar(values: Float[np.ndarray, "seed n"], similar: Float[np.ndarray, "seed n near"]) -> Share:
    """Of the variance of V_h over states, the share that its mean over similar states of other episodes explains.

    Values that were learned by heart, episode by episode, do not agree with those of similar states elsewhere, however
    well they fit the episodes. None where V_h is the same everywhere.
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
    """The number of the complete episode that each row belongs to."""
    return np.repeat(np.arange(len(dataset.lengths)), dataset.lengths)


def share_of(found: Bool[np.ndarray, "seed n"], *, trials: int) -> dict[str, Any]:
    """As a `Share` of JSON values; `trials` are the episodes that it comes from."""
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
