"""What a policy gave in a rollout is finite, or the evaluation ends in one sentence: no row holds what came after."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from surefoot.numerics import check_finite


def check_episodes(returns: ArrayLike, costs: ArrayLike, *, axes: str) -> None:
    """Raise `OutputError` where a return or a cost is not finite, as all that follows an action that is not finite."""
    for name, values in (("return", returns), ("cost", costs)):
        check_finite(f"{name} of an episode ({axes})", values, "the policy gave actions that are not finite")


def check_actions(actions: Any, running: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "n a"]:
    """Actions of n environments as NumPy. Raises `OutputError` where one that is used is not finite; idle environments
    (not `running`) use none."""
    array = np.asarray(actions)
    used = np.where(running[:, None], array, 0.0)
    check_finite("action (environment, number)", used, "the policy cannot act on what it observes")
    return array
