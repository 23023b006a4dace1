"""Optimiser steps on our networks: Optax with types that admit a module as its tree of parameters."""

from typing import Any, TypeVar

import jax
import optax

Tree = TypeVar("Tree")
Group = TypeVar("Group", bound=tuple[Any, ...])


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


def clip_each(gradient: Group, limit: float) -> Group:
    """Every member of a tuple of gradients with a norm of at most `limit` of its own."""

    clip = optax.clip_by_global_norm(limit)
    structure: Any = jax.tree.structure(gradient, is_leaf=lambda node: node is not gradient)
    return jax.tree.unflatten(structure, [clip.update(one, clip.init(one))[0] for one in gradient])
