"""BEAR-Lag: bootstrapping error accumulation reduction (Kumar et al., 2019, arXiv 1906.00949) with a multiplier.

The actor stays near the support of the data's actions, by the maximum mean discrepancy from decoded ones. In the order
of an update:

- autoencoder of the data's actions: `step_vae`
- targets of both critics, at the actor's sample with the largest Q: `candidate_values`
- both critics: `step_critics`
- discrepancy from the data's support, before tanh: `mean_discrepancy`
- actor, -E[Q] + alpha (MMD - epsilon) + lambda E[Q_c - q], divided by 1 + lambda: `actor_loss`
- multiplier of the discrepancy: `exponential_update`
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.algorithms.baseline import (
    LAGRANGIAN_GAINS,
    BaselineConfig,
    LimitedInTraining,
    RewardAndCost,
    candidate_values,
    init_critics,
    init_multiplier,
    penalized,
    reference_candidate_values,
    step_critics,
    step_vae,
    values_of,
)
from surefoot.algorithms.standardize import InputScales, seen_by, standardized_batch
from surefoot.constraints import (
    ErrorPIDState,
    ExponentialConfig,
    LimitConfig,
    PIDGains,
    PIDState,
    exponential_update,
)
from surefoot.nn import ActionVAE, SquashedGaussianActor, VAEConfig
from surefoot.nn.offline import (
    Trained,
    clipped_latent,
    descend,
    drawn,
    follow,
    mean_discrepancy,
    start_training,
)
from surefoot.protocols import Inputs
from surefoot.ranges import NUMBER, Range, Ranged
from surefoot.types import GROUP, DataSpec, Metrics, Policy, PolicyInputs, Transition


@dataclass(frozen=True)
class SupportConfig(Ranged, part="support"):
    """The support constraint: how far the actor may depart from the actions in the data, by MMD."""

    num_samples: Annotated[int, Range("[1, 1024]")] = 10
    """Actions of the actor and of the autoencoder that are compared in each state (M)."""
    kernel: Literal["gaussian", "laplacian"] = "gaussian"
    """exp(-|x - y|^2 / (2 sigma)), or of the sum of absolute differences."""
    sigma: Annotated[float, Range("(0, inf)")] = 50.0
    """Width of the kernel."""
    threshold: Annotated[float, Range("[0, inf)")] = 0.05
    """Discrepancy that is allowed (epsilon)."""
    start_updates: Annotated[int, Range(NUMBER)] = 0
    """Updates before which the actor only stays near the data and its Q does not count."""


@dataclass(frozen=True)
class BEARLag(LimitedInTraining):
    """BEAR-Lag; the defaults are OSRL's, with its faults corrected."""

    training: BaselineConfig = field(
        default_factory=lambda: BaselineConfig(updates=300_000), metadata={GROUP: BaselineConfig}
    )
    """Sizes and learning."""
    limit: LimitConfig = field(default_factory=LimitConfig, metadata={GROUP: LimitConfig})
    """The limit on an episode's cost."""
    vae: VAEConfig = field(default_factory=VAEConfig)
    """The autoencoder that knows the data's actions."""
    num_candidates: Annotated[int, Range("[1, 2^20]")] = 10
    """Actions of the actor among which targets choose (N)."""
    support: SupportConfig = field(default_factory=SupportConfig)
    """How near the actor stays to the data's actions."""
    alpha: ExponentialConfig = field(default_factory=lambda: ExponentialConfig(learning_rate=1e-3))
    """The multiplier of the discrepancy."""
    gains: PIDGains = LAGRANGIAN_GAINS
    """How the multiplier of the limit answers to Q_c above q."""

    inputs: ClassVar[Inputs] = Inputs()
    paper: ClassVar[str] = "Kumar et al., NeurIPS 2019, arXiv 1906.00949, with a multiplier"

    # --- init, update, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> "BEARLagState":
        """Fresh networks and optimizers.

        Args:
            spec: Shapes of the data.
            key: Random key of the parameters.
            statistics: None; the data have none.

        Returns:
            The state before the first update.
        """
        k_actor, k_critics, k_vae = jax.random.split(key, 3)
        actor = SquashedGaussianActor.create(k_actor, spec.observation_dim, self.training.hidden, spec.action_dim)
        vae = ActionVAE.create(k_vae, spec.observation_dim, spec.action_dim, self.vae)
        return BEARLagState(
            actor=start_training(actor, self.training.actor_learning_rate),
            critics=init_critics(spec, k_critics, self.training, groups=2),
            vae=start_training(vae, self.vae.learning_rate, with_target=False),
            multiplier=init_multiplier(self.training),
            log_alpha=jnp.zeros(()),
            updates=jnp.zeros(()),
            scales=self.first_scales(spec),
        )

    def update(
        self, state: "BEARLagState", batch: Transition, key: Key[Array, ""], *, phase: str
    ) -> tuple["BEARLagState", Metrics]:
        """One update of every network on the batch.

        Args:
            state: Training state.
            batch: b transitions.
            key: Random key of latent numbers and actions.
            phase: `joint`.

        Returns:
            (state, metrics), as of `step`.
        """
        batch = standardized_batch(state.scales, batch)
        return step(state, batch, draw_noise(key, batch.action, state.vae.network.latent_dim, self), self)

    def policy(self, state: "BEARLagState") -> Policy:
        """Policy that executes the squashed mean of the actor."""

        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n act"]]:
            return carry, jnp.tanh(state.actor.network(seen_by(state.scales, inputs.observation)).mean)

        return Policy(initial=lambda n: None, act=act)

    def action_value(
        self, state: "BEARLagState", observation: Float[Array, "n obs"], action: Float[Array, "n act"]
    ) -> Float[Array, " n"]:
        """Q of actions, the smaller of two groups.

        Args:
            state: Training state.
            observation: Observations, [n, obs].
            action: Actions in [-1, 1], [n, act].

        Returns:
            Q, [n], in units of the scaled rewards.
        """
        return values_of(state.critics, seen_by(state.scales, observation), action, self.training.cost_reduction)[1]


class BEARLagState(NamedTuple):
    """Training state: networks with optimizers and moving averages, and both multipliers."""

    actor: Trained
    critics: RewardAndCost
    vae: Trained
    multiplier: PIDState | ErrorPIDState
    """Controller of the limit's multiplier."""
    log_alpha: Float[Array, ""]
    """Logarithm of the discrepancy's multiplier."""
    updates: Float[Array, ""]
    scales: InputScales | None = None


class BEARNoise(NamedTuple):
    """Standard normal numbers of one update."""

    latent: Float[Array, "b latent"]
    """For the autoencoder's step."""
    next_actions: Float[Array, "n b act"]
    """For the actor's samples in the targets."""
    next_actions_of_costs: Float[Array, "n b act"]
    """For the actor's samples in the cost's target, in OSRL's code alone."""
    support: Float[Array, "m b latent"]
    """For the autoencoder's actions."""
    actions: Float[Array, "m b act"]
    """For the actor's actions."""


def draw_noise(key: Key[Array, ""], action: Float[Array, "b act"], latent_dim: int, config: BEARLag) -> BEARNoise:
    """Draw all random numbers of one update.

    Args:
        key: Random key.
        action: The batch's actions, of which the shape [b, act] counts.
        latent_dim: Latent numbers of an action.
        config: Numbers of samples.

    Returns:
        Standard normal numbers.
    """
    k_latent, k_action = jax.random.split(key)
    samples, candidates = config.support.num_samples, config.num_candidates
    latent = jax.random.normal(k_latent, (1 + samples, len(action), latent_dim))
    noise = jax.random.normal(k_action, (samples + 2 * candidates, *action.shape))
    of_targets = noise[samples:]
    return BEARNoise(latent[0], of_targets[:candidates], of_targets[candidates:], latent[1:], noise[:samples])


# --- the update ---


def step(state: BEARLagState, batch: Transition, noise: BEARNoise, config: BEARLag) -> tuple[BEARLagState, Metrics]:
    """One update of the autoencoder, the critics, the actor with both multipliers, and the moving averages.

    Args:
        state: Training state.
        batch: b transitions.
        noise: Random numbers of the update.
        config: Hyper-parameters.

    Returns:
        (state, metrics) under `vae/`, `reward/`, `cost/` and `actor/`.
    """
    training, how = config.training, config.training.cost_reduction
    vae, metrics = step_vae(state.vae, batch, noise.latent, config.vae)
    before = state.actor.target(batch.next_observation)
    candidates = jnp.tanh(drawn(before, noise.next_actions))
    if training.reference_code:
        both = candidates, jnp.tanh(drawn(before, noise.next_actions_of_costs))
        values = reference_candidate_values(state.critics, batch.next_observation, both, how)
    else:
        values = candidate_values(state.critics, batch.next_observation, candidates, how)
    critics, critic_metrics = step_critics(state.critics, batch, values, training)
    support = vae.network.decode_raw(batch.observation, clipped_latent(noise.support))

    def loss(actor: SquashedGaussianActor) -> tuple[Float[Array, ""], Any]:
        return actor_loss(actor, state, critics, batch.observation, support, noise.actions, config)

    actor, (_, (multiplier, discrepancy, actor_metrics)) = descend(
        state.actor, loss, learning_rate=training.actor_learning_rate
    )
    log_alpha = exponential_update(state.log_alpha, discrepancy - config.support.threshold, config=config.alpha)
    rate = training.target_rate
    critics = RewardAndCost(*(follow(one, rate=rate) for one in critics))
    moved = BEARLagState(
        follow(actor, rate=rate), critics, vae, multiplier, log_alpha, state.updates + 1.0, state.scales
    )
    return moved, metrics | critic_metrics | actor_metrics | {"actor/alpha": jnp.exp(log_alpha)}


def actor_loss(
    actor: SquashedGaussianActor,
    state: BEARLagState,
    critics: RewardAndCost,
    observation: Float[Array, "b obs"],
    support: Float[Array, "m b act"],
    noise: Float[Array, "m b act"],
    config: BEARLag,
) -> tuple[Float[Array, ""], tuple[PIDState | ErrorPIDState, Float[Array, ""], Metrics]]:
    """-mean Q + alpha (MMD - epsilon), with the limit's term: (loss + lambda (Q_c - q)) / (1 + lambda).

    Args:
        actor: Gaussian actor before tanh.
        state: Training state: multipliers, and updates done.
        critics: Critics after their step.
        observation: Observations, [b, obs].
        support: Decoded actions before tanh, m a state, [m, b, act].
        noise: Standard normal numbers of the actor's m samples, [m, b, act]; Q reads the first.
        config: Hyper-parameters.

    Returns:
        `(loss, (controller of lambda, mean discrepancy, metrics))`: `actor/loss`, mean Q_c `actor/cost`, `actor/lambda`
        and `actor/discrepancy`.
    """
    raw = drawn(actor(observation), noise)
    cost, value = values_of(critics, observation, jnp.tanh(raw[0]), config.training.cost_reduction)
    distance = mean_discrepancy(support, raw, kernel=config.support.kernel, sigma=config.support.sigma).mean()
    near = jnp.exp(state.log_alpha) * (distance - config.support.threshold)
    counts = state.updates >= config.support.start_updates
    loss = near - jnp.where(counts, value.mean(), 0.0)
    loss, moved = penalized(loss, cost, state.multiplier, limit=config.threshold, gains=config.gains)
    metrics = {"actor/loss": loss, "actor/cost": cost.mean(), "actor/lambda": moved.multiplier}
    return loss, (moved, distance, metrics | {"actor/discrepancy": distance})
