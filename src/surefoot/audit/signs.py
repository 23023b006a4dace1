"""Agreement of the signs of V_h and Q_h with the violations of logged episodes.

V_h is about the best possible actions. So a logged trajectory without a violation shows that a state was feasible, up
to the log's end and in a deterministic system; a logged violation shows nothing about the states before it.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from surefoot.audit.episodes import Part
from surefoot.data import Dataset
from surefoot.evaluation.held_out import episode_of, share_of, warning_steps
from surefoot.evaluation.metrics import area_under_curve

BINS = 8
"""Bins of V_h with equal numbers of states."""
LEVEL = 0.95
"""Confidence of intervals."""


def exact_interval(successes: float, trials: int, *, level: float = LEVEL) -> list[float] | None:
    """Clopper and Pearson's interval (1934) of a share.

    Args:
        successes: Successes; a trial may succeed in part.
        trials: Independent trials.
        level: Confidence, in (0, 1).

    Returns:
        [low, high]; None without trials.
    """
    if not trials:
        return None
    tail = (1.0 - level) / 2.0
    low = 0.0 if successes <= 0 else float(stats.beta.ppf(tail, successes, trials - successes + 1.0))
    high = 1.0 if successes >= trials else float(stats.beta.ppf(1.0 - tail, successes + 1.0, trials - successes))
    return [low, high]


def violations_called_feasible(
    part: Part, entered: Bool[np.ndarray, "seed n"], actions: Bool[np.ndarray, "seed n"] | None
) -> list[dict[str, Any]]:
    """Shares of each constraint's logged violations that the values call feasible.

    Args:
        part: Logged episodes.
        entered: Whether V_h calls the states entered feasible, [seed, n].
        actions: Whether Q_h calls the logged actions feasible, [seed, n]; None without Q_h.

    Returns:
        A record for each constraint: shares of states entered, and of the actions that led there.
    """
    rows = []
    for one in part.constraints:
        episodes = len(np.unique(episode_of(part.episodes)[one.violated]))
        row = {
            "name": one.name,
            "episodes": episodes,
            "steps": int(one.violated.sum()),
            "state_feasible": share_of(entered[:, one.violated], trials=episodes),
            "action_feasible": None if actions is None else share_of(actions[:, one.violated], trials=episodes),
        }
        rows.append(row)
    return rows


def warning(episodes: Dataset, feasible: Bool[np.ndarray, "seed n"]) -> dict[str, Any]:
    """Steps without a feasible state before each first violation.

    Args:
        episodes: Logged episodes.
        feasible: Whether the state that each step leaves is feasible, [seed, n].

    Returns:
        Quantiles and counts over episodes and seeds, and the share of episodes without any warning.
    """
    steps = np.stack([warning_steps(episodes, mine) for mine in feasible])
    count = steps.shape[1]
    if not count:
        return {"episodes": 0, "missed": None, "missed_interval": None, "steps": None, "counts": {}}
    missed = float((steps == 0).mean())
    low, middle, high = np.quantile(steps, [0.1, 0.5, 0.9], method="inverted_cdf")
    lengths, counts = np.unique(steps, return_counts=True)
    return {
        "episodes": count,
        "missed": missed,
        "missed_interval": exact_interval(missed * count, count),
        "steps": {"tenth": float(low), "median": float(middle), "nine_tenths": float(high)},
        "counts": {str(length): int(number) for length, number in zip(lengths, counts, strict=True)},
    }


def calibration(
    episodes: Dataset, values: Float[np.ndarray, "seed n"], margins: Float[np.ndarray, " seed"]
) -> dict[str, Any]:
    """V_h plus the margin against the violations that followed in the log.

    Args:
        episodes: Logged episodes.
        values: V_h of the states that steps leave, [seed, n].
        margins: Margin of each seed, [seed].

    Returns:
        "bins": for bins of V_h over all seeds, the share of states after which a violation followed. "refuted": of the
        infeasible states, those after which none followed, so that the log shows a way out. "ranks": the probability
        that a state before a violation has the larger value than one without.
    """
    followed = violation_follows(episodes)
    shifted = values + margins[:, None]
    flat, later = shifted.ravel(), np.tile(followed, len(values))
    edges = np.unique(np.quantile(flat, np.linspace(0.0, 1.0, BINS + 1)))
    place = np.clip(np.searchsorted(edges, flat, side="right") - 1, 0, max(len(edges) - 2, 0))
    bins = []
    for index in range(max(len(edges) - 1, 1)):
        mine = place == index
        if mine.any():
            bins.append(
                {
                    "value": float(flat[mine].mean()),
                    "states": int(mine.sum()) // len(values),
                    "followed": float(later[mine].mean()),
                }
            )
    alarm = shifted > 0
    count = len(episodes.lengths)
    each = [float((~followed[mine]).mean()) if mine.any() else None for mine in alarm]
    known = [share for share in each if share is not None]
    refuted = None if not known else float(np.mean(known))
    return {
        "bins": bins,
        "alarms": float(alarm.mean()),
        "refuted": refuted,
        "refuted_interval": None if refuted is None else exact_interval(refuted * count, count),
        "ranks": area_under_curve(flat, later),
    }


def violation_follows(episodes: Dataset) -> Bool[np.ndarray, " n"]:
    """Whether the step from each state, or a later one of its episode, enters a violation, [n]."""
    violating = episodes.violating
    following = np.zeros(len(violating), bool)
    for start, end in zip(episodes.episode_starts, episodes.episode_ends, strict=True):
        following[start:end] = np.logical_or.accumulate(violating[start:end][::-1])[::-1]
    return following


def chosen_episodes(episodes: Dataset, feasible: Bool[np.ndarray, " n"], *, count: int = 3) -> Int[np.ndarray, " c"]:
    """Numbers of the most informative episodes to draw.

    Args:
        episodes: Logged episodes.
        feasible: Whether the state that each step leaves is feasible, [n].
        count: Half of the largest number of episodes.

    Returns:
        With a violation: those with the shortest, the median and the longest warning. Without: those with the most and
        the fewest infeasible states.
    """
    violating = np.flatnonzero(episodes.violating_steps > 0)
    safe = np.flatnonzero(episodes.violating_steps == 0)
    chosen: list[int] = []
    if len(violating):
        order = violating[np.argsort(warning_steps(episodes, feasible), kind="stable")]
        chosen += [int(number) for number in dict.fromkeys([order[0], order[len(order) // 2], order[-1]])]
    if len(safe):
        doubts = np.array([
            (~feasible[episodes.episode_starts[number] : episodes.episode_ends[number]]).mean() for number in safe
        ])  # fmt: skip
        chosen += [int(number) for number in dict.fromkeys([safe[doubts.argmax()], safe[doubts.argmin()]])]
    return np.array(chosen[: 2 * count], np.int64)
