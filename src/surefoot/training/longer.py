"""Longer training: whether the updates of a run are the first ones of a longer run.

The random numbers of an update are functions of (seed, number of the phase, number of the update in it). So more
updates may follow wherever nothing before them depends on how many there are.
"""

from typing import Any

import jax

from surefoot.hyperparameters import change, flat
from surefoot.protocols import Algorithm, PlansUpdates
from surefoot.training.chunk import state_template
from surefoot.types import DataSpec, Phase

COUNTS = "_updates"
"""Ending of the names of hyper-parameters that are numbers of updates."""


def changed_counts(earlier: Any, later: Any) -> list[str] | None:
    """Numbers of updates in which two algorithms differ.

    Args:
        earlier: An algorithm.
        later: Another.

    Returns:
        Names of hyper-parameters; None where the algorithms differ in more.
    """
    if type(earlier) is not type(later):
        return None
    before, after = flat(earlier), flat(later)
    changed = [name for name in before if name.endswith(COUNTS) and before[name] != after[name]]
    alike = change(earlier, **{name: after[name] for name in changed})
    return changed if alike == later else None


def why_not_longer(
    earlier: Algorithm, later: Algorithm, changed: list[str], *, step: int, log_interval: int, spec: DataSpec
) -> str | None:
    """Reason why the updates of a run are not the first ones of a longer run.

    Args:
        earlier: Algorithm of the run.
        later: Algorithm of the longer run.
        changed: Names of the numbers of updates that differ.
        step: Updates done.
        log_interval: Updates between rows of metrics, at which training may stop.
        spec: Shapes of the data.

    Returns:
        A clause, or None where the updates are equal bit by bit.
    """
    if step == 0:
        return None
    index, start = _first_other(earlier.phases, later.phases)
    before, after = _phase(earlier.phases, index), _phase(later.phases, index)
    done = step - start
    alike = before is not None and after is not None and before.name == after.name
    if done > 0 and before is not None and alike and after is not None and before.updates < min(done, after.updates):
        following = earlier.phases[index + 1].name
        return (
            f"its phase '{following}' has trained on what the shorter phase '{before.name}' left, and in a longer "
            f"training would begin later"
        )
    if done > 0 and before is not None and (not alike or after is None or done > after.updates):
        return f"the run has done {min(done, before.updates):,} updates of its phase '{before.name}' already"
    planned = _planned_over(earlier) | _planned_over(later)
    if done > 0 and (fixed := [name for name in changed if name in planned]):
        return f"{planned[fixed[0]]}, so the updates of a longer training differ from the first on"
    last = _length_inside(later.phases, step)
    if last is not None and last % log_interval:
        return (
            f"the run has stopped {last % log_interval:,} updates after a row of metrics, where a longer training with "
            f"a row every {log_interval:,} would not stop"
        )
    if _parts(earlier, spec) != _parts(later, spec):
        return "the state of a longer training has other parts"
    return None


def _planned_over(algorithm: Algorithm) -> dict[str, str]:
    return algorithm.planned_over if isinstance(algorithm, PlansUpdates) else {}


def _parts(algorithm: Algorithm, spec: DataSpec) -> tuple[Any, list[Any]]:
    leaves, structure = jax.tree.flatten(state_template(algorithm, spec, (0,)))
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def _first_other(earlier: tuple[Phase, ...], later: tuple[Phase, ...]) -> tuple[int, int]:
    """The number of the first phase that is not the same in both, and the updates before it."""
    start = 0
    for index, (before, after) in enumerate(zip(earlier, later, strict=False)):
        if before != after:
            return index, start
        start += before.updates
    return min(len(earlier), len(later)), start


def _phase(phases: tuple[Phase, ...], index: int) -> Phase | None:
    return phases[index] if index < len(phases) else None


def _length_inside(phases: tuple[Phase, ...], step: int) -> int | None:
    """How many updates of its phase `step` has done; None where it is at the end of one."""
    start = 0
    for phase in phases:
        if step < start + phase.updates:
            return step - start or None
        start += phase.updates
    return None
