"""Hyper-parameters that are given though nothing reads them, and learning that is left out."""

from typing import Any

from surefoot.algorithms.unread import unread, untrained
from surefoot.errors import option
from surefoot.faults import Faults
from surefoot.hyperparameters import prefixed
from surefoot.protocols import Algorithm
from surefoot.ranges import shown


def refuse_unread(hyper: Algorithm, defaults: Algorithm, faults: Faults) -> None:
    """Gather in `faults` the hyper-parameters that differ from `defaults` though nothing reads them."""
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


def learning_remarks(hyper: Algorithm, defaults: Algorithm) -> list[str]:
    """What is left out of learning though safety rests on it, and switches of `defaults` that what was given turns
    off without saying so."""
    values, by_default = prefixed(hyper), unread(defaults)
    found = [f"{option(name)} {values[name]}: {meaning}" for name, meaning in untrained(hyper).items()]
    idle = {name: reason for name, reason in unread(hyper).items() if name not in by_default}
    return found + [
        f"{option(name)} is on and not read with {reason}" for name, reason in idle.items() if values.get(name) is True
    ]
