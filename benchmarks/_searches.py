"""What a search over controls says of an exact feasible set."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

QUANTILES = (0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0)
Numbers = Float[np.ndarray, " n"]


def search_figures(gaps: Mapping[str, Numbers], value: Numbers, h: Numbers, *, samples: int) -> dict[str, Any]:
    """Quantiles of how far each search misses V* (metres), negative where it beats it; where V* = h every search finds
    it, so that those states are left out."""
    moving, near = value > h + 1e-3, np.abs(value) < 0.3
    return {
        "states": len(value),
        "random_controls_per_state": samples,
        "states_where_value_exceeds_h": int(moving.sum()),
        "and_within_0.3_m_of_the_border": int((moving & near).sum()),
        "quantiles": QUANTILES,
        "gap": {name: np.quantile(gap[moving], QUANTILES).tolist() for name, gap in gaps.items()},
        "gap_near_border": {name: np.quantile(gap[moving & near], QUANTILES).tolist() for name, gap in gaps.items()},
    }
