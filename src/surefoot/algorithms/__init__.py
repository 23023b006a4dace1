"""The algorithms, by name. One file each; a literal dict, so that what exists can be read here."""

import dataclasses
from importlib.metadata import entry_points
from typing import Any

from surefoot.algorithms.bc import BC
from surefoot.algorithms.bc_multi_task import MultiTaskBC
from surefoot.algorithms.bcq_lag import BCQLag
from surefoot.algorithms.bcrl import BCRL
from surefoot.algorithms.bear_lag import BEARLag
from surefoot.algorithms.cdt import CDT
from surefoot.algorithms.coptidice import COptiDICE
from surefoot.algorithms.cpq import CPQ
from surefoot.algorithms.fisor import FISOR
from surefoot.algorithms.fosp import FOSP
from surefoot.algorithms.one_step_flow import OneStepFlow
from surefoot.algorithms.safedreamer import SafeDreamer
from surefoot.algorithms.trebi import TREBI
from surefoot.errors import ConfigError, check_name

GROUP = "surefoot.algorithms"
"""Of the entry points by which other packages offer algorithms: frozen dataclasses."""

ALGORITHMS: dict[str, type[Any]] = {
    "bc": BC,
    "bc_multi_task": MultiTaskBC,
    "bcq_lag": BCQLag,
    "bear_lag": BEARLag,
    "cpq": CPQ,
    "bcrl": BCRL,
    "cdt": CDT,
    "coptidice": COptiDICE,
    "fisor": FISOR,
    "fosp": FOSP,
    "one_step_flow": OneStepFlow,
    "safedreamer": SafeDreamer,
    "trebi": TREBI,
}
"""Name -> class: our own."""


def algorithm_class(name: str) -> type[Any]:
    """The class of an algorithm, by name: from `ALGORITHMS`, or from the entry point of another package.

    Args:
        name: Key of `ALGORITHMS`, or name of an entry point in the group `surefoot.algorithms`.

    Returns:
        A frozen dataclass of hyper-parameters with the methods of `surefoot.protocols.Algorithm`.

    Raises:
        UnknownNameError: No algorithm has this name; the message lists similar names.
        ConfigError: The entry point holds something other than a dataclass.
    """
    if name not in ALGORITHMS:
        for point in entry_points(group=GROUP, name=name):
            found = point.load()
            if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
                raise ConfigError(f"entry point {GROUP}: {name}: expected a dataclass, found {found!r:.80}.")
            return found
    return ALGORITHMS[check_name("algorithm", name, ALGORITHMS)]


def name_of(algorithm: object) -> str:
    """The name of an algorithm, which `algorithm_class` turns back into its class.

    Args:
        algorithm: Instance of an algorithm.

    Returns:
        Key of `ALGORITHMS`, or name of the entry point.

    Raises:
        ConfigError: No table has the class, so that nothing could load a run of it.
    """
    names = [name for name, kind in ALGORITHMS.items() if kind is type(algorithm)]
    names += [] if names else [one.name for one in entry_points(group=GROUP) if one.load() is type(algorithm)]
    if not names:
        raise ConfigError(
            f"algorithm: expected one of {', '.join(ALGORITHMS)}, or one that a package offers by the entry point "
            f"{GROUP}, found {type(algorithm).__name__}."
        )
    return names[0]
