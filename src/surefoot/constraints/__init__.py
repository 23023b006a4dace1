"""Limits on costs."""

from surefoot.constraints.limits import discounted_cost_limit

__all__ = ["discounted_cost_limit"]
