"""FISOR: `agent` has the paper's equations, the other files what they need."""

from surefoot.algorithms.fisor.agent import FISOR
from surefoot.algorithms.fisor.state import FISORState

__all__ = ["FISOR", "FISORState"]
