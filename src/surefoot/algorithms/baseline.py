"""Shared parts of CPQ, BCQ-Lag and BEAR-Lag: hyper-parameters, continuation masks, candidate targets, the Lagrangian of
a cost limit.

The methods stand as their papers mean them. What OSRL's public code does otherwise (03a4586) has functions of its own,
`reference_*`, which `reference_code` puts in place.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot import data
from surefoot.algorithms.standardize import MeasuresScales, seen_by
from surefoot.constraints import (
    ErrorPIDState,
    LimitConfig,
    PIDGains,
    PIDState,
    error_pid_init,
    error_pid_update,
    pid_init,
    pid_update,
)
from surefoot.data import Dataset
from surefoot.nn import MLP
from surefoot.nn.offline import (
    ActionVAE,
    Reduction,
    Trained,
    VAEConfig,
    create_critics,
    critic_values,
    descend,
    in_groups,
    reduced,
    regression_loss,
    start_training,
    vae_loss,
)
from surefoot.ranges import NUMBER, Range, Ranged
from surefoot.tasks import Task
from surefoot.types import BEFORE, DataSpec, Metrics, Phase, Policy, PolicyInputs, Transition

LAGRANGIAN_GAINS = PIDGains(proportional=0.1, integral=0.003, derivative=0.001, smoothing=0.0, most=20.0)
"""OSRL's, of costs in units of the discounted sum, with an upper bound."""
_OPPOSITE: dict[Reduction, Reduction] = {"min": "max", "mean": "mean", "max": "min"}


@dataclass(frozen=True)
class BaselineConfig(Ranged):
    """Network sizes and training, OSRL's by default, with switches for the faults of its code."""

    updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates, each of every network."""
    batch_size: Annotated[int, Range("[1, 2^24]")] = 512
    """Transitions per update."""
    hidden: Annotated[tuple[int, ...], Range("[1, 65536]", fewest=1)] = (256, 256)
    """Units of the hidden layers of actor and critics."""
    ensemble: Annotated[int, Range("[1, 1024]")] = 2
    """Members of a critic; of each of the two groups where there are two."""
    learning_rate: Annotated[float, Range("(0, inf)")] = 1e-3
    """Of Adam for the critics."""
    actor_learning_rate: Annotated[float, Range("(0, inf)")] = 1e-3
    """Of Adam for the actor."""
    discount: Annotated[float, Range("[0, 1)")] = 0.99
    """Discount of rewards and costs, per environment step (gamma)."""
    target_rate: Annotated[float, Range("(0, 1]")] = 0.005
    """Share of the online networks that enters their moving averages at each update."""
    reward_scale: Annotated[float, Range("(0, inf)")] = 0.1
    """Rewards are multiplied by this; costs are as logged."""
    cost_reduction: Reduction = "max"
    """Which of the members' costs counts: max is cautious; mean; min is OSRL's, optimistic."""
    timeouts_terminal: bool = False
    """Bootstrap rewards across neither termination nor timeouts, and costs across both, as OSRL's code does. False:
    only termination ends both."""
    reference_code: bool = False
    """Do what OSRL's code does where the paper means something else."""
    standardize: bool = field(default=False, metadata={BEFORE: False})
    """Networks see observations less their mean and divided by their standard deviation, and rewards are divided by
    theirs, so that units do not matter: both are measured on the training data and kept in the state."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The only phase, `joint`: every update trains every network."""
        return (Phase("joint", self.updates, self.batch_size),)


class LimitedInTraining(Ranged, MeasuresScales, ABC):
    """Base of methods that are trained for one limit on the cost of an episode."""

    limit: LimitConfig
    training: BaselineConfig

    @property
    def trained_limit(self) -> float | None:
        """Limit on the undiscounted cost of an episode that the policy is trained for."""
        return self.limit.cost_limit

    @property
    def threshold(self) -> float:
        """q: the limit on the discounted cost."""
        return self.limit.discounted(self.training.discount)

    def prepare(self, dataset: Dataset, task: Task) -> Transition:
        """Transitions [N] with scaled rewards; costs are as logged. Raises `ConfigError` without a limit on costs."""
        self.limit.require()
        return data.to_transitions(dataset, reward_scale=self.training.reward_scale)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The only phase, `joint`: every update trains every network."""
        return self.training.phases

    @abstractmethod
    def policy(self, state: Any) -> Policy:
        """Policy of a training state."""

    def cost_to_come(self, state: Any, observation: Float[Array, "n obs"]) -> Float[Array, " n"]:
        """Q_c [n] of one draw of the policy's actions: discounted cost to come, in units of the cost."""
        policy = self.policy(state)
        _, action = policy.act(policy.initial(len(observation)), PolicyInputs(observation), jax.random.key(0))
        seen = seen_by(state.scales, observation)
        return reduced(critic_values(state.critics.cost.network, seen, action), self.training.cost_reduction)


def continues(batch: Transition, training: BaselineConfig) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Continuation masks (of rewards, of costs), each [b]: 0 where a target does not bootstrap."""
    goes_on = 1.0 - batch.terminated
    if training.timeouts_terminal:
        return goes_on * (1.0 - batch.truncated), jnp.ones_like(goes_on)
    return goes_on, goes_on


def bellman_target(
    signal: Float[Array, " b"], next_value: Float[Array, " b"], goes_on: Float[Array, " b"], *, discount: float
) -> Float[Array, " b"]:
    """Bellman target [b] of a reward or a cost: r + gamma m Q(s', a'), with the continuation mask m in `goes_on`."""
    return signal + discount * goes_on * next_value


# --- networks ---


class RewardAndCost(NamedTuple):
    """Critics Q of rewards and Q_c of costs, with their targets and optimizers."""

    reward: Trained
    cost: Trained


def init_critics(spec: DataSpec, key: Key[Array, ""], training: BaselineConfig, *, groups: int = 1) -> RewardAndCost:
    """Fresh ensembles of reward and cost critics with optimizers, each of `groups` times `training.ensemble`
    members."""
    size, members = spec.observation_dim + spec.action_dim, groups * training.ensemble
    made = [create_critics(one, size, training.hidden, members=members) for one in jax.random.split(key)]
    return RewardAndCost(*(start_training(network, training.learning_rate) for network in made))


def step_vae(
    vae: Trained, batch: Transition, noise: Float[Array, "b latent"], config: VAEConfig
) -> tuple[Trained, Metrics]:
    """One gradient step of the action autoencoder: reconstruction error plus weighted KL divergence.

    Args:
        vae: Autoencoder with its optimizer.
        batch: b transitions.
        noise: Standard normal numbers of the latent sample, [b, latent].
        config: Weight of the divergence and learning rate.

    Returns:
        `(autoencoder, metrics)`: `vae/loss`.
    """

    def loss(network: ActionVAE) -> tuple[Float[Array, ""], None]:
        weight = config.divergence_weight
        return vae_loss(network, batch.observation, batch.action, noise, divergence_weight=weight), None

    moved, (value, _) = descend(vae, loss, learning_rate=config.learning_rate)
    return moved, {"vae/loss": value}


def step_regression(
    critic: Trained, batch: Transition, target: Float[Array, " b"], *, learning_rate: float, prefix: str
) -> tuple[Trained, Metrics]:
    """One gradient step of every critic of an ensemble towards shared targets [b]; the moving average stays.

    Returns:
        `(critic, metrics)`: `PREFIX/critic_loss`, the sum over members, and `PREFIX/target`, the mean target.
    """

    def loss(network: MLP) -> tuple[Float[Array, ""], None]:
        return regression_loss(network, batch.observation, batch.action, target), None

    moved, (value, _) = descend(critic, loss, learning_rate=learning_rate)
    return moved, {f"{prefix}/critic_loss": value, f"{prefix}/target": target.mean()}


# --- values of candidates: two groups of critics ---


def group_mixture(q: Float[Array, "members *n b"], how: Reduction) -> Float[Array, "*n b"]:
    """Soft clipped double Q (BCQ, equation 13): 0.75 of the cautious and 0.25 of the optimistic end of two groups.

    `q` [members, *n, b] has one group in its first half; `how` is the cautious end, min for rewards and max for costs.
    """
    values = in_groups(q, how)
    return 0.75 * reduced(values, how) + 0.25 * reduced(values, _OPPOSITE[how])


def candidate_values(
    critics: RewardAndCost, observation: Float[Array, "b obs"], candidates: Float[Array, "n b act"], how: Reduction
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """The largest Q among candidate actions, and Q_c of that candidate, by the target critics.

    Args:
        critics: Two groups of critics for rewards and for costs.
        observation: Next observations, [b, obs].
        candidates: n candidate actions each, [n, b, act].
        how: Cautious reduction of Q_c.

    Returns:
        (Q, Q_c), each [b].
    """
    rewards = group_mixture(critic_values(critics.reward.target, observation, candidates), "min")
    best = jnp.argmax(rewards, axis=0)
    chosen = jnp.take_along_axis(candidates, best[None, :, None], axis=0)[0]
    return rewards.max(0), group_mixture(critic_values(critics.cost.target, observation, chosen), how)


def reference_candidate_values(
    critics: RewardAndCost,
    observation: Float[Array, "b obs"],
    candidates: tuple[Float[Array, "n b act"], Float[Array, "n b act"]],
    how: Reduction,
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """OSRL's code: the largest Q of the first candidates [n, b, act] and the largest Q_c of the second, each [b]."""
    rewards = group_mixture(critic_values(critics.reward.target, observation, candidates[0]), "min")
    costs = group_mixture(critic_values(critics.cost.target, observation, candidates[1]), how)
    return rewards.max(0), costs.max(0)


def values_of(
    critics: RewardAndCost, observation: Float[Array, "b obs"], action: Float[Array, "*n b act"], how: Reduction
) -> tuple[Float[Array, "*n b"], Float[Array, "*n b"]]:
    """Online Q_c and Q of actions, each [*n, b]: the more cautious of two groups, which `how` says for costs."""
    cost = critic_values(critics.cost.network, observation, action)
    value = critic_values(critics.reward.network, observation, action)
    return reduced(in_groups(cost, how), how), reduced(in_groups(value, "min"), "min")


def step_critics(
    critics: RewardAndCost,
    batch: Transition,
    values: tuple[Float[Array, " b"], Float[Array, " b"]],
    training: BaselineConfig,
) -> tuple[RewardAndCost, Metrics]:
    """One gradient step of Q and Q_c on Bellman targets.

    Args:
        critics: Critics with their optimizers.
        batch: b transitions.
        values: (Q, Q_c) of the next states, each [b].
        training: Discount, learning rate and masks.

    Returns:
        `(critics, metrics)`: losses and mean targets under `reward/` and `cost/`.
    """
    of_rewards, of_costs = continues(batch, training)
    rate, discount = training.learning_rate, training.discount
    target = bellman_target(batch.reward, values[0], of_rewards, discount=discount)
    reward, metrics = step_regression(critics.reward, batch, target, learning_rate=rate, prefix="reward")
    target = bellman_target(batch.cost, values[1], of_costs, discount=discount)
    cost, cost_metrics = step_regression(critics.cost, batch, target, learning_rate=rate, prefix="cost")
    return RewardAndCost(reward, cost), metrics | cost_metrics


# --- the Lagrangian of the limit ---


def init_multiplier(training: BaselineConfig) -> PIDState | ErrorPIDState:
    """State of the limit's PID controller with a multiplier of 0."""
    return error_pid_init() if training.reference_code else pid_init()


def with_penalty(
    loss: Float[Array, ""], cost: Float[Array, " b"], multiplier: PIDState, *, limit: float, gains: PIDGains
) -> tuple[Float[Array, ""], PIDState]:
    """(loss + lambda mean(Q_c - q)) / (1 + lambda), with lambda moved by the batch's mean Q_c; returns its controller,
    too.

    The division keeps the actor's steps of one size whatever lambda is.
    """
    moved = pid_update(multiplier, jax.lax.stop_gradient(cost.mean()), limit=jnp.float32(limit), gains=gains)
    return (loss + moved.multiplier * (cost - limit).mean()) / (1.0 + moved.multiplier), moved


def reference_with_penalty(
    loss: Float[Array, ""], cost: Float[Array, " b"], multiplier: ErrorPIDState, *, limit: float, gains: PIDGains
) -> tuple[Float[Array, ""], ErrorPIDState]:
    """OSRL's code: loss + lambda mean(Q_c - q), lambda without an upper bound; returns its controller, too."""
    excess = (cost - limit).mean()
    moved = error_pid_update(multiplier, jax.lax.stop_gradient(excess), gains=gains)
    return loss + moved.multiplier * excess, moved


def penalized(
    loss: Float[Array, ""],
    cost: Float[Array, " b"],
    multiplier: PIDState | ErrorPIDState,
    *,
    limit: float,
    gains: PIDGains,
) -> tuple[Float[Array, ""], PIDState | ErrorPIDState]:
    """The actor's loss with the limit's term: `with_penalty`, or `reference_with_penalty` for a state of OSRL's
    controller.

    Args:
        loss: Loss without the limit, a scalar.
        cost: Q_c of the actor's actions, [b].
        multiplier: State of lambda's controller.
        limit: q, the limit on the discounted cost.
        gains: Gains of the controller.

    Returns:
        (loss, state of the controller).
    """
    if isinstance(multiplier, ErrorPIDState):
        return reference_with_penalty(loss, cost, multiplier, limit=limit, gains=gains)
    return with_penalty(loss, cost, multiplier, limit=limit, gains=gains)


# --- acting ---


def choose_within_limit(
    q: Float[Array, "n b"], cost: Float[Array, "n b"], candidates: Float[Array, "n b act"], *, limit: float
) -> Float[Array, "b act"]:
    """The candidate with the largest Q among those with Q_c <= q (`limit`); the smallest Q_c where there is none."""
    allowed = cost <= limit
    score = jnp.where(allowed.any(0, keepdims=True), jnp.where(allowed, q, -jnp.inf), -cost)
    best = jnp.argmax(score, axis=0)
    return jnp.take_along_axis(candidates, best[None, :, None], axis=0)[0]
