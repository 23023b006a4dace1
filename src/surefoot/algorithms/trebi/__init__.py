"""TREBI: `agent` has the losses and the updates, `planner` a decision, `segments` the data."""

from surefoot.algorithms.trebi.agent import TREBI
from surefoot.algorithms.trebi.state import TREBIState

__all__ = ["TREBI", "TREBIState"]
