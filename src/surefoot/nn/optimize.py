"""Optimiser steps on our networks: Optax with types that admit a module as its tree of parameters."""

from typing import Any, TypeVar

import optax

Tree = TypeVar("Tree")


def init_optimizer(optimizer: optax.GradientTransformation, parameters: Any) -> optax.OptState:
    """The optimiser's first state for a network."""
    return optimizer.init(parameters)


def apply_gradient(
    optimizer: optax.GradientTransformation, gradient: Any, state: optax.OptState, parameters: Tree
) -> tuple[Tree, optax.OptState]:
    """(new parameters, new state) after one step down the gradient."""
    anything: Any = parameters
    change, state = optimizer.update(gradient, state, anything)
    moved: Any = optax.apply_updates(anything, change)
    return moved, state
