"""The known algorithms as they declare themselves, and the rows of a table of them."""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, NamedTuple

import jax
import optax

from surefoot import presets
from surefoot.algorithms import ALGORITHMS, GROUP, algorithm_class
from surefoot.errors import SurefootError
from surefoot.protocols import (
    Algorithm,
    CitesPaper,
    HasActionValue,
    HasCostToCome,
    HasFeasibleValue,
    SearchesActions,
)
from surefoot.tasks import get_task
from surefoot.training.chunk import state_template

REFERENCE_TASK = "PointRobot"
"""Task of the parameter counts: observations of 11 numbers, actions of two."""
OFFERS: Mapping[str, type[Any]] = {
    "feasible value": HasFeasibleValue,
    "cost to come": HasCostToCome,
    "action value": HasActionValue,
}
"""Values that an algorithm may offer, by name."""


class Entry(NamedTuple):
    """Declarations of an algorithm."""

    name: str
    paper: str
    """Its paper; empty where it names none."""
    package: str
    """Package that offers it."""
    inputs: tuple[str, ...]
    """Of vectors, images, budget, windows, first states."""
    offers: tuple[str, ...]
    """Names of `OFFERS`."""
    parameters: int | None
    """Numbers that training moves by gradients, with the preset `small` on the reference task; None where they cannot
    be counted."""
    presets: tuple[str, ...]
    exportable: bool
    """Whether a decision is a fixed program, which a file can hold."""


def known_algorithms(*, unusable: Callable[[str], None] = lambda sentence: None) -> list[Entry]:
    """Entries of the built-in algorithms, then of those that other packages offer, by name.

    Args:
        unusable: Called with a sentence for each entry point that cannot be used.

    Returns:
        The entries.
    """
    found = [entry_of(name) for name in ALGORITHMS]
    for point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        if point.name in ALGORITHMS:
            unusable(f"entry point {GROUP}: {point.name}: expected another name than that of a built-in algorithm.")
            continue
        package = point.dist.name if point.dist is not None else point.value.partition(":")[0]
        try:
            found.append(entry_of(point.name, package=package))
        except SurefootError as error:
            unusable(str(error))
        except Exception as error:
            unusable(f"entry point {GROUP}: {point.name}: cannot be used ({type(error).__name__}: {error}).")
    return found


def entry_of(name: str, *, package: str = "surefoot") -> Entry:
    """Entry of one algorithm.

    Args:
        name: Name of the algorithm.
        package: Package that offers it.

    Returns:
        The entry.
    """
    task, kind = get_task(REFERENCE_TASK), algorithm_class(name)
    algorithm: Algorithm = presets.build(name, task)
    inputs = kind.inputs
    named = {"vectors": True, "images": inputs.images, "budget": inputs.budget, "windows": inputs.windows}
    named["first states"] = inputs.initial_states
    return Entry(
        name=name,
        paper=algorithm.paper if isinstance(algorithm, CitesPaper) else "",
        package=package,
        inputs=tuple(word for word, taken in named.items() if taken),
        offers=tuple(word for word, protocol in OFFERS.items() if isinstance(algorithm, protocol)),
        parameters=trained_parameters(algorithm),
        presets=tuple(presets.presets_of(name, task)),
        exportable=not (isinstance(algorithm, SearchesActions) and algorithm.search),
    )


def trained_parameters(algorithm: Algorithm) -> int | None:
    """Number of parameters that Adam moves, in one seed's state; None without Adam."""
    state = state_template(algorithm, get_task(REFERENCE_TASK).spec, (0,))
    is_adam = lambda node: isinstance(node, optax.ScaleByAdamState)  # noqa: E731
    moments = [node.mu for node in jax.tree.leaves(state, is_leaf=is_adam) if is_adam(node)]
    return sum(leaf.size for leaf in jax.tree.leaves(moments)) or None


def entry_rows(entries: list[Entry]) -> list[dict[str, str]]:
    """A table row of words for each entry."""
    return [
        {
            "algorithm": one.name if one.package == "surefoot" else f"{one.name} ({one.package})",
            "paper": one.paper,
            "inputs": ", ".join(one.inputs),
            "offers": ", ".join(one.offers),
            "parameters": "" if one.parameters is None else f"{one.parameters:,}",
            "presets": ", ".join(one.presets),
            "exportable": "yes" if one.exportable else "no",
        }
        for one in entries
    ]
