"""FISOR: `agent` has the paper's equations, the other files its hyper-parameters, values, scales and policy."""

from surefoot.algorithms.fisor.agent import FISOR
from surefoot.algorithms.fisor.state import FISORState

__all__ = ["FISOR", "FISORState"]
