"""A value and its critics, trained in turns by expectile regression: FISOR has one such pair per objective."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from surefoot.nn import MLP, apply_gradient, init_optimizer, move_towards
from surefoot.types import DataSpec, Metrics
from surefoot.values.expectile import expectile_loss


class ValuePair(NamedTuple):
    """V(s) with members [V] or none, Q(s, a) with members [E], its moving-average target, the optimisers' states."""

    value: MLP
    critic: MLP
    critic_target: MLP
    value_optimizer: optax.OptState
    critic_optimizer: optax.OptState
    updates: Int[Array, ""]


def init_pair(
    spec: DataSpec,
    key: Key[Array, ""],
    *,
    hidden: tuple[int, ...],
    ensemble: int,
    value_ensemble: int | None = None,
    optimizer: optax.GradientTransformation,
) -> ValuePair:
    """Fresh networks; without `value_ensemble` the value is a single network.

    The target has buffers of its own, so that the state can be donated.
    """
    k_value, k_critic = jax.random.split(key)
    members = () if value_ensemble is None else (value_ensemble,)
    value = MLP.create(k_value, spec.observation_dim, hidden, members=members)
    critic = MLP.create(k_critic, spec.observation_dim + spec.action_dim, hidden, members=(ensemble,))
    return ValuePair(
        value,
        critic,
        jax.tree.map(jnp.copy, critic),
        init_optimizer(optimizer, value),
        init_optimizer(optimizer, critic),
        jnp.zeros((), jnp.int32),
    )


def value_loss(
    value: MLP, observation: Float[Array, "b obs"], q: Float[Array, " b"], *, expectile: float, lower: bool
) -> tuple[Float[Array, ""], Float[Array, "*members b"]]:
    """Expectile regression of V(s) on the critics' word for the action in the data; also returns V [*members, B].

    Members are summed, so that each moves as it would alone.
    """
    v = value(observation)
    loss, terms = expectile_loss(jnp.broadcast_to(q, v.shape) - v, expectile=expectile, lower=lower)
    return loss if v.ndim == 1 else terms.mean(-1).sum(), v


def critic_loss(
    critic: MLP, inputs: Float[Array, "b in"], target: Float[Array, " b"]
) -> tuple[Float[Array, ""], Float[Array, "members b"]]:
    """Every member regressed on the same target: mean over members and batch of (Q - target)^2; also returns Q."""
    q = critic(inputs)
    return jnp.mean((q - target[None]) ** 2), q


def step_value(
    pair: ValuePair,
    observation: Float[Array, "b obs"],
    q: Float[Array, " b"],
    *,
    expectile: float,
    lower: bool,
    optimizer: optax.GradientTransformation,
    prefix: str,
) -> tuple[ValuePair, Metrics]:
    """One step of V on fixed q [B]. `lower` asks for the lower expectile (constraint)."""
    (loss, v), gradient = jax.value_and_grad(value_loss, has_aux=True)(
        pair.value, observation, q, expectile=expectile, lower=lower
    )
    value, state = apply_gradient(optimizer, gradient, pair.value_optimizer, pair.value)
    metrics = {f"{prefix}/value_loss": loss, f"{prefix}/value": v.mean()}
    return pair._replace(value=value, value_optimizer=state), metrics


def step_critic(
    pair: ValuePair,
    inputs: Float[Array, "b in"],
    target: Float[Array, " b"],
    *,
    target_rate: float,
    optimizer: optax.GradientTransformation,
    prefix: str,
) -> tuple[ValuePair, Metrics]:
    """One step of the critics on targets [B], then of their moving average."""
    (loss, q), gradient = jax.value_and_grad(critic_loss, has_aux=True)(pair.critic, inputs, target)
    critic, state = apply_gradient(optimizer, gradient, pair.critic_optimizer, pair.critic)
    metrics = {f"{prefix}/critic_loss": loss, f"{prefix}/critic": q.mean()}
    moved = move_towards(pair.critic_target, critic, rate=target_rate)
    return pair._replace(critic=critic, critic_target=moved, critic_optimizer=state, updates=pair.updates + 1), metrics
