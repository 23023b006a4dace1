"""PPO-Lagrangian: the online learner whose training episodes become the data.

Schulman et al., 2017, arXiv 1707.06347 (clipped ratio, equation 7), with generalized advantages (arXiv 1506.02438,
equation 16) of reward and cost, mixed by a Lagrange multiplier that a PID controller moves (arXiv 2007.03964):

    A = (A_reward - lambda A_cost) / (1 + lambda)

Rewards and costs are scaled by the task's reference range, so that an episode of the reference's best policy has a
discounted return of about 1 and one at the end of its cost range a discounted cost of about 1. The multiplier then
exchanges one range for the other, and equal gains serve every task.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from surefoot.collection.normalizer import Normalizer, normalize, normalizer_init, normalizer_update
from surefoot.constraints import PIDGains, PIDState, pid_init, pid_update
from surefoot.nn import MLP, Dense, apply_gradient, init_optimizer
from surefoot.nn.networks import GLOROT_UNIFORM, Initializer, dense_layers
from surefoot.ranges import Range, Ranged
from surefoot.tasks import Task
from surefoot.types import Metrics

_SMALL = Initializer(GLOROT_UNIFORM.draw, lambda size_in, size_out: 0.01 * GLOROT_UNIFORM.scale(size_in, size_out))
"""For the policy's last layer: the first actions are noise around 0, whatever the state."""


@dataclass(frozen=True)
class PPO(Ranged):
    """Hyper-parameters of PPO-Lagrangian. Hashable, so a static argument of `jit`."""

    hidden: Annotated[tuple[int, ...], Range("[1, 65536]")] = (64, 64)
    """Widths of the hidden layers of policy and critics."""
    learning_rate: Annotated[float, Range("(0, inf)")] = 1e-3
    """Of Adam, for policy and critics."""
    discount: Annotated[float, Range("[0, 1)")] = 0.99
    """Per environment step, for reward and cost."""
    trace: Annotated[float, Range("[0, 1]")] = 0.95
    """Lambda of the generalised advantage."""
    clip: Annotated[float, Range("(0, inf)")] = 0.2
    """How far the probability ratio counts on either side of 1."""
    epochs: Annotated[int, Range("[1, 10000]")] = 10
    """Passes over the transitions of an iteration."""
    minibatch: Annotated[int, Range("[1, 2^24]")] = 512
    """Transitions per gradient step."""
    entropy: Annotated[float, Range("[0, inf)")] = 0.0
    """Weight of the policy's entropy, in nats, in the objective."""
    initial_deviation: Annotated[float, Range("(0, inf)")] = 0.6
    """Standard deviation of the first actions, in units of the action range [-1, 1]."""
    least_deviation: Annotated[float, Range("(0, inf)")] = 0.1
    """The policy's standard deviation never falls below it: what is collected stays varied."""
    target_divergence: Annotated[float, Range("(-inf, inf)")] = 0.03
    """Nats of Kullback-Leibler divergence from the collecting policy past which an iteration makes no further steps."""
    max_gradient: Annotated[float, Range("(0, inf)")] = 1.0
    """Norm at which gradients are cut."""
    gains: PIDGains = field(default_factory=PIDGains)
    """Of the multiplier; costs are in units of the task's reference range."""


class Actor(eqx.Module):
    """A diagonal Gaussian: the mean a multilayer perceptron with tanh, the deviation equal in all states."""

    layers: tuple[Dense, ...]
    log_deviation: Float[Array, " act"]

    def __call__(self, x: Float[Array, "*b obs"]) -> Float[Array, "*b act"]:
        """The mean action."""
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


class Networks(NamedTuple):
    """Parameters that the optimizer moves."""

    actor: Actor
    critics: MLP
    """Two members: discounted reward, discounted cost."""


class LearnerState(NamedTuple):
    """Training state of the learner: a tree of arrays, and so a checkpoint."""

    networks: Networks
    optimizer: optax.OptState
    normalizer: Normalizer
    pid: PIDState


class Rollout(NamedTuple):
    """T steps of n simulators; `alive` is 0 where a step was lost with its simulator and does not count."""

    observation: Float[Array, "T n obs"]
    action: Float[Array, "T n act"]
    """Actions as drawn; the simulators clip them."""
    reward: Float[Array, "T n"]
    cost: Float[Array, "T n"]
    next_observation: Float[Array, "T n obs"]
    terminated: Float[Array, "T n"]
    truncated: Float[Array, "T n"]
    alive: Float[Array, "T n"]


class Scales(NamedTuple):
    """Factors that bring rewards and costs to order 1."""

    reward: float
    cost: float
    """Factor of a step's cost in the critic."""
    cost_return: float
    """Factor of an episode's cost in the PID controller."""


def scales(task: Task, *, discount: float) -> Scales:
    """Factors of a task's rewards and costs, for a policy that collects them evenly over an episode.

    Args:
        task: Task with its reference ranges.
        discount: gamma, per environment step.

    Returns:
        The factors.
    """
    steps = (1.0 - discount**task.horizon) / (1.0 - discount) if discount < 1.0 else float(task.horizon)
    per_step = task.horizon / steps
    return Scales(per_step / task.return_max, per_step / task.cost_return_max, 1.0 / task.cost_return_max)


def init(config: PPO, task: Task, key: Key[Array, ""]) -> LearnerState:
    """Fresh networks and optimizer for the shapes of a task."""
    sizes = [task.observation_dim, *config.hidden]
    keys = jax.random.split(key, 3)
    hidden = dense_layers(keys[0], list(itertools.pairwise(sizes)))
    last = dense_layers(keys[1], [(sizes[-1], task.action_dim)], initializer=_SMALL)
    actor = Actor((*hidden, *last), jnp.full(task.action_dim, np.log(config.initial_deviation), jnp.float32))
    networks = Networks(actor, MLP.create(keys[2], task.observation_dim, config.hidden, members=(2,)))
    return LearnerState(
        networks, init_optimizer(_optimizer(config), networks), normalizer_init(task.observation_dim), pid_init()
    )


def act(state: LearnerState, observation: Float[Array, "n obs"], key: Key[Array, ""]) -> Float[Array, "n act"]:
    """Actions [n, act] drawn from the policy for observations [n, obs], not clipped."""
    actor = state.networks.actor
    mean = actor(normalize(state.normalizer, observation))
    return mean + jnp.exp(actor.log_deviation)[None] * jax.random.normal(key, mean.shape)


def update(
    config: PPO,
    scale: Scales,
    state: LearnerState,
    rollout: Rollout,
    *,
    episode_cost: Float[Array, ""],
    cost_limit: Float[Array, ""],
    key: Key[Array, ""],
) -> tuple[LearnerState, Metrics]:
    """One iteration: the multiplier, the advantages, then `epochs` passes of minibatches.

    Args:
        config: Hyper-parameters.
        scale: Factors of rewards and costs.
        state: Training state, with which the rollout was collected.
        rollout: T steps of n simulators.
        episode_cost: Mean undiscounted cost of the episodes that ended in the rollout.
        cost_limit: Limit on the undiscounted cost of an episode.
        key: Random key of the minibatches.

    Returns:
        `(state, metrics)`: means over the gradient steps, `multiplier` and `policy/deviation`.
    """
    pid = pid_update(
        state.pid, episode_cost * scale.cost_return, limit=cost_limit * scale.cost_return, gains=config.gains
    )
    seen = jax.lax.stop_gradient(state.networks)
    observation = normalize(state.normalizer, rollout.observation)
    values = _values(seen.critics, observation)
    next_values = _values(seen.critics, normalize(state.normalizer, rollout.next_observation))
    signals = jnp.stack([rollout.reward * scale.reward, rollout.cost * scale.cost])
    advantages = generalized_advantages(
        signals, values, next_values, rollout, discount=config.discount, trace=config.trace
    )
    mixed = (advantages[0] - pid.multiplier * advantages[1]) / (1.0 + pid.multiplier)
    rows = _Rows(
        observation=observation,
        action=rollout.action,
        log_density=log_density(seen.actor(observation), seen.actor.log_deviation, rollout.action),
        advantage=_standardize(mixed, rollout.alive),
        targets=jnp.moveaxis(values + advantages, 0, -1),
        alive=rollout.alive,
    )
    flat: _Rows = jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), rows)
    (networks, optimizer), metrics = _optimize(config, flat, state.networks, state.optimizer, key)
    normalizer = normalizer_update(state.normalizer, rollout.observation, rollout.alive)
    deviation = jnp.exp(networks.actor.log_deviation).mean()
    return LearnerState(networks, optimizer, normalizer, pid), {
        **metrics, "multiplier": pid.multiplier, "policy/deviation": deviation
    }  # fmt: skip


def generalized_advantages(
    signals: Float[Array, "k T n"],
    values: Float[Array, "k T n"],
    next_values: Float[Array, "k T n"],
    rollout: Rollout,
    *,
    discount: float,
    trace: float,
) -> Float[Array, "k T n"]:
    """Generalized advantages sum_l (discount trace)^l delta_{t+l}, cut at an episode's end or a lost step.

    The value of the last state counts for a truncated episode, and not for a terminated one.

    Args:
        signals: Rewards and costs, [k, T, n].
        values: Values of the states left, [k, T, n].
        next_values: Values of the states entered, [k, T, n].
        rollout: The steps' flags.
        discount: gamma, per environment step.
        trace: lambda.

    Returns:
        Advantages, [k, T, n].
    """
    alive, terminated = rollout.alive[None], rollout.terminated[None]
    errors = alive * (signals + discount * (1.0 - terminated) * next_values - values)
    goes_on = alive * (1.0 - jnp.maximum(terminated, rollout.truncated[None]))

    def back(later: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        error, on = step
        advantage = error + discount * trace * on * later
        return advantage, advantage

    steps = (jnp.moveaxis(errors, 1, 0), jnp.moveaxis(jnp.broadcast_to(goes_on, errors.shape), 1, 0))
    _, advantages = jax.lax.scan(back, jnp.zeros_like(errors[:, 0]), steps, reverse=True)
    return jnp.moveaxis(advantages, 0, 1)


def log_density(
    mean: Float[Array, "*b act"], log_deviation: Float[Array, " act"], action: Float[Array, "*b act"]
) -> Float[Array, "*b"]:
    """Log densities [*b] of actions [*b, act] under a diagonal Gaussian, in nats."""
    spread = jnp.broadcast_to(log_deviation, mean.shape)
    return (-0.5 * ((action - mean) / jnp.exp(spread)) ** 2 - spread - 0.5 * jnp.log(2.0 * jnp.pi)).sum(-1)


def clipped_objective(ratio: Float[Array, " B"], advantage: Float[Array, " B"], *, clip: float) -> Float[Array, " B"]:
    """PPO's objective min(r A, clip(r, 1 - clip, 1 + clip) A), equation 7.

    Args:
        ratio: New probability over the old one, [B].
        advantage: Advantages, [B].
        clip: Largest change of the ratio that pays.

    Returns:
        The objective of each step, [B].
    """
    return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage)


# --- inside an iteration ---------------------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """The transitions of an iteration, as the losses see them; leading axes first [T, n], then flat."""

    observation: Float[Array, "*b obs"]
    action: Float[Array, "*b act"]
    log_density: Float[Array, "*b"]
    advantage: Float[Array, "*b"]
    targets: Float[Array, "*b 2"]
    alive: Float[Array, "*b"]


def _optimizer(config: PPO) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(config.max_gradient), optax.adam(config.learning_rate, eps=1e-5))


def _values(critics: MLP, observation: Float[Array, "T n obs"]) -> Float[Array, "2 T n"]:
    """Members need rows on one axis."""
    flat = critics(observation.reshape(-1, observation.shape[-1]))
    return flat.reshape(2, *observation.shape[:2])


def _standardize(values: Float[Array, "T n"], alive: Float[Array, "T n"]) -> Float[Array, "T n"]:
    count = jnp.maximum(alive.sum(), 1.0)
    centered = (values - (values * alive).sum() / count) * alive
    return centered / (jnp.sqrt((centered**2).sum() / count) + 1e-8)


def _loss(networks: Networks, rows: _Rows, config: PPO) -> tuple[Float[Array, ""], Metrics]:
    count = jnp.maximum(rows.alive.sum(), 1.0)

    def mean(values: Float[Array, " B"]) -> Float[Array, ""]:
        return (values * rows.alive).sum() / count

    actor = networks.actor
    log_ratio = log_density(actor(rows.observation), actor.log_deviation, rows.action) - rows.log_density
    ratio = jnp.exp(log_ratio)
    objective = mean(clipped_objective(ratio, rows.advantage, clip=config.clip))
    entropy = (actor.log_deviation + 0.5 * jnp.log(2.0 * jnp.pi * jnp.e)).sum()
    error = (networks.critics(rows.observation) - rows.targets.T) ** 2
    critic_loss = 0.5 * mean(error.sum(0))
    # Schulman's estimate of the divergence, never below 0: http://joschu.net/blog/kl-approx.html
    divergence = mean(ratio - 1.0 - log_ratio)
    metrics = {"policy/objective": objective, "critic/loss": critic_loss, "policy/divergence": divergence}
    return critic_loss - objective - config.entropy * entropy, metrics


def _optimize(
    config: PPO, rows: _Rows, networks: Networks, optimizer: optax.OptState, key: Key[Array, ""]
) -> tuple[tuple[Networks, optax.OptState], Metrics]:
    """`epochs` passes; once the divergence is past its target, the remaining steps change nothing."""
    total = rows.advantage.shape[0]
    size = min(config.minibatch, total)
    count = total // size
    order = jax.vmap(lambda k: jax.random.permutation(k, total))(jax.random.split(key, config.epochs))
    indices = order[:, : count * size].reshape(config.epochs * count, size)
    gradient_of: Callable[..., tuple[Networks, Metrics]] = jax.grad(_loss, has_aux=True)

    def step(
        carry: tuple[Networks, optax.OptState, Array], index: Int[Array, " B"]
    ) -> tuple[tuple[Networks, optax.OptState, Array], Metrics]:
        nets, opt, stopped = carry
        gradient, metrics = gradient_of(nets, jax.tree.map(lambda array: array[index], rows), config)
        stopped = stopped | (metrics["policy/divergence"] > config.target_divergence)
        moved, moved_opt = apply_gradient(_optimizer(config), gradient, opt, nets)
        floor = jnp.log(config.least_deviation)
        moved = eqx.tree_at(lambda n: n.actor.log_deviation, moved, replace_fn=lambda x: jnp.maximum(x, floor))
        kept = jax.tree.map(lambda new, old: jnp.where(stopped, old, new), (moved, moved_opt), (nets, opt))
        return (*kept, stopped), {**metrics, "steps_taken": 1.0 - stopped.astype(jnp.float32)}

    (networks, optimizer, _), metrics = jax.lax.scan(step, (networks, optimizer, jnp.asarray(False)), indices)
    return (networks, optimizer), {name: values.mean() for name, values in metrics.items()}
