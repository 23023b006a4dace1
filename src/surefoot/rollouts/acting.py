"""Shared parts of both rollout drivers: policy inputs, action noise, and sums over an episode."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, Shaped

from surefoot.constraints.budgets import BudgetState, remaining_budget
from surefoot.envs.pure import where_envs
from surefoot.types import Policy, PolicyInputs

ROOT = 23_11_2023
"""Of the keys of all evaluations."""
Numbers = Shaped[Array, "*n"] | Shaped[np.ndarray, "*n"]
Flags = Bool[Array, "*n"] | Bool[np.ndarray, "*n"]


class EpisodeSums(NamedTuple):
    """Sums over the steps of n episodes, in JAX or NumPy."""

    episode_return: Numbers
    """Undiscounted, task units."""
    cost: Numbers
    """Undiscounted sum."""
    discounted_cost: Numbers
    """By the policy's own discount."""
    violating_steps: Numbers
    """Steps that cost something."""
    length: Numbers
    """Environment steps."""
    terminated: Flags
    """Whether the task ended the episode, not the horizon."""


class Budgets(NamedTuple):
    """Budget of each of e episodes, as known at each step of the horizon t."""

    totals: Float[Array, "e t"] | Float[np.ndarray, "e t"]
    """b_0 in the units of the policy's discount."""
    margins: Float[Array, "e t"] | Float[np.ndarray, "e t"]
    """Taken off what is left before the policy is told it."""


def remaining(budgets: Budgets, spent: BudgetState, episode: Any, step: Any) -> Any:
    """Remaining budgets of the episodes [n] at their steps [n]; in JAX or NumPy, as the arrays are."""
    place = step.clip(max=budgets.totals.shape[1] - 1)
    return remaining_budget(spent, budgets.totals[episode, place]) - budgets.margins[episode, place]


def act(
    policy: Policy, memory: PyTree[Any], inputs: PolicyInputs, keys: Key[Array, " n"]
) -> tuple[PyTree[Any], Float[Array, "n act"]]:
    """Actions for n environments, each with noise of its own key: no environment's action depends on another
    environment. Where an episode begins, or begins again, the policy remembers nothing."""

    def one(memory: PyTree[Any], inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[PyTree[Any], Array]:
        memory, inputs = jax.tree.map(lambda leaf: leaf[None], (memory, inputs))
        memory, action = policy.act(memory, inputs, key)
        return jax.tree.map(lambda leaf: leaf[0], memory), action[0]

    assert inputs.step is not None
    memory = where_envs(inputs.step == 0, policy.initial(inputs.step.shape[0]), memory)
    return policy.act(memory, inputs, keys) if policy.keyed else jax.vmap(one)(memory, inputs, keys)


@partial(jax.jit, static_argnames="root")
def episode_keys(seed: Any, episode: Any, *, root: int = ROOT) -> Key[Array, " n"]:
    """A key for each episode [n] of a training seed."""
    key = jax.random.fold_in(jax.random.key(root), seed)
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.maximum(episode, 0))


def step_keys(keys: Key[Array, " n"], step: Int[Array, " n"]) -> Key[Array, " n"]:
    """The key of each environment's action, from its episode's key: a function of (seed, episode, step)."""
    return jax.vmap(jax.random.fold_in)(keys, step)
