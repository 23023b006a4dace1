"""One call of a loaded policy for n observations, in JAX."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.numerics import GENERATOR
from surefoot.protocols import Algorithm
from surefoot.types import ActionBounds, PolicyInputs


def act_alone(
    algorithm: Algorithm, shape: tuple[int, ...], state: Any, observations: Float[Array, "n obs"],
    left: Float[Array, " n"] | None, key: Array, batch: Array, step: Array | None = None,
) -> Array:  # fmt: skip
    """Actions of a policy without memory, with the noise of a batch number.

    Args:
        algorithm: The policy's algorithm.
        shape: Shape of one observation.
        state: Training state.
        observations: Flat observations, [n, obs].
        left: Budgets that are left, [n], or None.
        key: Random key, or its numbers.
        batch: Number of the batch, folded into the key.
        step: Environment steps of the episode so far, a scalar, or None.

    Returns:
        Actions in [-1, 1], [n, act].
    """
    policy = algorithm.policy(state)
    count = observations.shape[0]
    inputs = PolicyInputs(
        observations.reshape(count, *shape), left, None if step is None else jnp.full(count, step, jnp.int32)
    )
    _, action = policy.act(policy.initial(count), inputs, folded(key, batch))
    return action


def act_from_memory(
    algorithm: Algorithm, shape: tuple[int, ...], state: Any, memory: Any, observation: Float[Array, "n obs"],
    left: Float[Array, " n"] | None, step: Array, key: Array, reward: Float[Array, " n"] | None = None,
    applied: Float[Array, "n act"] | None = None, within: ActionBounds | None = None,
) -> tuple[Any, Float[Array, "n act"]]:  # fmt: skip
    """One step of a policy with memory, with the noise of the step.

    The key is folded here: a call that waits for a key that JAX still computes takes several times as long.

    Args:
        algorithm: The policy's algorithm.
        shape: Shape of one observation.
        state: Training state.
        memory: The policy's memory of n episodes.
        observation: Flat observations, [n, obs].
        left: Budgets that are left, [n], or None.
        step: Environment steps of the episode so far, a scalar.
        key: Random key, or its numbers.
        reward: Rewards of the last step, [n], or None.
        applied: Actions of the last step as the plant applied them, [n, act], or None.
        within: Bounds of the actions that are applied as they are, or None.

    Returns:
        (memory, actions [n, act] in [-1, 1]).
    """
    count = observation.shape[0]
    steps = jnp.full(count, step, jnp.int32)
    inputs = PolicyInputs(observation.reshape(count, *shape), left, steps, reward, applied, within)
    return algorithm.policy(state).act(memory, inputs, folded(key, step))


def numbers_of(key: Key[Array, ""]) -> Array:
    """Numbers of a key of the default generator; another key as it is. Calls are faster with numbers than with a
    key."""
    ours = jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and str(jax.random.key_impl(key)) == GENERATOR
    return jax.random.key_data(key) if ours else key


def folded(key: Array, number: Array) -> Key[Array, ""]:
    """Random key of a number.

    Args:
        key: Random key, or the numbers of a key of the default generator.
        number: What is folded in, a scalar.

    Returns:
        The key.
    """
    is_key = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return jax.random.fold_in(key if is_key else jax.random.wrap_key_data(key, impl=GENERATOR), number)
