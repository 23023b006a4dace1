"""FOSP: `agent` has the updates and the policy, `losses` and `actor` the equations."""

from surefoot.algorithms.fosp.agent import FOSP, Choices, FOSPState

__all__ = ["FOSP", "Choices", "FOSPState"]
