"""FISOR's values: a step of the reward's pair and one of the constraint's (equations 8 to 10, and IQL's)."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from surefoot.types import Metrics, Transition
from surefoot.values import ValuePair, reachability_target, reward_target, step_critic, step_value


class ValueSettings(NamedTuple):
    """FISOR's hyper-parameters of these names, which say what they mean."""

    schedule: Literal["decoupled", "joint"]
    value_targets: Literal["backup", "returns"]
    value_updates: int
    critic_updates: int
    constraint_updates: int
    reward_updates: int
    discount: float
    constraint_discount: float
    constraint_discount_start: float
    expectile: float
    constraint_expectile: float
    value_learning_rate: float
    value_final_learning_rate: float
    target_rate: float
    critic: Literal["hj", "qc"]
    count_state_left: bool
    trajectory_bound: bool
    value_bound: bool
    timeouts_terminal: bool


def step_reward(
    pair: ValuePair, batch: Transition, inputs: Float[Array, "b in"], q: Float[Array, " b"], *, config: ValueSettings
) -> tuple[ValuePair, Metrics]:
    """V_r, then Q_r on r + gamma m V_r(s'). `q` is the smallest target Q_r of the batch, `inputs` are (s, a)."""
    optimizer = value_optimizer(config, config.reward_updates)
    pair, value_metrics = step_value(
        pair, batch.observation, q, expectile=config.expectile, lower=False, optimizer=optimizer, prefix="reward"
    )
    next_value = pair.value(batch.next_observation)
    target = reward_target(batch.reward, next_value, _continues(batch, config), discount=config.discount)
    pair, critic_metrics = step_critic(
        pair, inputs, target, target_rate=config.target_rate, optimizer=optimizer, prefix="reward"
    )
    return pair, value_metrics | critic_metrics


def step_constraint(
    pair: ValuePair, batch: Transition, inputs: Float[Array, "b in"], q: Float[Array, " b"], *, config: ValueSettings
) -> tuple[ValuePair, Metrics]:
    """V_h, then Q_h on the Hamilton-Jacobi backup (or Q_c on the discounted cost). `q` is the largest target Q_h."""
    optimizer = value_optimizer(config, config.constraint_updates)
    discount = annealed_discount(config, pair.updates)
    h = jnp.maximum(batch.constraint, batch.constraint_before) if config.count_state_left else batch.constraint
    bound = jnp.maximum(h, batch.constraint_ahead)
    pair, value_metrics = step_value(
        pair,
        batch.observation,
        jnp.minimum(q, bound) if config.value_bound and config.critic == "hj" else q,
        expectile=config.constraint_expectile,
        lower=True,
        optimizer=optimizer,
        prefix="constraint",
    )
    next_value = pair.value(batch.next_observation).max(0)
    if config.critic == "qc":
        target = reward_target(batch.cost, next_value, _continues(batch, config), discount=config.discount)
    else:
        target = reachability_target(h, next_value, _continues(batch, config), discount=discount)
        if config.trajectory_bound:
            target = jnp.minimum(target, bound)
    pair, critic_metrics = step_critic(
        pair, inputs, target, target_rate=config.target_rate, optimizer=optimizer, prefix="constraint"
    )
    return pair, value_metrics | critic_metrics


def step_recovery(
    pair: ValuePair, batch: Transition, inputs: Float[Array, "b in"], q: Float[Array, " b"], *, config: ValueSettings
) -> tuple[ValuePair, Metrics]:
    """V_c, then Q_c on 1[h > 0] + gamma m V_c(s'): violating steps to come. `q` is the largest target Q_c."""
    optimizer = value_optimizer(config, config.constraint_updates)
    pair, value_metrics = step_value(
        pair,
        batch.observation,
        q,
        expectile=config.constraint_expectile,
        lower=True,
        optimizer=optimizer,
        prefix="recovery",
    )
    violating = (batch.constraint > 0).astype(jnp.float32)
    next_value = jnp.maximum(pair.value(batch.next_observation).max(0), 0.0)
    target = reward_target(violating, next_value, _continues(batch, config), discount=config.discount)
    pair, critic_metrics = step_critic(
        pair, inputs, target, target_rate=config.target_rate, optimizer=optimizer, prefix="recovery"
    )
    return pair, value_metrics | critic_metrics


def value_optimizer(config: ValueSettings, updates: int) -> optax.GradientTransformation:
    """Adam for a phase of so many updates."""
    first, last = config.value_learning_rate, config.value_final_learning_rate
    if config.schedule == "joint" or first == last or updates < 1:
        return optax.adam(first)
    return optax.adam(optax.cosine_decay_schedule(first, updates, alpha=last / first))


def annealed_discount(config: ValueSettings, updates: Int[Array, ""]) -> float | Float[Array, ""]:
    """1 - discount falls geometrically from its start to its end over the constraint phase."""
    start, end = config.constraint_discount_start, config.constraint_discount
    if start == end or config.schedule == "joint":
        return end
    planned = config.value_updates if config.value_targets == "returns" else config.constraint_updates
    share = jnp.clip(updates / max(planned, 1), 0.0, 1.0)
    return 1.0 - (1.0 - start) * ((1.0 - end) / (1.0 - start)) ** share


def _continues(batch: Transition, config: ValueSettings) -> Float[Array, " b"]:
    """The mask m: 0 where nothing follows."""
    if config.timeouts_terminal:
        return 1.0 - jnp.maximum(batch.terminated, batch.truncated)
    return 1.0 - batch.terminated
