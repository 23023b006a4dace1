"""The Constrained Decision Transformer (CDT)."""

from surefoot.algorithms.cdt.agent import CDT, CDTState

__all__ = ["CDT", "CDTState"]
