"""The algorithms, by name. One file each; a literal dict, so that what exists can be read here."""

from typing import Any

from surefoot.algorithms.bc import BC
from surefoot.algorithms.fisor import FISOR
from surefoot.algorithms.fosp import FOSP
from surefoot.algorithms.safedreamer import SafeDreamer
from surefoot.algorithms.trebi import TREBI

ALGORITHMS: dict[str, type[Any]] = {
    "bc": BC,
    "fisor": FISOR,
    "fosp": FOSP,
    "safedreamer": SafeDreamer,
    "trebi": TREBI,
}
