"""Values and critics: expectile regression, bootstrapped targets, and pairs that are trained in turns (FISOR has one
for an objective)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from surefoot.nn import MLP, apply_gradient, init_optimizer, move_towards
from surefoot.types import DataSpec, Metrics


def expectile_loss(
    difference: Float[Array, " b"], *, expectile: float, lower: bool = False
) -> tuple[Float[Array, ""], Float[Array, " b"]]:
    """Mean of |tau - 1[u < 0]| u^2 with u = target - prediction, and its terms [b].

    tau near 1 makes the prediction a soft maximum of the targets; with `lower` the weights swap (tau where u < 0)
    and it is a soft minimum.
    """
    below = difference < 0
    heavy = below if lower else ~below
    terms = jnp.where(heavy, expectile, 1.0 - expectile) * difference**2
    return terms.mean(), terms


def reward_target(
    reward: Float[Array, " b"], next_value: Float[Array, " b"], continues: Float[Array, " b"], *, discount: float
) -> Float[Array, " b"]:
    """r + gamma m V(s'), m = 0 where nothing follows."""
    return reward + discount * continues * next_value


def reachability_target(
    constraint: Float[Array, " b"],
    next_value: Float[Array, " b"],
    continues: Float[Array, " b"],
    *,
    discount: float | Float[Array, ""],
) -> Float[Array, " b"]:
    """m [(1 - gamma) h + gamma max(h, V_h(s'))] + (1 - m) h: the discounted Hamilton-Jacobi backup
    (Fisac et al., 2019, equation 6; FISOR, equation 10). In the units of h; > 0 is a violation to come."""
    continued = (1.0 - discount) * constraint + discount * jnp.maximum(constraint, next_value)
    return continues * continued + (1.0 - continues) * constraint


def estimation_target(
    cost: Float[Array, "*b"], next_probability: Float[Array, "*b"], continues: Float[Array, "*b"], *, discount: float
) -> Float[Array, "*b"]:
    """max(1[c > 0], gamma m p(s')): the probability that a violation lies here or ahead, discounted (the reachability
    estimation function of RESPO, Ganai et al., 2023, arXiv 2309.13528; FOSP). In [0, 1]; 0 is feasible.

    `cost` is that of being in the state, m = 0 where nothing follows.
    """
    return jnp.maximum((cost > 0).astype(jnp.float32), discount * continues * next_probability)


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
    critic: MLP, inputs: Float[Array, "b in"], target: Float[Array, " b"], *, quantile: float = 0.0
) -> tuple[Float[Array, ""], Float[Array, "members b"]]:
    """Mean over members and batch of (Q - target)^2, all members towards one target; also returns Q.

    With a `quantile` the loss is the pinball loss, of which Q(s, a) is that quantile of its targets: of what the next
    states, which are random, make of it.
    """
    q = critic(inputs)
    return quantile_loss(target[None] - q, quantile=quantile) if quantile else jnp.mean((q - target[None]) ** 2), q


def quantile_loss(difference: Float[Array, "*b"], *, quantile: float) -> Float[Array, ""]:
    """Mean of max(tau u, (tau - 1) u) with u = target - prediction (Koenker and Bassett, 1978)."""
    return jnp.maximum(quantile * difference, (quantile - 1.0) * difference).mean()


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
    """One gradient step of V on fixed q [B]. `lower` asks for the lower expectile (constraint)."""
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
    quantile: float = 0.0,
) -> tuple[ValuePair, Metrics]:
    """One gradient step of the critics on the mean of targets [B] or on a `quantile` of them, then of their moving
    average."""
    (loss, q), gradient = jax.value_and_grad(critic_loss, has_aux=True)(pair.critic, inputs, target, quantile=quantile)
    critic, state = apply_gradient(optimizer, gradient, pair.critic_optimizer, pair.critic)
    metrics = {f"{prefix}/critic_loss": loss, f"{prefix}/critic": q.mean()}
    moved = move_towards(pair.critic_target, critic, rate=target_rate)
    return pair._replace(critic=critic, critic_target=moved, critic_optimizer=state, updates=pair.updates + 1), metrics
