"""Target networks: slow copies of their online twins."""

from typing import TypeVar

import jax
from jaxtyping import Array, Float

Tree = TypeVar("Tree")


def move_towards(target: Tree, online: Tree, *, rate: float | Float[Array, ""]) -> Tree:
    """(1 - rate) target + rate online, leaf by leaf."""
    return jax.tree.map(lambda slow, fast: slow + rate * (fast - slow), target, online)
