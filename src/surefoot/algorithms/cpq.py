"""CPQ: constraints penalized Q-learning (Xu, Zhan and Zhu, AAAI 2022, arXiv 2107.09003).

Actions that the data do not support are made costly, and rewards count only where the cost stays within the limit. In
the order of an update:

- autoencoder of the data's actions: `step_vae`
- reward target, r + gamma 1[Q_c(s', a') <= q] Q(s', a'): `step_reward`
- actions out of the data, the quarter of the policy's with the largest latent divergence: `unsupported_actions`
- cost critic, min E[(Q_c - y_c)^2] - alpha E_unsupported[Q_c]: `cost_loss`
- policy, max E[1[Q_c <= q] Q]: `actor_loss`

The paper's text with the equations was not at hand; the forms follow OSRL's code, corrected as `cost_loss` says.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.algorithms.baseline import (
    BaselineConfig,
    LimitedInTraining,
    RewardAndCost,
    bellman_target,
    continues,
    init_critics,
    step_regression,
    step_vae,
)
from surefoot.algorithms.standardize import InputScales, seen_by, standardized_batch
from surefoot.constraints import ExponentialConfig, LimitConfig, exponential_update
from surefoot.nn import MLP, ActionVAE, SquashedGaussianActor, VAEConfig
from surefoot.nn.offline import (
    Trained,
    critic_values,
    descend,
    drawn,
    follow,
    latent_divergence,
    reduced,
    regression_loss,
    start_training,
)
from surefoot.protocols import Inputs
from surefoot.ranges import Range
from surefoot.types import GROUP, DataSpec, Metrics, Policy, PolicyInputs, Transition


@dataclass(frozen=True)
class CPQ(LimitedInTraining):
    """CPQ (Xu et al., 2022); the defaults are OSRL's, with its faults corrected."""

    training: BaselineConfig = field(
        default_factory=lambda: BaselineConfig(actor_learning_rate=1e-4), metadata={GROUP: BaselineConfig}
    )
    """Sizes and learning."""
    limit: LimitConfig = field(default_factory=LimitConfig, metadata={GROUP: LimitConfig})
    """The limit on an episode's cost."""
    vae: VAEConfig = field(default_factory=VAEConfig)
    """The autoencoder that says how well the data support an action."""
    num_actions: Annotated[int, Range("[1, 1024]")] = 10
    """Actions of the policy in each state, among which unsupported ones are looked for (N)."""
    unsupported_share: Annotated[float, Range("(0, 1]")] = 0.25
    """Share of them that counts as unsupported: those with the largest divergence."""
    unsupported_cost: Annotated[float, Range("[0, inf)")] = 1.5
    """Q_c that these are to have, in units of the limit q."""
    alpha: ExponentialConfig = field(default_factory=ExponentialConfig)
    """The multiplier that makes them so."""
    stranded: bool = False
    """Where no action of the batch is within the limit, lower Q_c in place of raising Q; else the policy then learns
    nothing, as in the paper."""

    inputs: ClassVar[Inputs] = Inputs()
    paper: ClassVar[str] = "Xu et al., AAAI 2022, arXiv 2107.09003"

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> "CPQState":
        """Fresh networks and optimizers."""
        k_actor, k_critics, k_vae = jax.random.split(key, 3)
        actor = SquashedGaussianActor.create(k_actor, spec.observation_dim, self.training.hidden, spec.action_dim)
        vae = ActionVAE.create(k_vae, spec.observation_dim, spec.action_dim, self.vae)
        return CPQState(
            start_training(actor, self.training.actor_learning_rate),
            init_critics(spec, k_critics, self.training),
            start_training(vae, self.vae.learning_rate, with_target=False),
            jnp.zeros(()),
            self.first_scales(spec),
        )

    def update(
        self, state: "CPQState", batch: Transition, key: Key[Array, ""], *, phase: str
    ) -> tuple["CPQState", Metrics]:
        """One update of every network on the batch, in the phase `joint`; returns (state, metrics) as of `step`."""
        batch, latent_dim = standardized_batch(state.scales, batch), state.vae.network.latent_dim
        return step(state, batch, draw_noise(key, batch.action, latent_dim, self.num_actions), self)

    def policy(self, state: "CPQState") -> Policy:
        """Policy that executes the squashed mean of the actor."""

        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n act"]]:
            return carry, jnp.tanh(state.actor.network(seen_by(state.scales, inputs.observation)).mean)

        return Policy(initial=lambda n: None, act=act)

    def action_value(
        self, state: "CPQState", observation: Float[Array, "n obs"], action: Float[Array, "n act"]
    ) -> Float[Array, " n"]:
        """Q of actions [n], the smallest of the ensemble, in units of the scaled rewards."""
        return reduced(critic_values(state.critics.reward.network, seen_by(state.scales, observation), action), "min")


class CPQState(NamedTuple):
    """Training state: networks with optimizers and moving averages, and the multiplier of unsupported actions."""

    actor: Trained
    critics: RewardAndCost
    vae: Trained
    log_alpha: Float[Array, ""]
    scales: InputScales | None = None


class CPQNoise(NamedTuple):
    """Standard normal numbers of one update."""

    latent: Float[Array, "b latent"]
    next_action: Float[Array, "b act"]
    """For the policy's action in the reward target."""
    next_action_of_costs: Float[Array, "b act"]
    candidates: Float[Array, "n b act"]
    """For the actions among which unsupported ones are looked for."""
    action: Float[Array, "b act"]


def draw_noise(key: Key[Array, ""], action: Float[Array, "b act"], latent_dim: int, num_actions: int) -> CPQNoise:
    """Draw all random numbers of one update.

    Args:
        key: Random key.
        action: The batch's actions, of which the shape [b, act] counts.
        latent_dim: Latent numbers of an action.
        num_actions: Actions N a state among which unsupported ones are looked for.

    Returns:
        Standard normal numbers.
    """
    size, count = action.shape[-1], latent_dim + (num_actions + 3) * action.shape[-1]
    rows = jax.random.normal(key, (action.shape[0], count))
    latent, first, second, third, rest = jnp.split(rows, [latent_dim + i * size for i in range(4)], axis=-1)
    candidates = jnp.moveaxis(rest.reshape(len(rest), num_actions, size), 1, 0)
    return CPQNoise(latent, first, second, candidates, third)


def step(state: CPQState, batch: Transition, noise: CPQNoise, config: CPQ) -> tuple[CPQState, Metrics]:
    """One update of the autoencoder, Q, Q_c with its multiplier, the actor, and the moving averages.

    Args:
        state: Training state.
        batch: b transitions.
        noise: Random numbers of the update.

    Returns:
        (state, metrics) under `vae/`, `reward/`, `cost/` and `actor/`.
    """
    vae, metrics = step_vae(state.vae, batch, noise.latent, config.vae)
    reward, reward_metrics = step_reward(state, batch, noise.next_action, config)
    cost, log_alpha, cost_metrics = step_cost(state._replace(vae=vae), batch, noise, config)
    critics = RewardAndCost(reward, cost)

    def loss(actor: SquashedGaussianActor) -> tuple[Float[Array, ""], Metrics]:
        return actor_loss(actor, critics, batch.observation, noise.action, config)

    actor, (_, actor_metrics) = descend(state.actor, loss, learning_rate=config.training.actor_learning_rate)
    rate = config.training.target_rate
    critics = RewardAndCost(*(follow(one, rate=rate) for one in critics))
    moved = CPQState(follow(actor, rate=rate), critics, vae, log_alpha, state.scales)
    return moved, metrics | reward_metrics | cost_metrics | actor_metrics


def step_reward(
    state: CPQState, batch: Transition, noise: Float[Array, "b act"], config: CPQ
) -> tuple[Trained, Metrics]:
    """One gradient step of Q on r + gamma 1[Q_c(s', a') <= q] Q(s', a').

    Args:
        state: Training state.
        batch: b transitions.
        noise: Standard normal numbers of the next action, [b, act].
        config: Hyper-parameters.

    Returns:
        `(critic, metrics)`: `reward/critic_loss`, `reward/target`.
    """
    training, critics = config.training, state.critics
    action = jnp.tanh(drawn(state.actor.network(batch.next_observation), noise))
    cost = reduced(critic_values(critics.cost.target, batch.next_observation, action), training.cost_reduction)
    value = reduced(critic_values(critics.reward.target, batch.next_observation, action), "min")
    goes_on, _ = continues(batch, training)
    target = bellman_target(batch.reward, (cost <= config.threshold) * value, goes_on, discount=training.discount)
    rate = training.learning_rate
    return step_regression(critics.reward, batch, target, learning_rate=rate, prefix="reward")


def unsupported_actions(
    vae: ActionVAE,
    observation: Float[Array, "b obs"],
    candidates: Float[Array, "n b act"],
    *,
    share: float,
) -> tuple[Float[Array, "k obs"], Float[Array, "k act"]]:
    """The states and actions whose latent numbers diverge most from a standard normal distribution.

    Args:
        vae: Autoencoder of the data's actions.
        observation: Observations, [b, obs].
        candidates: n actions each, [n, b, act].
        share: Share of all n b candidates that counts as unsupported, in (0, 1].

    Returns:
        (observations [k, obs], actions [k, act]).
    """
    divergence = latent_divergence(vae.encode(observation, candidates)).reshape(-1)
    count = divergence.size - math.ceil((1.0 - share) * (divergence.size - 1))
    _, rows = jax.lax.top_k(jax.lax.stop_gradient(divergence), count)
    return observation[rows % observation.shape[0]], candidates.reshape(-1, candidates.shape[-1])[rows]


def cost_loss(
    critic: MLP,
    batch: Transition,
    target: Float[Array, " b"],
    unsupported: Float[Array, ""],
    alpha: Float[Array, ""],
    config: CPQ,
) -> Float[Array, ""]:
    """E[(Q_c - y_c)^2] - alpha (mean Q_c of unsupported actions - their floor).

    The gradient goes through `unsupported` (`unsupported_cost`); in OSRL's code it does not, so that alpha does
    nothing.

    Args:
        critic: Ensemble of cost critics.
        batch: b transitions.
        target: Bellman targets y_c, [b].
        unsupported: Mean Q_c of unsupported actions, a scalar.
        alpha: Multiplier, a scalar.
        config: `unsupported_cost` times the limit q is the floor.

    Returns:
        The loss, a scalar.
    """
    excess = unsupported - config.unsupported_cost * config.threshold
    return regression_loss(critic, batch.observation, batch.action, target) - alpha * excess


def unsupported_cost(critic: MLP, unsupported: Any, config: CPQ) -> Float[Array, ""]:
    """Mean Q_c of unsupported actions.

    Args:
        unsupported: (observations [k, obs], actions [k, act]).

    Returns:
        A scalar in the units of Q_c.
    """
    return reduced(critic_values(critic, *unsupported), config.training.cost_reduction).mean()


def reference_unsupported_cost(critic: MLP, unsupported: Any, count: int, config: CPQ) -> Float[Array, ""]:
    """OSRL's code: mean Q_c over all candidates, in which supported ones count as 0.

    Args:
        unsupported: (observations [k, obs], actions [k, act]).
        count: Number of candidates.

    Returns:
        A scalar in the units of Q_c.
    """
    return reduced(critic_values(critic, *unsupported), config.training.cost_reduction).sum() / count


def step_cost(
    state: CPQState, batch: Transition, noise: CPQNoise, config: CPQ
) -> tuple[Trained, Float[Array, ""], Metrics]:
    """One gradient step of Q_c, then one of the multiplier alpha.

    Args:
        state: Training state, whose autoencoder has made its step.
        batch: b transitions.
        noise: Random numbers of the update.
        config: Hyper-parameters.

    Returns:
        `(critic, log alpha, metrics)`: `cost/critic_loss`, `cost/target`, mean Q_c of unsupported actions
        `cost/unsupported`, and `cost/alpha`.
    """
    training, critic = config.training, state.critics.cost
    actor = state.actor.network
    action = jnp.tanh(drawn(actor(batch.next_observation), noise.next_action_of_costs))
    value = reduced(critic_values(critic.target, batch.next_observation, action), training.cost_reduction)
    _, goes_on = continues(batch, training)
    target = bellman_target(batch.cost, value, goes_on, discount=training.discount)
    raw = drawn(actor(batch.observation), noise.candidates)
    candidates = raw if training.reference_code else jnp.tanh(raw)  # OSRL's code leaves them unsquashed
    share, alpha = config.unsupported_share, jnp.exp(state.log_alpha)
    unsupported = unsupported_actions(state.vae.network, batch.observation, candidates, share=share)

    def loss(network: MLP) -> tuple[Float[Array, ""], Float[Array, ""]]:
        if training.reference_code:
            count = candidates.shape[0] * candidates.shape[1]
            cost = reference_unsupported_cost(critic.target, unsupported, count, config)
        else:
            cost = unsupported_cost(network, unsupported, config)
        return cost_loss(network, batch, target, cost, alpha, config), cost

    moved, (value, cost) = descend(critic, loss, learning_rate=training.learning_rate)
    wanted = config.unsupported_cost * config.threshold
    log_alpha = exponential_update(state.log_alpha, wanted - cost, config=config.alpha)
    metrics = {"cost/critic_loss": value, "cost/target": target.mean(), "cost/unsupported": cost}
    return moved, log_alpha, metrics | {"cost/alpha": jnp.exp(log_alpha)}


def actor_loss(
    actor: SquashedGaussianActor,
    critics: RewardAndCost,
    observation: Float[Array, "b obs"],
    noise: Float[Array, "b act"],
    config: CPQ,
) -> tuple[Float[Array, ""], Metrics]:
    """-mean(1[Q_c <= q] Q) of the actor's actions.

    Args:
        actor: Gaussian actor before tanh.
        critics: Critics after their step.
        observation: Observations, [b, obs].
        noise: Standard normal numbers of the actions, [b, act].
        config: Hyper-parameters; with `stranded` the loss is mean Q_c where no action of the batch is within the limit.

    Returns:
        `(loss, metrics)`: `actor/loss`, the share of actions within the limit `actor/within_limit`, and mean Q_c
        `actor/cost`.
    """
    action = jnp.tanh(drawn(actor(observation), noise))
    cost = reduced(critic_values(critics.cost.network, observation, action), config.training.cost_reduction)
    value = reduced(critic_values(critics.reward.network, observation, action), "min")
    within = cost <= config.threshold
    loss = -jnp.mean(within * value)
    if config.stranded:
        loss = jnp.where(within.any(), loss, cost.mean())
    return loss, {"actor/loss": loss, "actor/within_limit": within.mean(), "actor/cost": cost.mean()}
