"""Remarks on hyper-parameters that are given although nothing reads them, and on learning that is left out."""

from typing import Any

from surefoot.algorithms.unread import unread, untrained
from surefoot.errors import option
from surefoot.faults import Faults
from surefoot.hyperparameters import declarations, prefixed
from surefoot.protocols import Algorithm
from surefoot.ranges import shown


def refuse_unread(hyper: Algorithm, defaults: Algorithm, faults: Faults) -> None:
    """Collect hyper-parameters that differ from the defaults although nothing reads them.

    Args:
        hyper: Given hyper-parameters.
        defaults: Default hyper-parameters.
        faults: Collects a sentence for each.
    """
    for name, reason in unread(hyper).items():
        for path, value in _changed(hyper, defaults, name).items():
            faults.add(f"{option(path)}: expected none with {reason}, which does not read it, found {shown(value)}")


def _changed(hyper: Algorithm, defaults: Algorithm, name: str) -> dict[str, Any]:
    """The fields of that name, or of a nested configuration of that name, that differ."""
    before = prefixed(defaults)
    return {
        path: value
        for path, value in prefixed(hyper).items()
        if (path == name or path.startswith(f"{name}.")) and value != before[path]
    }


def limits_elsewhere(name: str, algorithm: Algorithm, *, limits: str = "") -> dict[str, str]:
    """Options for a limit on costs that the training of an algorithm does not have, and what is to be said of each.

    Args:
        name: Of the algorithm.
        algorithm: With its hyper-parameters.
        limits: Who tells a limit to an algorithm that takes it as it acts; default: an evaluation.

    Returns:
        Option -> the sentence.
    """
    own = {one.field.name for one in declarations(type(algorithm))}
    limit, filter_limit = option("cost_limit"), f"{option('data_filter')} safe with {option('filter_cost_limit')}"
    if algorithm.inputs.budget:
        limits = limits or f"evaluate with {limit}"
        why = f"expected none in training, as {name} is told what an episode may cost when it acts; {limits}"
    elif "cost_limit" in own:
        why = f"expected none, as {name} takes no budget when it acts; {limit} is what it is trained for"
    else:
        why = f"expected none, as {name} has no limit on costs; {filter_limit} chooses the episodes that it learns from"
    return {one: why for one in ("cost_limit", "budget", "budget_schedule") if one not in own}


def learning_remarks(hyper: Algorithm, defaults: Algorithm) -> list[str]:
    """Remarks on learning that is left out although safety rests on it, and on default switches that have no effect.

    Args:
        hyper: Given hyper-parameters.
        defaults: Default hyper-parameters.

    Returns:
        A sentence for each.
    """
    values, by_default = prefixed(hyper), unread(defaults)
    found = [f"{option(name)} {values[name]}: {meaning}" for name, meaning in untrained(hyper).items()]
    idle = {name: reason for name, reason in unread(hyper).items() if name not in by_default}
    return found + [
        f"{option(name)} is on and not read with {reason}" for name, reason in idle.items() if values.get(name) is True
    ]
