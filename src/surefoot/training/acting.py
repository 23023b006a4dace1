"""One call of a loaded policy for n observations, in JAX."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.protocols import Algorithm
from surefoot.types import PolicyInputs


def act_alone(
    algorithm: Algorithm, shape: tuple[int, ...], state: Any, observations: Float[Array, "n obs"],
    left: Float[Array, " n"] | None, key: Key[Array, ""], batch: Array, step: Array | None = None,
) -> Array:  # fmt: skip
    """Actions [n, act] of a policy that remembers nothing, with the noise of a batch's number."""
    policy = algorithm.policy(state)
    count = observations.shape[0]
    inputs = PolicyInputs(
        observations.reshape(count, *shape), left, None if step is None else jnp.full(count, step, jnp.int32)
    )
    _, action = policy.act(policy.initial(count), inputs, jax.random.fold_in(key, batch))
    return action


def act_from_memory(
    algorithm: Algorithm, shape: tuple[int, ...], state: Any, memory: Any, observation: Float[Array, "n obs"],
    left: Float[Array, " n"] | None, step: Array, key: Key[Array, ""], reward: Float[Array, " n"] | None = None,
) -> tuple[Any, Float[Array, "n act"]]:  # fmt: skip
    """The memory after acting, and actions [n, act], with the noise of the step. The key is folded here: where a call
    waits for one that JAX still computes, it takes several times as long."""
    count = observation.shape[0]
    inputs = PolicyInputs(observation.reshape(count, *shape), left, jnp.full(count, step, jnp.int32), reward)
    return algorithm.policy(state).act(memory, inputs, jax.random.fold_in(key, step))
