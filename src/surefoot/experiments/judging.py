"""What a trained run is judged by before any simulator: logged episodes, those kept aside from training included."""

from typing import Any, NamedTuple

import jax

from surefoot.data import Dataset
from surefoot.evaluation.held_out import FEWEST_EPISODES, judge, sample_to_judge
from surefoot.protocols import ActsFeasibly
from surefoot.report.held_out import held_out_verdict


class LoggedEpisodes(NamedTuple):
    """Of a run's data, in memory: enough to judge it by."""

    training: Dataset
    """Of those that it learned from."""
    held_out: Dataset | None
    """Of those kept aside; None where there are none."""


def episodes_to_judge(algorithm: object, training: Dataset, held_out: Dataset | None) -> LoggedEpisodes | None:
    """The episodes by which the algorithm will be judged; None where its values say nothing of states."""
    if not isinstance(algorithm, ActsFeasibly) or not algorithm.forbids_violations or not len(training.lengths):
        return None
    return LoggedEpisodes(sample_to_judge(training), None if held_out is None else sample_to_judge(held_out))


def judged(algorithm: ActsFeasibly, states: Any, episodes: LoggedEpisodes) -> dict[str, Any]:
    """Figures of "training" and "held_out" episodes, for the summary: empty parts where they are too few. `states`
    have a leading seed axis. Raises `OutputError`."""
    count = len(episodes.training.lengths)
    if count < FEWEST_EPISODES:
        return {"reason": f"expected at least {FEWEST_EPISODES} training episodes, found {count}"}
    states = jax.device_get(states)  # on one device, however many trained them
    found = {"training": judge(algorithm, states, episodes.training)}
    if episodes.held_out is not None:
        found["held_out"] = judge(algorithm, states, episodes.held_out, known=episodes.training)
    return {**found, "verdict": held_out_verdict(found)}
