"""BCQ-Lag: batch-constrained Q-learning (Fujimoto, Meger and Precup, 2019, arXiv 1812.02900) with a multiplier.

Actions are those of the data's, as an autoencoder decodes them, moved a little by an actor. In the order of an update:

- autoencoder of the data's actions: `step_vae`
- candidates, perturbed decoded actions: `candidates_of`
- targets of both critics, at the candidate with the largest Q: `candidate_values`
- both critics: `step_critics`
- perturbation, -E[Q] + lambda E[Q_c - q], divided by 1 + lambda: `actor_loss`
- acting, the largest Q among candidates within the limit: `choose_within_limit`
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.algorithms.baseline import (
    LAGRANGIAN_GAINS,
    BaselineConfig,
    LimitedInTraining,
    RewardAndCost,
    candidate_values,
    choose_within_limit,
    init_critics,
    init_multiplier,
    penalized,
    reference_candidate_values,
    step_critics,
    step_vae,
    values_of,
)
from surefoot.algorithms.standardize import InputScales, seen_by, standardized_batch
from surefoot.constraints import ErrorPIDState, LimitConfig, PIDGains, PIDState
from surefoot.nn import ActionVAE, DeterministicActor, VAEConfig
from surefoot.nn.offline import (
    Trained,
    clipped_latent,
    descend,
    follow,
    start_training,
)
from surefoot.protocols import Inputs
from surefoot.ranges import Range
from surefoot.types import GROUP, DataSpec, Metrics, Policy, PolicyInputs, Transition


@dataclass(frozen=True)
class BCQLag(LimitedInTraining):
    """BCQ-Lag; the defaults are OSRL's, with its faults corrected."""

    training: BaselineConfig = field(default_factory=BaselineConfig, metadata={GROUP: BaselineConfig})
    """Sizes and learning."""
    limit: LimitConfig = field(default_factory=LimitConfig, metadata={GROUP: LimitConfig})
    """The limit on an episode's cost."""
    vae: VAEConfig = field(default_factory=VAEConfig)
    """The autoencoder that decodes candidates."""
    num_candidates: Annotated[int, Range("[1, 2^20]")] = 10
    """Actions among which targets and acting choose (N)."""
    perturbation: Annotated[float, Range("[0, 2]")] = 0.05
    """Most that the actor moves a number of an action."""
    gains: PIDGains = LAGRANGIAN_GAINS
    """How the multiplier answers to Q_c above the limit q."""

    inputs: ClassVar[Inputs] = Inputs()
    paper: ClassVar[str] = "Fujimoto et al., ICML 2019, arXiv 1812.02900, with a multiplier"

    @property
    def choice(self) -> dict[str, Any]:
        """How the executed action is chosen among candidates."""
        return {"num_candidates": 1 if self.training.reference_code else self.num_candidates}

    # --- init, update, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> "BCQLagState":
        """Fresh networks and optimizers.

        Args:
            spec: Shapes of the data.
            key: Random key of the parameters.
            statistics: None; the data have none.

        Returns:
            The state before the first update.
        """
        k_actor, k_critics, k_vae = jax.random.split(key, 3)
        inputs, hidden = spec.observation_dim + spec.action_dim, self.training.hidden
        actor = DeterministicActor.create(k_actor, inputs, hidden, spec.action_dim, activation="tanh")
        vae = ActionVAE.create(k_vae, spec.observation_dim, spec.action_dim, self.vae)
        return BCQLagState(
            start_training(actor, self.training.actor_learning_rate),
            init_critics(spec, k_critics, self.training, groups=2),
            start_training(vae, self.vae.learning_rate, with_target=False),
            init_multiplier(self.training),
            self.first_scales(spec),
        )

    def update(
        self, state: "BCQLagState", batch: Transition, key: Key[Array, ""], *, phase: str
    ) -> tuple["BCQLagState", Metrics]:
        """One update of every network on the batch.

        Args:
            state: Training state.
            batch: b transitions.
            key: Random key of latent numbers.
            phase: `joint`.

        Returns:
            (state, metrics), as of `step`.
        """
        batch, latent_dim = standardized_batch(state.scales, batch), state.vae.network.latent_dim
        return step(state, batch, draw_noise(key, len(batch.reward), latent_dim, self.num_candidates), self)

    def policy(self, state: "BCQLagState") -> Policy:
        """Policy that executes the best of several candidates within the limit."""
        vae, count = state.vae.network, 1 if self.training.reference_code else self.num_candidates

        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n act"]]:
            seen = seen_by(state.scales, inputs.observation)
            shape = (count, len(seen), vae.latent_dim)
            latent = clipped_latent(jax.random.normal(key, shape))
            candidates = candidates_of(vae, state.actor.network, seen, latent, self)
            if inputs.within is not None:
                candidates = jnp.clip(candidates, *(bound[None] for bound in inputs.within))
            if self.training.reference_code:  # one random candidate
                return carry, candidates[0]
            cost, value = values_of(state.critics, seen, candidates, self.training.cost_reduction)
            return carry, choose_within_limit(value, cost, candidates, limit=self.threshold)

        return Policy(initial=lambda n: None, act=act)

    def action_value(
        self, state: "BCQLagState", observation: Float[Array, "n obs"], action: Float[Array, "n act"]
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


class BCQLagState(NamedTuple):
    """Training state: networks with optimizers and moving averages, and the multiplier's controller."""

    actor: Trained
    critics: RewardAndCost
    vae: Trained
    multiplier: PIDState | ErrorPIDState
    scales: InputScales | None = None


class BCQNoise(NamedTuple):
    """Standard normal numbers of one update."""

    latent: Float[Array, "b latent"]
    """For the autoencoder's step."""
    candidates: Float[Array, "n b latent"]
    """For candidates of the targets."""
    candidates_of_costs: Float[Array, "n b latent"]
    """For candidates of the cost's target, in OSRL's code alone."""
    action: Float[Array, "b latent"]
    """For the action that the actor perturbs."""


def draw_noise(key: Key[Array, ""], batch_size: int, latent_dim: int, num_candidates: int) -> BCQNoise:
    """Draw all random numbers of one update.

    Args:
        key: Random key.
        batch_size: Transitions b.
        latent_dim: Latent numbers of an action.
        num_candidates: Candidates N a state.

    Returns:
        Standard normal numbers.
    """
    noise = jax.random.normal(key, (2 * num_candidates + 2, batch_size, latent_dim))
    return BCQNoise(noise[0], noise[2 : 2 + num_candidates], noise[2 + num_candidates :], noise[1])


# --- the update ---


def candidates_of(
    vae: ActionVAE,
    actor: DeterministicActor,
    observation: Float[Array, "b obs"],
    latent: Float[Array, "*n b latent"],
    config: BCQLag,
) -> Float[Array, "*n b act"]:
    """Perturbed decoded actions clip(a + Phi xi(s, a), +-1).

    Args:
        vae: Decodes actions a.
        actor: xi, in [-1, 1].
        observation: Observations, [b, obs].
        latent: Latent numbers, [*n, b, latent].
        config: `perturbation` is Phi.

    Returns:
        Actions, [*n, b, act].
    """
    action = vae.decode(observation, latent)
    return jnp.clip(action + config.perturbation * actor(observation, action), -1.0, 1.0)


def step(state: BCQLagState, batch: Transition, noise: BCQNoise, config: BCQLag) -> tuple[BCQLagState, Metrics]:
    """One update of the autoencoder, the critics, the actor with the multiplier, and the moving averages.

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

    def of_next(latent: Float[Array, "n b latent"]) -> Float[Array, "n b act"]:
        return candidates_of(vae.network, state.actor.target, batch.next_observation, clipped_latent(latent), config)

    if training.reference_code:
        both = of_next(noise.candidates), of_next(noise.candidates_of_costs)
        values = reference_candidate_values(state.critics, batch.next_observation, both, how)
    else:
        values = candidate_values(state.critics, batch.next_observation, of_next(noise.candidates), how)
    critics, critic_metrics = step_critics(state.critics, batch, values, training)
    latent = clipped_latent(noise.action)

    def loss(actor: DeterministicActor) -> tuple[Float[Array, ""], Any]:
        return actor_loss(actor, vae.network, critics, state.multiplier, batch.observation, latent, config)

    actor, (_, (multiplier, actor_metrics)) = descend(state.actor, loss, learning_rate=training.actor_learning_rate)
    rate = training.target_rate
    critics = RewardAndCost(*(follow(one, rate=rate) for one in critics))
    moved = BCQLagState(follow(actor, rate=rate), critics, vae, multiplier, state.scales)
    return moved, metrics | critic_metrics | actor_metrics


def actor_loss(
    actor: DeterministicActor,
    vae: ActionVAE,
    critics: RewardAndCost,
    multiplier: PIDState | ErrorPIDState,
    observation: Float[Array, "b obs"],
    latent: Float[Array, "b latent"],
    config: BCQLag,
) -> tuple[Float[Array, ""], tuple[PIDState | ErrorPIDState, Metrics]]:
    """-mean Q of perturbed decoded actions with the limit's term, (-Q + lambda (Q_c - q)) / (1 + lambda).

    Args:
        actor: Perturbs decoded actions.
        vae: Decodes actions.
        critics: Critics after their step.
        multiplier: Controller of lambda before the update.
        observation: Observations, [b, obs].
        latent: Latent numbers, [b, latent].
        config: Hyper-parameters.

    Returns:
        `(loss, (controller of lambda, metrics))`: `actor/loss`, mean Q_c `actor/cost`, and `actor/lambda`.
    """
    action = candidates_of(vae, actor, observation, latent, config)
    cost, value = values_of(critics, observation, action, config.training.cost_reduction)
    loss, moved = penalized(-value.mean(), cost, multiplier, limit=config.threshold, gains=config.gains)
    return loss, (moved, {"actor/loss": loss, "actor/cost": cost.mean(), "actor/lambda": moved.multiplier})
