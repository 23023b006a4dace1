"""What a policy gave in a rollout is finite, or the evaluation ends in one sentence: no row holds what came after."""

from numpy.typing import ArrayLike

from surefoot.numerics import check_finite


def check_episodes(returns: ArrayLike, costs: ArrayLike, *, axes: str) -> None:
    """Raise `OutputError` where a return or a cost is not finite, as all that follows an action that is not finite."""
    for name, values in (("return", returns), ("cost", costs)):
        check_finite(f"{name} of an episode ({axes})", values, "the policy gave actions that are not finite")
