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
"""Root of the random keys of all evaluations."""
Numbers = Shaped[Array, "*n"] | Shaped[np.ndarray, "*n"]
Flags = Bool[Array, "*n"] | Bool[np.ndarray, "*n"]


class EpisodeSums(NamedTuple):
    """Sums over the steps of n episodes, in JAX or NumPy."""

    episode_return: Numbers
    """Undiscounted return in the task's units."""
    cost: Numbers
    """Undiscounted cost."""
    discounted_cost: Numbers
    """Cost discounted by the policy's own discount."""
    violating_steps: Numbers
    """Number of steps with a cost."""
    length: Numbers
    """Number of environment steps."""
    terminated: Flags
    """Whether the task ended the episode, not the horizon."""


class Budgets(NamedTuple):
    """Budgets of e episodes at each of the horizon's t steps."""

    totals: Float[Array, "e t"] | Float[np.ndarray, "e t"]
    """b_0 in the units of the policy's discount."""
    margins: Float[Array, "e t"] | Float[np.ndarray, "e t"]
    """Safety margins, which are subtracted from the remaining budget that the policy is given."""


def remaining(budgets: Budgets, spent: BudgetState, episode: Any, step: Any) -> Any:
    """Remaining budgets minus margins, in JAX or NumPy, as the arrays are.

    Args:
        budgets: Budgets of e episodes.
        spent: Cost spent so far in n environments.
        episode: Index of each environment's episode in `budgets` [n].
        step: Step of each environment [n].

    Returns:
        Remaining budgets [n], in the units of the policy's discount.
    """
    place = step.clip(max=budgets.totals.shape[1] - 1)
    return remaining_budget(spent, budgets.totals[episode, place]) - budgets.margins[episode, place]


def act(
    policy: Policy, memory: PyTree[Any], inputs: PolicyInputs, keys: Key[Array, " n"]
) -> tuple[PyTree[Any], Float[Array, "n act"]]:
    """Actions of n environments, each with noise from its own key, so that no action depends on another environment.

    The policy's memory is cleared where an episode begins.

    Args:
        policy: Policy.
        memory: Memory of the policy, arrays [n, ...].
        inputs: Inputs of n environments, `step` among them.
        keys: Key of each environment's action [n].

    Returns:
        (memory after acting, actions [n, act]).
    """

    def one(memory: PyTree[Any], inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[PyTree[Any], Array]:
        memory, inputs = jax.tree.map(lambda leaf: leaf[None], (memory, inputs))
        memory, action = policy.act(memory, inputs, key)
        return jax.tree.map(lambda leaf: leaf[0], memory), action[0]

    assert inputs.step is not None
    memory = where_envs(inputs.step == 0, policy.initial(inputs.step.shape[0]), memory)
    return policy.act(memory, inputs, keys) if policy.keyed else jax.vmap(one)(memory, inputs, keys)


@partial(jax.jit, static_argnames="root")
def episode_keys(seed: Any, episode: Any, *, root: int = ROOT) -> Key[Array, " n"]:
    """Key of each episode of a training seed.

    Args:
        seed: Training seed.
        episode: Numbers of the episodes [n]; below 0 counts as 0.
        root: Root of all keys.

    Returns:
        Keys [n].
    """
    key = jax.random.fold_in(jax.random.key(root), seed)
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.maximum(episode, 0))


def step_keys(keys: Key[Array, " n"], step: Int[Array, " n"]) -> Key[Array, " n"]:
    """Key of each environment's action, a function of (seed, episode, step).

    Args:
        keys: Keys of the episodes [n].
        step: Steps of the episodes [n].

    Returns:
        Keys [n].
    """
    return jax.vmap(jax.random.fold_in)(keys, step)
