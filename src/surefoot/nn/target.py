"""Trees of networks: slow copies of their online twins, members of stacks."""

from typing import Any, TypeVar

import jax
from jaxtyping import Array, Float

Tree = TypeVar("Tree")


def move_towards(target: Tree, online: Tree, *, rate: float | Float[Array, ""]) -> Tree:
    """(1 - rate) target + rate online, leaf by leaf."""
    return jax.tree.map(lambda slow, fast: slow + rate * (fast - slow), target, online)


def member(stacked: Any, place: int) -> Any:
    """What lies at `place` of the leading axis of every leaf: of states with a seed axis, the state of one seed."""
    return jax.tree.map(lambda leaf: leaf[place], stacked)
