"""Acceptance targets of a run: quickstart, the robots, the protocols."""

from surefoot.envs.point_robot import ROBOTS

# --- surefoot quickstart, on a laptop ---
WALL_SECONDS = 300.0
PEAK_MEMORY_MB = 2000.0

# --- PointRobot, against the exact feasible set ---
IOU_MEAN = 0.93
IOU_EACH = 0.90
FALSE_SAFE_RATE = 0.03
VIOLATION_FREE_RATE = 0.99
RETURN_MEAN = 2.5
SAFE_STARTS, TIGHT_STARTS = zip(*(robot.fixed_starts for robot in ROBOTS.values()), strict=True)
"""Fixed starts of each robot. From the first the goal is reached without violation. From the second, whose exact value
is only -0.05 m, a violation stays within TIGHT_VIOLATION."""
TIGHT_VIOLATION = 0.05
"""Metres."""

# --- PointRobotPixels ---
PIXELS_VIOLATION_FREE_RATE, PIXELS_AUROC = 0.9, 0.95

# --- protocols of cost limits ---
NORMALISED_COST = 1.0
EPISODE_SAFE_RATE = 0.9

# --- budgets ---
EPISODES_NEARLY_WITHIN = 0.9
SHARE_OF_UNCONSTRAINED = 0.95
