"""Budget-conditioned reachability (BCRL)."""

from surefoot.algorithms.bcrl.agent import BCRL, BCRLState

__all__ = ["BCRL", "BCRLState"]
