"""V_h along logged episodes: a run's values before and in a violation, for any task."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from surefoot.data import Dataset
from surefoot.evaluation.feasible_values import state_values
from surefoot.numerics import pinned
from surefoot.protocols import ActsFeasibly, HasFeasibleValue

MOST = 2
"""Episodes with a violation, and as many without one."""


class ValuePath(NamedTuple):
    """V_h along one logged episode."""

    number: int
    """Number among the file's complete episodes."""
    values: Float[np.ndarray, "seed t"]
    """V_h of the states left."""
    violating: Bool[np.ndarray, " t"]
    """Whether each step enters a violation."""


@pinned()
def value_paths(algorithm: HasFeasibleValue, states: Any, dataset: Dataset) -> list[ValuePath]:
    """V_h along the first episodes with a violation that begin without one, and along the longest without any.

    Args:
        algorithm: Algorithm with a feasible value.
        states: States with a leading seed axis.
        dataset: Logged episodes.

    Returns:
        Paths; empty without complete episodes.

    Raises:
        OutputError: The networks overflow.
    """
    starts, steps = dataset.episode_starts, dataset.violating_steps
    violating = dataset.violating
    late = [number for number in np.flatnonzero(steps > 0) if not violating[starts[number]]][:MOST]
    safe = np.flatnonzero(steps == 0)
    longest = safe[np.argsort(-dataset.lengths[safe], kind="stable")][:MOST]
    return [_path(algorithm, states, dataset, int(number)) for number in (*late, *longest)]


def feasible_margins(algorithm: HasFeasibleValue, states: Any) -> Float[np.ndarray, " seed"]:
    """Margin m of each seed: a state is feasible where V_h is at most -m; 0 where the policy uses none.

    Args:
        algorithm: Algorithm with a feasible value.
        states: States with a leading seed axis.

    Returns:
        Margins, [seed], in units of h.
    """
    if not isinstance(algorithm, ActsFeasibly):
        return np.zeros(len(jax.tree.leaves(states)[0]))
    return np.asarray(jax.lax.map(algorithm.feasible_margin, states))


def _path(algorithm: HasFeasibleValue, states: Any, dataset: Dataset, number: int) -> ValuePath:
    rows = slice(dataset.episode_starts[number], dataset.episode_ends[number])
    return ValuePath(number, state_values(algorithm, states, dataset.observations[rows]), dataset.violating[rows])
