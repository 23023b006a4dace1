"""Limits on costs, and multipliers that enforce them."""

from surefoot.constraints.limits import discounted_cost_limit
from surefoot.constraints.pid import PIDGains, PIDState, pid_init, pid_update

__all__ = ["PIDGains", "PIDState", "discounted_cost_limit", "pid_init", "pid_update"]
