"""SafeDreamer: `agent` has the losses and the updates, `planner` how its planning forms act."""

from surefoot.algorithms.safedreamer.agent import SafeDreamer, SafeDreamerState

__all__ = ["SafeDreamer", "SafeDreamerState"]
