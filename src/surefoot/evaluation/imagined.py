"""Prediction errors of a planner's plans."""

import numpy as np
from jaxtyping import Float

from surefoot.evaluation.lanes import Watched

_CONSTANT = 1e-6
"""A number of the observation that spreads less than this share of the widest one, or of 1 where all spread less than
that, stands still."""
_ROUNDING = 2e-3
"""Plans are kept in half precision."""


def imagination_errors(watched: Watched) -> Float[np.ndarray, " w"] | None:
    """One-step prediction error of executed plans, relative to the change of a step: 0 is exact, 1 as wrong as no
    motion.

    It is a root mean square over the steps at which a plan was made, each observation column in units of its spread;
    spread and change are over all environments. A planner takes the best of many plans, which tend to be the most
    optimistic ones: their errors are larger than those of the model's samples.

    Args:
        watched: Observations and plans of w environments.

    Returns:
        Errors, [w], NaN for an environment without plans; None where there are no plans or nothing moves.
    """
    if watched.plans is None or watched.plans.shape[2] < 2 or len(watched.observations) < 2:
        return None
    before, after = watched.observations[:-1].astype(np.float64), watched.observations[1:].astype(np.float64)
    lived = np.isfinite(after).all(-1) & np.isfinite(before).all(-1)  # [t, w]
    if not lived.any():
        return None
    spread = before[lived].std(0)
    moving = spread > _CONSTANT * max(spread.max(), 1.0)

    def squares(expected: Float[np.ndarray, "t w o"]) -> Float[np.ndarray, "t w"]:
        return np.mean(((expected - after)[..., moving] / spread[moving]) ** 2, -1)

    # A plan that is being carried out over several steps begins where the environment was when it was made.
    begun = np.isclose(watched.plans[:-1, :, 0], before, rtol=_ROUNDING, atol=_ROUNDING).all(-1)
    changed = np.mean(squares(before)[lived]) if moving.any() else 0.0
    if changed == 0.0:
        return None
    wrong = np.where(lived & begun, squares(watched.plans[:-1, :, 1]), 0.0).sum(0)
    made = (lived & begun).sum(0)
    return np.sqrt(np.where(made > 0, wrong / np.maximum(made, 1), np.nan) / changed)
