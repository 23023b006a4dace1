"""Check that a policy's outputs in a rollout are finite, before any row is written."""

from numpy.typing import ArrayLike

from surefoot.numerics import check_finite


def check_episodes(returns: ArrayLike, costs: ArrayLike, *, axes: str) -> None:
    """Raise `OutputError` where a return or a cost is not finite, as after an action that is not finite.

    Args:
        returns: Returns of episodes.
        costs: Costs of episodes.
        axes: Names of the arrays' axes, for the message.
    """
    for name, values in (("return", returns), ("cost", costs)):
        check_finite(f"{name} of an episode ({axes})", values, "the policy gave actions that are not finite")
