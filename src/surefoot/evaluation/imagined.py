"""How far what a planner imagines is from what then happens."""

import numpy as np

from surefoot.evaluation.lanes import Watched

_CONSTANT = 1e-6
"""A number of the observation that spreads less than this share of the widest one stands still."""
_ROUNDING = 2e-3
"""Plans are kept in half precision."""


def imagination_error(watched: Watched) -> float | None:
    """How wrong the chosen plans are one step ahead, as a share of what the step changes: 0 is right, 1 as wrong as if
    nothing had moved.

    Root mean square over the steps at which a plan was made, each number of the observation in units of its spread.
    None where there are no plans, or nothing moves. A planner takes the best of many plans, and so those whose errors
    promise most: what it imagines is worse than what its model does on average.
    """
    if watched.plans is None or len(watched.observations) < 2:
        return None
    before, after = watched.observations[:-1].astype(np.float64), watched.observations[1:].astype(np.float64)
    lived = np.isfinite(after).all(-1) & np.isfinite(before).all(-1)
    # A plan that is being carried out over several steps begins where the environment was when it was made.
    begun = np.isclose(watched.plans[:-1, :, 0], before, rtol=_ROUNDING, atol=_ROUNDING).all(-1)
    spread = before[lived].std(0) if lived.any() else np.zeros(before.shape[-1])
    moving = spread > _CONSTANT * max(spread.max(), 1.0)
    made = lived & begun
    if not made.any() or not moving.any():
        return None
    wrong, changed = (
        np.sqrt(np.mean(((ahead - after[made]) / np.where(moving, spread, 1.0))[:, moving] ** 2))
        for ahead in (watched.plans[:-1, :, 1][made], before[made])
    )
    return float(wrong / changed) if changed > 0 else None
