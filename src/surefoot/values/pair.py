"""Values and critics: expectile regression, bootstrapped targets, and pairs of V and Q that are trained in turns.

FISOR has one pair for each objective: the reward and the constraint signal.
"""

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
    """Expectile regression loss |tau - 1[u < 0]| u^2 of u = target - prediction.

    IQL (Kostrikov et al., 2022), equation 5. A tau near 1 makes the prediction a soft maximum of the targets. With
    `lower` the weights swap (tau where u < 0), and the prediction is a soft minimum (FISOR, equation 9).

    Args:
        difference: Target minus prediction [b].
        expectile: tau, in (0, 1).
        lower: Whether the lower expectile is regressed.

    Returns:
        (mean of the terms, the terms [b]).
    """
    below = difference < 0
    heavy = below if lower else ~below
    terms = jnp.where(heavy, expectile, 1.0 - expectile) * difference**2
    return terms.mean(), terms


def reward_target(
    reward: Float[Array, " b"], next_value: Float[Array, " b"], continues: Float[Array, " b"], *, discount: float
) -> Float[Array, " b"]:
    """One-step target r + gamma m V(s') of the reward's Q (IQL, Kostrikov et al., 2022, equation 6).

    Args:
        reward: r [b].
        next_value: V(s') [b].
        continues: m [b]: 0 where the episode terminated, 1 elsewhere.
        discount: gamma, in [0, 1].

    Returns:
        Targets [b] in the units of the reward.
    """
    return reward + discount * continues * next_value


def reachability_target(
    constraint: Float[Array, " b"],
    next_value: Float[Array, " b"],
    continues: Float[Array, " b"],
    *,
    discount: float | Float[Array, ""],
) -> Float[Array, " b"]:
    """Discounted Hamilton-Jacobi target m [(1 - gamma) h + gamma max(h, V_h(s'))] + (1 - m) h.

    Fisac et al., 2019, equation 6; FISOR, equation 10.

    Args:
        constraint: h [b] of the state that the step enters; > 0 is a violation.
        next_value: V_h(s') [b].
        continues: m [b]: 0 where the episode terminated, 1 elsewhere.
        discount: gamma, in [0, 1]; a number or a scalar array.

    Returns:
        Targets [b] in the units of h; > 0 predicts a violation.
    """
    continued = (1.0 - discount) * constraint + discount * jnp.maximum(constraint, next_value)
    return continues * continued + (1.0 - continues) * constraint


def estimation_target(
    cost: Float[Array, "*b"], next_probability: Float[Array, "*b"], continues: Float[Array, "*b"], *, discount: float
) -> Float[Array, "*b"]:
    """Target max(1[c > 0], gamma m p(s')) of the probability of a violation now or later.

    The reachability estimation function of RESPO (Ganai et al., 2023, arXiv 2309.13528), as FOSP uses it.

    Args:
        cost: c [*b], the cost of the present state.
        next_probability: p(s') [*b], in [0, 1].
        continues: m [*b]: 0 where the episode terminated, 1 elsewhere.
        discount: gamma, in [0, 1].

    Returns:
        Targets [*b] in [0, 1]; 0 is feasible.
    """
    return jnp.maximum((cost > 0).astype(jnp.float32), discount * continues * next_probability)


class ValuePair(NamedTuple):
    """V(s) with members [V] or none, Q(s, a) with members [E], Q's moving-average target, and optimizer states."""

    value: MLP
    critic: MLP
    critic_target: MLP
    value_optimizer: optax.OptState
    critic_optimizer: optax.OptState
    updates: Int[Array, ""]
    """Critic updates so far."""


def init_pair(
    spec: DataSpec,
    key: Key[Array, ""],
    *,
    hidden: tuple[int, ...],
    ensemble: int,
    value_ensemble: int | None = None,
    optimizer: optax.GradientTransformation,
) -> ValuePair:
    """Fresh value and critic networks with their optimizers.

    The target has buffers of its own, so that the state can be donated.

    Args:
        spec: Shapes of the data.
        key: Random key.
        hidden: Units of each hidden layer of every network.
        ensemble: Members E of the critic.
        value_ensemble: Members of the value; None: a single network without a member axis.
        optimizer: Optimizer of both networks.

    Returns:
        The pair, with 0 updates.
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
    """Expectile regression of V(s) on Q(s, a) of the dataset action.

    FISOR, equation 9; IQL (Kostrikov et al., 2022), equation 5. Losses of members are summed, so that each member moves
    as it would alone.

    Args:
        value: V, with members or none.
        observation: States [b, obs].
        q: Q(s, a) [b], fixed.
        expectile: tau, in (0, 1).
        lower: Whether the lower expectile is regressed.

    Returns:
        (loss, V [*members, b]).
    """
    v = value(observation)
    loss, terms = expectile_loss(jnp.broadcast_to(q, v.shape) - v, expectile=expectile, lower=lower)
    return loss if v.ndim == 1 else terms.mean(-1).sum(), v


def critic_loss(
    critic: MLP, inputs: Float[Array, "b in"], target: Float[Array, " b"], *, quantile: float = 0.0
) -> tuple[Float[Array, ""], Float[Array, "members b"]]:
    """Mean over members and batch of (Q - target)^2, or the pinball loss of a quantile.

    With a `quantile`, Q(s, a) regresses on that quantile of its targets, which vary with the random next state.

    Args:
        critic: Q, with members.
        inputs: States and actions side by side [b, in].
        target: Targets [b], one for all members.
        quantile: Quantile in (0, 1); 0: the mean.

    Returns:
        (loss, Q [members, b]).
    """
    q = critic(inputs)
    return quantile_loss(target[None] - q, quantile=quantile) if quantile else jnp.mean((q - target[None]) ** 2), q


def quantile_loss(difference: Float[Array, "*b"], *, quantile: float) -> Float[Array, ""]:
    """Pinball loss: the mean of max(tau u, (tau - 1) u) of u = target - prediction (Koenker and Bassett, 1978).

    Args:
        difference: Target minus prediction [*b].
        quantile: tau, in (0, 1).

    Returns:
        The mean over all entries.
    """
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
    """One gradient step of V on fixed values of Q.

    Args:
        pair: Networks and optimizer states.
        observation: States [b, obs].
        q: Q(s, a) [b] of the dataset actions.
        expectile: tau, in (0, 1).
        lower: Whether the lower expectile is regressed (the constraint's).
        optimizer: Optimizer of the value.
        prefix: Group of the metrics' names, such as "reward".

    Returns:
        (the pair with the new value, metrics `prefix/value_loss` and `prefix/value`).
    """
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
    """One gradient step of Q on fixed targets, then of its moving average.

    Args:
        pair: Networks and optimizer states.
        inputs: States and actions side by side [b, in].
        target: Targets [b].
        target_rate: Share of Q that enters the moving average, in (0, 1].
        optimizer: Optimizer of the critic.
        prefix: Group of the metrics' names, such as "reward".
        quantile: Quantile of the targets to regress on, in (0, 1); 0: their mean.

    Returns:
        (the pair with the new critic, target and count of updates, metrics `prefix/critic_loss` and `prefix/critic`).
    """
    (loss, q), gradient = jax.value_and_grad(critic_loss, has_aux=True)(pair.critic, inputs, target, quantile=quantile)
    critic, state = apply_gradient(optimizer, gradient, pair.critic_optimizer, pair.critic)
    metrics = {f"{prefix}/critic_loss": loss, f"{prefix}/critic": q.mean()}
    moved = move_towards(pair.critic_target, critic, rate=target_rate)
    return pair._replace(critic=critic, critic_target=moved, critic_optimizer=state, updates=pair.updates + 1), metrics
