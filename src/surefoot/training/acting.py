"""One call of a loaded policy for n observations, in JAX."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.numerics import GENERATOR
from surefoot.protocols import Algorithm
from surefoot.types import PolicyInputs


def act_alone(
    algorithm: Algorithm, shape: tuple[int, ...], state: Any, observations: Float[Array, "n obs"],
    left: Float[Array, " n"] | None, key: Array, batch: Array, step: Array | None = None,
) -> Array:  # fmt: skip
    """Actions [n, act] of a policy that remembers nothing, with the noise of a batch's number."""
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
    applied: Float[Array, "n act"] | None = None,
) -> tuple[Any, Float[Array, "n act"]]:  # fmt: skip
    """The memory after acting, and actions [n, act], with the noise of the step. The key is folded here: where a call
    waits for one that JAX still computes, it takes several times as long."""
    count = observation.shape[0]
    inputs = PolicyInputs(observation.reshape(count, *shape), left, jnp.full(count, step, jnp.int32), reward, applied)
    return algorithm.policy(state).act(memory, inputs, folded(key, step))


def numbers_of(key: Key[Array, ""]) -> Array:
    """A key of our generator as its numbers, another as it is. A call takes 75 microseconds more with the key."""
    ours = jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and str(jax.random.key_impl(key)) == GENERATOR
    return jax.random.key_data(key) if ours else key


def folded(key: Array, number: Array) -> Key[Array, ""]:
    """The key of a number, from a key or the numbers of one of our generator's."""
    is_key = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return jax.random.fold_in(key if is_key else jax.random.wrap_key_data(key, impl=GENERATOR), number)
