"""V_h and Q_h of logged states and actions, computed in blocks."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float

from surefoot.numerics import check_finite
from surefoot.protocols import HasFeasibleValue

_BLOCK = 8192


@runtime_checkable
class HasFeasibleActionValue(Protocol):
    """An algorithm with a feasible value of actions, Q_h."""

    def feasible_action_value(
        self, state: Any, observation: Float[Array, "n obs"], action: Float[Array, "n act"], /
    ) -> Float[Array, " n"]:
        """Q_h(s, a): the worst constraint signal to come after the action.

        Args:
            state: Training state.
            observation: Observations, [n, obs].
            action: Actions in [-1, 1], [n, act].

        Returns:
            Values in the units of `feasible_value`, [n].
        """
        ...


def state_values(
    algorithm: HasFeasibleValue, states: Any, observations: Float[np.ndarray, "n obs"]
) -> Float[np.ndarray, "seed n"]:
    """V_h of logged states by every seed.

    Args:
        algorithm: Algorithm with a feasible value.
        states: States with a leading seed axis.
        observations: Observations, [n, obs].

    Returns:
        V_h, [seed, n].

    Raises:
        OutputError: A value is not finite.
    """
    found = _in_blocks(partial(_values_of_block, algorithm, states), states, observations)
    return check_finite("feasible value (seed, state)", found, "its networks overflow on the data's observations")


def action_values(
    algorithm: HasFeasibleActionValue,
    states: Any,
    observations: Float[np.ndarray, "n obs"],
    actions: Float[np.ndarray, "n act"],
) -> Float[np.ndarray, "seed n"]:
    """Q_h of logged actions by every seed.

    Args:
        algorithm: Algorithm with a feasible value of actions.
        states: States with a leading seed axis.
        observations: Observations, [n, obs].
        actions: Actions in [-1, 1], [n, act].

    Returns:
        Q_h, [seed, n].

    Raises:
        OutputError: A value is not finite.
    """
    found = _in_blocks(partial(_action_values_of_block, algorithm, states), states, observations, actions)
    return check_finite("Q_h (seed, step)", found, "its networks overflow on the logged actions")


def _in_blocks(of_block: Callable[..., Array], states: Any, *columns: np.ndarray) -> np.ndarray:
    """Values of rows of which few shapes are compiled."""
    rows = len(columns[0])
    found = [np.zeros((len(jax.tree.leaves(states)[0]), 0), np.float32)]
    for start in range(0, rows, _BLOCK):
        count = min(_BLOCK, rows - start)
        padded = [np.pad(one[start : start + count], ((0, _BLOCK - count), (0, 0))) for one in columns]
        found.append(np.asarray(of_block(*padded))[:, :count])
    return np.concatenate(found, 1)


@partial(jax.jit, static_argnames="algorithm")
def _values_of_block(algorithm: HasFeasibleValue, states: Any, observations: Array) -> Array:
    # One seed after the other: the activations of a block should be in memory once.
    return jax.lax.map(lambda state: algorithm.feasible_value(state, observations), states)


@partial(jax.jit, static_argnames="algorithm")
def _action_values_of_block(
    algorithm: HasFeasibleActionValue, states: Any, observations: Array, actions: Array
) -> Array:
    return jax.lax.map(lambda state: algorithm.feasible_action_value(state, observations, actions), states)
