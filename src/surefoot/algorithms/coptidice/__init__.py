"""COptiDICE."""

from surefoot.algorithms.coptidice.agent import COptiDICE, COptiDICEState

__all__ = ["COptiDICE", "COptiDICEState"]
