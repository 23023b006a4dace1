"""Offline evaluation of a trained run on logged episodes, also on those held out from training."""

from typing import Any, NamedTuple

import jax

from surefoot.data import Dataset
from surefoot.evaluation.held_out import FEWEST_EPISODES, judge, sample_to_judge
from surefoot.protocols import ActsFeasibly
from surefoot.report.held_out import held_out_verdict


class LoggedEpisodes(NamedTuple):
    """Episodes of a run's data, in memory, for its offline evaluation."""

    training: Dataset
    """Training episodes."""
    held_out: Dataset | None
    """Held-out episodes; None without any."""


def episodes_to_judge(algorithm: object, training: Dataset, held_out: Dataset | None) -> LoggedEpisodes | None:
    """Episodes for the offline evaluation of an algorithm.

    Args:
        algorithm: The algorithm.
        training: Training data.
        held_out: Held-out data, or None.

    Returns:
        Samples of the episodes; None where the algorithm's values do not judge states.
    """
    if not isinstance(algorithm, ActsFeasibly) or not algorithm.forbids_violations or not len(training.lengths):
        return None
    return LoggedEpisodes(sample_to_judge(training), None if held_out is None else sample_to_judge(held_out))


def judged(algorithm: ActsFeasibly, states: Any, episodes: LoggedEpisodes) -> dict[str, Any]:
    """Figures of training and held-out episodes, with a verdict, for the summary.

    Args:
        algorithm: Algorithm with feasible values.
        states: States with a leading seed axis.
        episodes: Episodes to evaluate.

    Returns:
        JSON values; a reason where there are too few episodes.

    Raises:
        OutputError: The networks overflow.
    """
    count = len(episodes.training.lengths)
    if count < FEWEST_EPISODES:
        return {"reason": f"expected at least {FEWEST_EPISODES} training episodes, found {count}"}
    states = jax.device_get(states)  # on one device, however many trained them
    found = {"training": judge(algorithm, states, episodes.training)}
    if episodes.held_out is not None:
        found["held_out"] = judge(algorithm, states, episodes.held_out, known=episodes.training)
    return {**found, "verdict": held_out_verdict(found)}
