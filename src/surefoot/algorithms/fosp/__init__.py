"""FOSP: `agent` has the updates and the policy, `losses` the equations."""

from surefoot.algorithms.fosp.agent import FOSP, Choices
from surefoot.algorithms.fosp.state import FOSPState

__all__ = ["FOSP", "Choices", "FOSPState"]
